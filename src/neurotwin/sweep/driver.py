"""The driver: takes trials from the study, runs so many at once, and tells how they ended."""

import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from neurotwin.errors import ConfigError
from neurotwin.sweep.attempt import TRAIN, Attempt, Outcome
from neurotwin.sweep.process import GRACE
from neurotwin.sweep.settings import Settings
from neurotwin.sweep.study import ATTEMPTS, ERROR, Study

TRIALS = "trials"
POLL = 0.2
"""Seconds between two looks at the processes."""
PAUSE = 5.0
"""Seconds until the study is asked again after it had no trial to take."""
SHORT = 3.0
"""Seconds that processes have to stop when the driver fails."""


class View(Protocol):
    """Who is told how it goes."""

    def show(self, running: Sequence[Attempt], trials: Sequence[Any]) -> None:
        """How things are now."""

    def ended(self, attempt: Attempt, outcome: Outcome, trials: Sequence[Any]) -> None:
        """A trial has ended."""


@dataclass(frozen=True)
class Workplace:
    """Where and how trials run.

    Attributes:
        folder: of the sweep; held by one driver.
        jobs: trials at once.
        gpus: what CUDA_VISIBLE_DEVICES is for each of them, in turn; none: as it is.
        more: overrides of all trials that are no part of the search.
        grace: seconds that a training has to stop.
        train: module that trains.
    """

    folder: Path
    jobs: int = 1
    gpus: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    grace: float = GRACE
    train: str = TRAIN

    def environment(self, slot: int) -> dict[str, str]:
        """Variables of the trials in a slot: the cores are shared out."""
        cores = max(1, (os.cpu_count() or 1) // self.jobs)
        found = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(cores)}
        return found | ({"CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]} if self.gpus else {})


def driver_name() -> str:
    """Who drives: told with each trial."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Driver:
    """Runs the trials of a study. Attribute ``interrupted``: somebody asked it to stop."""

    def __init__(self, study: Study, settings: Settings, place: Workplace, view: View) -> None:
        self._study, self._settings, self._place, self._view = study, settings, place, view
        self._running: dict[int, Attempt] = {}
        self._trials = study.trials()
        self._asked, self._ask_again, self._first = 0, -math.inf, True

    @property
    def interrupted(self) -> bool:
        return self._asked > 0

    def run(self) -> None:
        """Until no trial is left to be taken, or somebody asks to stop: SIGINT or SIGTERM, and again to kill at once.

        Raises:
            ConfigError: the first trials have all failed.
            ResourceError: the storage does not answer.
        """
        with self._listening():
            try:
                while self._start() or self._running:
                    self._look()
                    self._study.beat([attempt.number for attempt in self._running.values()])
                    self._view.show(list(self._running.values()), self._trials)
                    time.sleep(POLL)
            finally:
                self._leave()

    def _start(self) -> bool:
        """Fill the free slots; False when nothing was taken."""
        started = False
        if time.monotonic() < self._ask_again:
            return False
        for slot in range(self._place.jobs):
            if slot in self._running or self.interrupted:
                continue
            trial = self._study.take(self._place.folder, first=self._first)
            self._first = False
            if trial is None:
                self._ask_again = time.monotonic() + PAUSE
                break
            started = True
            folder = self._place.folder / TRIALS / f"{trial.number:04d}"
            self._running[slot] = Attempt(
                trial,
                self._settings,
                folder,
                self._place.environment(slot),
                more=self._more_of(trial.number),
                train=self._place.train,
            )
        if started:
            self._trials = self._study.trials()
        return started

    def _more_of(self, number: int) -> list[str]:
        return [item.replace("{number}", f"{number:04d}") for item in self._place.more]

    def _look(self) -> None:
        for slot, attempt in list(self._running.items()):
            if (outcome := attempt.look()) is None:
                continue
            del self._running[slot]
            self._ask_again = -math.inf
            self._record(attempt, outcome)

    def _record(self, attempt: Attempt, outcome: Outcome) -> None:
        if outcome.state != "TAKEN":
            before = self._trials_by_number().get(attempt.number)
            spent = before.user_attrs if before else {}
            notes: dict[str, Any] = {
                "seconds": round(spent.get("seconds", 0.0) + attempt.seconds, 2),
                "cpu_seconds": round(spent.get("cpu_seconds", 0.0) + attempt.cpu, 2),
                "epochs": attempt.epoch,
                "runs": attempt.runs,
                "overrides": attempt.overrides,
                ATTEMPTS: 0,
            }
            if outcome.state == "FAIL":
                notes |= {ERROR: outcome.error, "exit_code": outcome.code}
            self._study.tell(attempt.number, outcome.values, outcome.state, notes)
        self._trials = self._study.trials()
        self._view.ended(attempt, outcome, self._trials)
        self._give_up()

    def _trials_by_number(self) -> dict[int, Any]:
        return {trial.number: trial for trial in self._study.trials()}

    def _give_up(self) -> None:
        """Raise when trials only fail."""
        states = [trial.state.name for trial in self._trials]
        failed = [trial for trial in self._trials if trial.state.name == "FAIL" and ERROR in trial.user_attrs]
        over = "WAITING" not in states and "RUNNING" not in states
        succeeded = "COMPLETE" in states or "PRUNED" in states
        if failed and not succeeded and (len(failed) >= self._settings.give_up or over):
            last = failed[-1]
            raise ConfigError(
                f"all of the first {len(failed)} trials failed, the last with: {last.user_attrs[ERROR]}",
                where=f"{self._place.folder / TRIALS / f'{last.number:04d}' / 'trial.log'}",
            )

    @contextmanager
    def _listening(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._asked += 1
            for attempt in self._running.values():
                attempt.interrupt(self._place.grace if self._asked == 1 else 0.0)

        before: list[tuple[signal.Signals, Callable[..., Any] | int | None]] = [
            (one, signal.signal(one, stop)) for one in (signal.SIGINT, signal.SIGTERM)
        ]
        try:
            yield
        finally:
            for one, handler in before:
                signal.signal(one, handler)

    def _leave(self) -> None:
        """When something has failed, no process may stay behind; what it did is gone on with after --resume."""
        for attempt in self._running.values():
            attempt.interrupt(SHORT)
        while self._running:
            self._running = {slot: attempt for slot, attempt in self._running.items() if attempt.look() is None}
            time.sleep(POLL)
