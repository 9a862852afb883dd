"""How a sweep goes, on stderr: a live table where a person watches, else a line per trial."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from neurotwin.sweep.attempt import Attempt, Outcome
from neurotwin.sweep.best import best_trial
from neurotwin.sweep.driver import View
from neurotwin.sweep.settings import Settings
from neurotwin.sweep.study import ERROR, lost

ROWS = 18
"""Trials in the table: the running ones and the latest."""
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "pending"}


def counts(trials: Sequence[Any]) -> dict[str, int]:
    """How many trials are in which state, those apart that were lost with their machine and put in again."""
    again = lost(trials)
    found = Counter("lost" if trial.number in again else STATES[trial.state.name] for trial in trials)
    return {name: found[name] for name in (*STATES.values(), "lost") if found[name]}


def short(params: Mapping[str, Any]) -> str:
    """Parameters on a line, each by the last part of its key."""
    return " ".join(f"{key.rpartition('.')[2]}={number(value)}" for key, value in params.items())


def number(value: Any) -> str:
    """Four digits of a number; a word as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def counted(trials: Sequence[Any]) -> str:
    """The counts in words."""
    return ", ".join(f"{count} {name}" for name, count in counts(trials).items())


class Lines:
    """A line per trial that has ended."""

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self._settings, self._tell = settings, tell

    def show(self, running: Sequence[Attempt], trials: Sequence[Any]) -> None:
        """Nothing between two lines."""

    def ended(self, attempt: Attempt, outcome: Outcome, trials: Sequence[Any]) -> None:
        """How it ended, and the best so far."""
        what = outcome.error or ", ".join(
            f"{name} {number(value)}"
            for name, value in zip(self._settings.objectives, outcome.values or (), strict=False)
        )
        best = best_trial(trials, self._settings.objectives)
        state = {"TAKEN": "taken by another driver"}.get(outcome.state) or STATES[outcome.state]
        self._tell(
            f"trial {attempt.number} {state}{': ' + what if what else ''} ({short(attempt.params)}; "
            f"{attempt.epoch} epochs, {attempt.seconds:.0f} s)"
            + (f"; best {number(best.values[0])} of trial {best.number}" if best else "")
        )


class Table:
    """A table that is drawn anew twice a second."""

    def __init__(self, settings: Settings, live: Any) -> None:
        self._settings, self._live = settings, live
        self._times: dict[int, float] = {}

    def show(self, running: Sequence[Attempt], trials: Sequence[Any]) -> None:
        """Draw it."""
        self._live.update(self._draw(running, trials))

    def ended(self, attempt: Attempt, outcome: Outcome, trials: Sequence[Any]) -> None:
        """Drawn with the rest."""

    def _draw(self, running: Sequence[Attempt], trials: Sequence[Any]) -> Any:
        from rich.table import Table as RichTable

        best = best_trial(trials, self._settings.objectives)
        title = f"{self._settings.name}: {counted(trials)}"
        table = RichTable(title=title, title_justify="left", expand=False)
        for name in ("trial", *(item.key.rpartition(".")[2] for item in self._settings.space), "state", "epoch"):
            table.add_column(name, justify="right" if name in ("trial", "epoch") else "left")
        for name in self._settings.objectives:
            table.add_column(name, justify="right")
        table.add_column("time", justify="right")
        keys = [item.key for item in self._settings.space]
        now = {attempt.number: attempt for attempt in running}
        done = [trial for trial in trials if trial.state.is_finished() and trial.number not in now]
        recent = sorted(done, key=lambda trial: trial.number)[-max(3, ROWS - len(now)) :]
        if best is not None and best not in recent:
            recent = [best, *recent[1:]]
        for trial in recent:
            table.add_row(*self._finished(trial, keys), style="bold green" if trial is best else None)
        for number_, attempt in sorted(now.items()):
            params = [number(attempt.params.get(key, "")) for key in keys]
            values = [
                "" if math.isnan(attempt.value) else number(attempt.value),
                *[""] * (len(self._settings.objectives) - 1),
            ]
            table.add_row(str(number_), *params, "running", str(attempt.epoch), *values, _clock(attempt.seconds))
        return table

    def _finished(self, trial: Any, keys: Sequence[str]) -> list[str]:
        values = [number(value) for value in trial.values or ()]
        state = (
            STATES[trial.state.name]
            if trial.state.name != "FAIL"
            else f"failed: {trial.user_attrs.get(ERROR, '')}"[:40]
        )
        return [
            str(trial.number),
            *(number(trial.params.get(key, "")) for key in keys),
            state,
            str(trial.user_attrs.get("epochs", "")),
            *(values + [""] * len(self._settings.objectives))[: len(self._settings.objectives)],
            _clock(trial.user_attrs.get("seconds", 0.0)),
        ]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


@contextmanager
def view_of(settings: Settings, tell: Callable[[str], None]) -> Iterator[View]:
    """The table on a terminal, else lines to ``tell``."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(settings, tell)
        return
    with Live(console=console, refresh_per_second=2) as live:
        yield Table(settings, live)
