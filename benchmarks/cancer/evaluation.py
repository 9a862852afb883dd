"""One forecaster on all three test sets of one gamma, seed and track."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.cancer.scoring import Errors, Interval, errors_of, one_step_scores, paired_interval, patient_interval
from benchmarks.cancer.sets import Sets
from benchmarks.cancer.task import Forecaster, forecast_rows
from benchmarks.cancer.testsets import TestSet
from benchmarks.cancer.tracks import Track, measure

from neurotwin.errors import SolverError

TEST_SETS = ("one_step", "sliding", "randomised")
Make = Callable[[TestSet, Track], Sequence[Forecaster]]
"""Forecasters for the patients of a test set; several are averaged, and their spread is a Monte-Carlo error."""


@dataclass(frozen=True)
class Evaluation:
    """Scores in %, and the errors by patient behind them, by test set."""

    scores: dict[str, Any]
    errors: dict[str, Errors]

    def save(self, path: Path) -> None:
        """Keep the errors for later comparisons."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {f"{name}.{key}": value for name, one in self.errors.items() for key, value in vars(one).items()}
        np.savez_compressed(path, **content)


def load_errors(path: Path) -> dict[str, Errors]:
    """Back from `Evaluation.save`."""
    with np.load(path) as content:
        return {name: Errors(content[f"{name}.total"], content[f"{name}.count"]) for name in TEST_SETS}


def evaluate(sets: Sets, make: Make, track: Track, *, gamma: float, seed: int) -> Evaluation:
    """Forecast every row of every test set and score it."""
    begin, used, errors = time.perf_counter(), time.process_time(), {}
    scores: dict[str, Any] = {}
    for name in TEST_SETS:
        test: TestSet = getattr(sets, name)
        # The volume that ends a course is an outcome only: no row is asked after it.
        observed = measure(test.volume, test.last - 1, track, gamma=gamma, seed=seed, part=name)
        found = [forecast_rows(test, observed, forecaster) for forecaster in make(test, track)]
        forecast = np.mean(found, axis=0)
        if wrong := int((~np.isfinite(forecast)).sum()):
            raise SolverError(f"{wrong} forecasts are not finite", where=f"{name}, gamma {gamma:g}, seed {seed}")
        errors[name] = errors_of(test, forecast)
        scores[name] = one_step_scores(test, forecast) if name == "one_step" else _rounded(errors[name].score)
        if len(found) > 1:
            spread = np.std([errors_of(test, one).score for one in found], axis=0, ddof=1)
            scores |= {f"{name}_monte_carlo": _rounded(spread), "members": len(found)}
    interval = patient_interval(errors["sliding"])
    scores["sliding_last_interval"] = _rounded(np.array([interval.low[-1], interval.high[-1]]))
    scores["evaluate_cpu_seconds"] = round(time.process_time() - used, 1)
    scores["evaluate_seconds"] = round(time.perf_counter() - begin, 1)
    return Evaluation(scores, errors)


def impossible(errors: dict[str, Errors], floor: dict[str, Errors]) -> dict[str, Interval]:
    """Test sets on which a score lies below the floor by more than chance of the patients explains, with by how much.

    The floor is a posterior mean: nobody who does not see the future is better in expectation. An entry here calls for
    the leakage tests.
    """
    found = {name: paired_interval(errors[name], floor[name]) for name in errors}
    return {name: one for name, one in found.items() if (one.high < 0).any()}


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]
