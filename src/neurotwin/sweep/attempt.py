"""One trial under way: its trainings one after the other, a seed each, and what is measured after them."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurotwin.disk import write_whole
from neurotwin.overrides import quoted
from neurotwin.sweep.curve import read_curve
from neurotwin.sweep.process import GRACE, Process
from neurotwin.sweep.settings import ABSOLUTE_ERROR, CURVES, LATENCY, PARAMETERS, VALIDATION_LOSS, Settings
from neurotwin.sweep.storage import patiently
from neurotwin.sweep.study import taken_errors

TRAIN, MEASURE = "neurotwin.train", "neurotwin.verbs.latency"
METRICS, LATENCY_FILE = "metrics.json", "latency.json"
PRUNED, TIMEOUT, INTERRUPTED, TAKEN = "pruned", "timeout", "interrupted", "taken"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: as Optuna names it; WAITING: it was interrupted; TAKEN: another driver has it.
        values: one per objective, where it is complete; a pruned one's last loss.
        error, code: of a failed one.
    """

    state: Literal["COMPLETE", "PRUNED", "FAIL", "WAITING", "TAKEN"]
    values: tuple[float, ...] | None = None
    error: str = ""
    code: int | None = None


class Attempt:
    """A trial that runs; `look` at it now and then until it tells its outcome.

    Attributes:
        number, params, folder: of the trial.
        epoch, value: how far the present training is, and its last loss.
        cpu: processor time of the processes that have ended, s.
        runs: of each training that has ended: seed, folder and what it reached.
    """

    def __init__(
        self,
        trial: Any,
        settings: Settings,
        folder: Path,
        environment: Mapping[str, str],
        *,
        more: Sequence[str] = (),
        train: str = TRAIN,
    ) -> None:
        """Start it.

        Args:
            trial: Optuna's, its parameters drawn.
            folder: of this trial; it may hold what an interrupted attempt left.
            environment: variables of its processes.
            more: overrides of all trials that are no part of the search.
            train: module that trains.
        """
        self.number, self.params, self.folder = trial.number, dict(trial.params), folder
        self.epoch, self.value, self.cpu = 0, math.nan, 0.0
        self.runs: list[dict[str, Any]] = []
        self._trial, self._settings, self._environment = trial, settings, environment
        self._more, self._train, self._begun = more, train, time.monotonic()
        self._reported: set[int] = set()
        self._ending = ""
        self._process: Process | None = None
        self._waiting = self._steps()
        self._run, self._is_training = folder, True
        self.save("running")
        self._go_on()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._begun

    @property
    def overrides(self) -> list[str]:
        """What this trial trains, less folder and seed."""
        return [*self._settings.overrides, *(item.override(self.params[item.key]) for item in self._settings.space)]

    @property
    def _watched(self) -> str:
        """Which course is followed while it trains."""
        return next((name for name in self._settings.objectives if name in CURVES), VALIDATION_LOSS)

    def look(self) -> Outcome | None:
        """The outcome, once there is one."""
        while (code := self._process.poll() if self._process else 0) is not None:
            self._end_process()
            if self._ending:
                return self._ended(code)
            if code:
                return self._outcome("FAIL", error=self._last.reason(), code=code)
            if self._is_training and (problem := self._finish_run()):
                return self._outcome("FAIL", error=problem, code=0)
            if self._ending:
                return self._ended(code)
            if not self._go_on():
                return self._complete()
        if self._is_training:
            self._read()
        limit = self._settings.timeout
        if limit is not None and self.seconds > limit and not self._ending:
            self._stop(TIMEOUT)
        return None

    def interrupt(self, grace: float = GRACE) -> None:
        """Let it be put back."""
        self._stop(self._ending or INTERRUPTED, grace)

    def save(self, state: str, **more: Any) -> None:
        """Write trial.json: what the folder is, for people."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"number": self.number, "state": state, "params": self.params, **more}
        write_whole(self.folder / "trial.json", json.dumps(content, indent=1) + "\n")

    def _steps(self) -> Iterator[tuple[str, int | None]]:
        for seed in self._settings.seeds or (None,):
            yield self._train, seed
        if LATENCY in self._settings.objectives:
            yield MEASURE, None

    def _go_on(self) -> bool:
        """Start the next process, unless its result is there already; False when there is none."""
        for module, seed in self._waiting:
            self._is_training, self._process = module == self._train, None
            if self._is_training:
                self._run, self._seed = self.folder / f"seed_{seed}" if self._settings.seeds else self.folder, seed
                self.epoch, self.value = 0, math.nan
                result, words = METRICS, self._training()
            else:
                self._run = Path(self.runs[0]["folder"])
                result, words = LATENCY_FILE, [str(self._run)]
            if not (self._run / result).is_file():
                self._process = self._last = Process(module, words, self.folder / "trial.log", self._environment)
            return True
        return False

    def _training(self) -> list[str]:
        seeded = [] if self._seed is None else [f"seed={self._seed}"]
        resumed = ["resume=true"] if any((self._run / "checkpoints").glob("*.safetensors")) else []
        place = f"paths.output_dir={quoted(self._run)}"
        return [*self.overrides, *self._more, *seeded, *resumed, place]

    def _end_process(self) -> None:
        if self._is_training:
            self._read()
        if self._process:
            self.cpu += self._process.cpu
            self._process = None

    def _read(self) -> None:
        """Take in the epochs that are new, and stop where the pruner says so."""
        curve = read_curve(self._run, CURVES[self._watched])
        if curve:
            self.epoch = max(curve) + 1
            self.value = curve[max(curve)]
        if not self._settings.seeds and not self._ending:
            for epoch in sorted(set(curve) - self._reported):
                self._report(curve[epoch], epoch)

    def _report(self, value: float, step: int) -> None:
        self._reported.add(step)
        if len(self._settings.objectives) > 1:  # Optuna keeps no courses of several objectives
            return
        try:
            patiently(lambda: self._trial.report(value, step))
            if not self._ending and patiently(self._trial.should_prune):
                self._stop(PRUNED)
        except taken_errors():
            self._stop(TAKEN)

    def _stop(self, why: str, grace: float = GRACE) -> None:
        self._ending = why
        if self._process:
            self._process.stop(grace)

    def _finish_run(self) -> str:
        """Take in what a training reached; returns what is wrong with it."""
        metrics = json.loads((self._run / METRICS).read_text()) if (self._run / METRICS).is_file() else {}
        loss = metrics.get("best_validation_loss")
        if loss is None or not math.isfinite(loss):
            return "it left no best validation loss"
        losses, errors = (read_curve(self._run, CURVES[name]) for name in (VALIDATION_LOSS, ABSOLUTE_ERROR))
        best = min(losses, key=lambda epoch: losses[epoch], default=None)
        found = {
            **metrics.get("measures", {}),
            VALIDATION_LOSS: loss,
            ABSOLUTE_ERROR: errors.get(best) if best is not None else None,
            PARAMETERS: metrics.get("parameters"),
        }
        missing = [name for name in self._settings.objectives if name != LATENCY and found.get(name) is None]
        if missing:
            return f"the run tells no {missing[0]}; it tells {', '.join(sorted(found))}"
        curve = read_curve(self._run, CURVES[self._watched])
        course = {"epochs": list(curve), "values": list(curve.values())}
        self.runs.append({"seed": self._seed, "folder": str(self._run), "curve": course, **found})
        if self._settings.seeds and len(self._settings.objectives) == 1:
            name = next(iter(self._settings.objectives))
            self._report(sum(run[name] for run in self.runs) / len(self.runs), len(self.runs))
        return ""

    def _complete(self) -> Outcome:
        values = []
        for name in self._settings.objectives:
            if name == LATENCY:
                values.append(json.loads((self._run / LATENCY_FILE).read_text())["p50_ms"])
            else:
                values.append(sum(run[name] for run in self.runs) / len(self.runs))
        return self._outcome("COMPLETE", tuple(values))

    def _ended(self, code: int) -> Outcome:
        if self._ending == PRUNED:
            return self._outcome("PRUNED")
        if self._ending == TIMEOUT:
            error = f"longer than {self._settings.timeout:g} s"
            return self._outcome("FAIL", error=error, code=code)
        return self._outcome("TAKEN" if self._ending == TAKEN else "WAITING")

    def _outcome(self, state: Any, values: tuple[float, ...] | None = None, **more: Any) -> Outcome:
        outcome = Outcome(state, values, **more)
        told = {"values": values, "error": outcome.error, "exit_code": outcome.code} if state != "WAITING" else {}
        if state != "TAKEN":
            self.save(state.lower(), **told, seconds=round(self.seconds, 2), cpu_seconds=round(self.cpu, 2))
        return outcome
