"""Answers of many subjects as arrays: what `neurotwin.runtime.answer` makes of one forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import interval_positions
from neurotwin.episodes import Forecast
from neurotwin.landmarks import given_free
from neurotwin.runtime.answer import rounded, rounded_times
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reasons import Reason
from neurotwin.score.verdicts import Verdicts

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Attributes:
    ids: ``[subject]``
    begin: ``[subject]`` the plan's start.
    after: ``[query]`` times from there.
    median, low, high, mean: ``[subject, query, obs]`` in the variables' units; NaN where nothing is said.
    risk: ``[subject, query, outcome]``
    verdicts: of all subjects of the part.
    rows: ``[subject]`` their places in the part.
    """

    ids: NDArray[np.object_]
    begin: Array
    after: Array
    median: Array
    low: Array
    high: Array
    mean: Array
    risk: Array
    verdicts: Verdicts
    rows: Index

    @classmethod
    def empty(
        cls, ids: NDArray[np.object_], begin: Array, after: Array, predictor: Predictor, verdicts: Verdicts
    ) -> Answers:
        """In which nothing is said yet."""
        signature = predictor.signature
        shape = (len(ids), len(after))
        median, low, high, mean = (np.full((*shape, len(signature.variables)), np.nan) for _ in range(4))
        risk = np.full((*shape, len(signature.outcomes)), np.nan)
        return cls(ids, begin, after, median, low, high, mean, risk, verdicts, np.arange(len(ids)))

    def of(self, rows: Index) -> Answers:
        """Of some subjects, in the order of the part."""
        rows = np.sort(rows)
        told = {name: getattr(self, name)[rows] for name in ("ids", "begin", "median", "low", "high", "mean", "risk")}
        return replace(self, **told, rows=rows)

    def __len__(self) -> int:
        return len(self.ids)


def settle(
    predictor: Predictor, raw: Mapping[str, Array], members: Index, answers: Answers, verdicts: Verdicts
) -> None:
    """Calibrate and check what the graph said ``[member, query, ...]``, and keep what may be said.

    Where outcomes are told the first query is the plan's start: risks are those of who is free of all of them then.
    """
    n, q = len(members), len(answers.after)
    risk = np.zeros((n, q, 0))
    if predictor.signature.outcomes:
        risk = given_free(raw["incidence"][:, 1:], raw["incidence"][:, :1])
        raw = {name: values[:, 1:] for name, values in raw.items()}
    flat = {name: values.reshape(n * q, *values.shape[2:]) for name, values in raw.items()}
    forecast = Forecast(predictor.levels, flat["quantiles"], flat["draws"], mean=flat["mean"])
    calibrated = predictor.calibrated(forecast, np.tile(answers.after, n))
    quantiles = calibrated.quantiles.reshape(n, q, *calibrated.quantiles.shape[1:])
    median = calibrated.median.reshape(n, q, -1)
    finite = np.logical_and.reduce([_finite(values) for values in (quantiles, raw["draws"], risk)])
    plausible = _plausible(predictor, median)
    verdicts.refuse(Reason.SOLVER_FAILURE, members[~finite])
    verdicts.refuse(Reason.IMPLAUSIBLE_OUTPUT, members[finite & ~plausible.any(axis=1)])
    verdicts.warn(Reason.IMPLAUSIBLE_OUTPUT, members[finite & plausible.any(axis=1) & ~plausible.all(axis=1)])
    spoken = ~verdicts.silent[members]
    shown = np.where((plausible & spoken[:, None])[:, None, :], 1.0, np.nan)
    answers.median[members], answers.mean[members] = median * shown, raw["mean"] * shown
    if ends := interval_positions(forecast.levels, predictor.calibration.level):
        answers.low[members], answers.high[members] = (quantiles[..., end] * shown for end in ends)
    answers.risk[members] = np.where(spoken[:, None, None], risk, np.nan)


def columns_of(answers: Answers, predictor: Predictor) -> dict[str, Any]:
    """One row per subject, time and channel (``forecast``) or outcome (``risk``); one row of a subject of whom the
    model must not speak (``abstain``). Numbers are rounded as those of an answer."""
    signature, level = predictor.signature, predictor.calibration.level
    status, reasons = (told[answers.rows] for told in answers.verdicts.told())
    silent = answers.verdicts.silent[answers.rows]
    n, q, m, k = len(answers), len(answers.after), len(signature.variables), len(signature.outcomes)
    times = _numbers(rounded_times, answers.begin[:, None] + answers.after)
    passed = _numbers(rounded_times, answers.after)
    width = m + k
    names = [*(item.name for item in signature.variables), *signature.outcomes]
    units = [*(item.unit for item in signature.variables), *["1"] * k]
    binary = np.array([item.head.kind == "bernoulli" for item in signature.variables], dtype=bool)
    probability = np.concatenate([np.where(binary, answers.mean, np.nan), answers.risk], axis=2)
    blank = np.full((n, q, k), np.nan)
    numbers = {
        "median": np.concatenate([answers.median, blank], axis=2),
        "lo": np.concatenate([answers.low, blank], axis=2),
        "hi": np.concatenate([answers.high, blank], axis=2),
        "probability": probability,
    }
    kept = np.ones((n, q, width), dtype=bool)
    kept[silent] = False
    kept[silent, 0, 0] = True
    flat = np.flatnonzero(kept.ravel())
    subject, column = flat // (q * width), flat % width
    mute = silent[subject]
    told = {key: np.where(mute, np.nan, _numbers(rounded, values.ravel()[flat])) for key, values in numbers.items()}
    place = np.where(mute, width, column)
    return {
        "subject": answers.ids[subject],
        "status": status[subject],
        "reasons": reasons[subject],
        "kind": np.array([*["forecast"] * m, *["risk"] * k, "abstain"], dtype=object)[place],
        "channel": np.array([*names, None], dtype=object)[place],
        "unit": np.array([*units, None], dtype=object)[place],
        "t": np.where(mute, np.nan, times.reshape(n, q)[subject, flat // width % q]),
        "after": np.where(mute, np.nan, passed[flat // width % q]),
        **told,
        "level": np.where(mute | (column >= m) | np.isnan(told["lo"]), np.nan, level),
    }


def _numbers(rule: Any, values: Array) -> Array:
    return np.array(rule(values), dtype=np.float64)


def _finite(values: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))


def _plausible(predictor: Predictor, median: Array) -> NDArray[np.bool_]:
    low, high = np.array([channel.plausible for channel in predictor.signature.variables]).T
    return np.asarray(((median >= low) & (median <= high)).all(axis=1))
