"""Fitting the intervals of paired differences: split conformal prediction in which the patient is the unit.

Of each horizon bin and each set of treatments given (of all of them together, where one has too few), a third of the
patients tells how the size of the error goes with what the twin says: powers, by the likelihood of a Laplace error
whose scale is a product of powers. A third tells the factor, as `neurotwin.evaluation.calibration` does: the weighted
quantile of the scores, each patient with the same weight and the unseen one at infinity. A third tells the coverage.
For a new patient and a pair of plans drawn as these were, a difference picked at random is then covered with
probability of at least the level.

Sources: Lee, Barber & Willett 2023, arXiv:2306.06342 (the weights); Lei et al. 2018, Distribution-free predictive
inference for regression, JASA 113:1094 (scores by a fitted size of the error); Vovk 2012, Conditional validity of
inductive conformal predictors, ACML (a factor for each kind of case).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibrating.pairs import Gaps
from neurotwin.calibration import check_horizons, horizon_bins
from neurotwin.errors import CohortError
from neurotwin.evaluation.calibration import check_level
from neurotwin.evaluation.weights import equal_weights, weighted_quantile
from neurotwin.extras import need
from neurotwin.runtime import Predictor
from neurotwin.runtime.paired import PairedCalibration
from neurotwin.runtime.tried import FEATURES, LEAST, Tried, is_nothing, reach

Array = NDArray[np.float64]
LARGEST_POWER = 2.0
N_BINS = 4
PARTS = range(3)


class Cell(NamedTuple):
    """What was found for one group, horizon bin and channel; see `Tried`."""

    factor: float
    powers: Array
    typical: Array
    n_patients: int
    coverage: float
    n_test: int
    drawn: float


NOT_FITTED = Cell(np.nan, np.zeros(FEATURES), np.ones(FEATURES), 0, np.nan, 0, np.nan)


def fit_differences(
    gaps: Gaps,
    predictor: Predictor,
    *,
    horizons: Sequence[float] | None = None,
    min_patients: int = 100,
    seed: int,
    pairs: Mapping[str, Any],
) -> PairedCalibration:
    """The ``differences`` part of a bundle's calibration.

    Args:
        gaps: of patients who took no part in training.
        horizons: upper edges of the bins; None takes four with as many rows each.
        min_patients: in each of the three parts, below which a cell is not fitted: those of few jump from bin to bin.
        seed: by which the patients are dealt into three parts.
        pairs: who was simulated under which plans, for people.

    Raises:
        CohortError: no plans that differ, or too few patients for any cell.
        ConfigError: the horizons do not rise.
    """
    signature, level = predictor.signature, predictor.calibration.level
    given: NDArray[np.bool_] = np.any(gaps.totals > 0, axis=1)
    gaps = gaps.take(given.any(axis=1) & ~is_nothing(gaps.low, gaps.median, gaps.high, gaps.size))
    if not len(gaps):
        raise CohortError("no plans that differ", where="calibrate", remedy="draw other plans, or more patients")
    edges = check_horizons(_even_edges(gaps.after) if horizons is None else horizons)
    gaps = gaps.take(gaps.after <= edges[-1])
    part = _dealt(gaps.subject, seed)
    given = np.any(gaps.totals > 0, axis=1)
    bins = horizon_bins(gaps.after, edges)
    shape, least = (len(edges), len(signature.variables)), max(min_patients, check_level(level))
    pooled = _cells(gaps, part, bins, shape, level, least)
    groups = []
    for pattern in np.unique(given, axis=0):
        rows = np.flatnonzero((given == pattern).all(axis=1))
        own = gaps.take(rows)
        if _patients(own) < len(PARTS) * least:
            continue
        found = _cells(own, part[rows], bins[rows], shape, level, least)
        cells, basis = (
            np.where(_fitted(found), found, pooled),
            np.where(_fitted(found), 0, np.where(_fitted(pooled), 1, 2)),
        )
        names = tuple(one.name for one, told in zip(signature.treatments, pattern, strict=True) if told)
        if _fitted(cells).any():
            groups.append(
                Tried(names, _most(own, bins[rows], len(edges)), basis=basis.astype(np.int8), **_tables(cells))
            )
    if not groups:
        raise CohortError(
            f"{len(np.unique(gaps.subject))} patients whose plans differ",
            where="calibrate",
            expected=f"at least {least} in each third, horizon bin and set of treatments",
            remedy="set n_subjects higher, or fewer horizons",
        )
    units = {variable.name: variable.unit for variable in signature.variables}
    treatments = tuple(one.name for one in signature.treatments)
    return PairedCalibration(level, signature.time_unit, edges, units, treatments, tuple(groups), pairs)


def features_of(gaps: Gaps) -> Array:
    """``[row, 3]`` what the reach of an interval goes by, on the side on which the truth lies."""
    own = np.where(gaps.truth > gaps.median, gaps.high - gaps.median, gaps.median - gaps.low)
    return np.stack([own, np.abs(gaps.median), gaps.size], axis=-1)


def coverage_of(gaps: Gaps, low: Array, high: Array) -> float:
    """Share of differences between the ends, each patient with the same weight."""
    covered = (low <= gaps.truth) & (gaps.truth <= high)
    return float(np.average(covered, weights=equal_weights(gaps.subject)))


def _even_edges(after: Array) -> Array:
    """Edges with as many rows each, to two digits; the last holds all, to three."""
    inner, last = np.quantile(after, np.arange(1, N_BINS) / N_BINS), float(after.max())
    place = 10.0 ** (np.floor(np.log10(last)) - 2)
    return np.unique([*(float(f"{edge:.2g}") for edge in inner), float(f"{np.ceil(last / place) * place:.12g}")])


def _dealt(subject: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """``[row]`` 0, 1 or 2: the part of each row's patient."""
    known, place = np.unique(subject, return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(known)) % len(PARTS))[place])


def _cells(
    gaps: Gaps, part: NDArray[np.int64], bins: NDArray[np.int64], shape: tuple[int, int], level: float, least: int
) -> NDArray[np.object_]:
    """A `Cell` for each horizon bin and channel."""
    cells = np.empty(shape, dtype=object)
    for bin_, channel in np.ndindex(*shape):
        here = (bins == bin_) & (gaps.channel == channel)
        cells[bin_, channel] = _fit_cell([gaps.take(here & (part == number)) for number in PARTS], level, least)
    return cells


def _fitted(cells: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([[cell is not NOT_FITTED for cell in row] for row in cells], dtype=np.bool_)


def _most(gaps: Gaps, bins: NDArray[np.int64], n_bins: int) -> Array:
    """``[horizon, treatment]`` most that a plan gave by then."""
    totals = np.zeros((n_bins, gaps.totals.shape[2]))
    np.maximum.at(totals, bins, gaps.totals.max(axis=1))
    return np.maximum.accumulate(totals)


def _tables(cells: NDArray[np.object_]) -> dict[str, Any]:
    return {name: np.array([[getattr(cell, name) for cell in row] for row in cells]) for name in Cell._fields}


def _fit_cell(parts: Sequence[Gaps], level: float, least: int) -> Cell:
    fitted, scored, tested = parts
    if min(_patients(one) for one in parts) < least:
        return NOT_FITTED
    typical = np.average(features_of(fitted), axis=0, weights=equal_weights(fitted.subject))
    typical = np.where(typical > 0, typical, 1.0)
    powers = _powers(features_of(fitted) / typical, np.abs(fitted.truth - fitted.median), equal_weights(fitted.subject))
    score = np.abs(scored.truth - scored.median) / reach(features_of(scored), powers, typical)
    n = _patients(scored)
    factor = float(weighted_quantile(score, equal_weights(scored.subject), level * (n + 1) / n))
    if not (np.isfinite(factor) and factor > 0):
        return NOT_FITTED
    half = factor * reach(features_of(tested), powers, typical)
    found = coverage_of(tested, tested.median - half, tested.median + half)
    drawn = coverage_of(tested, tested.low, tested.high)
    return Cell(factor, powers, typical, n, found, _patients(tested), drawn)


def _powers(features: Array, error: Array, weight: Array) -> Array:
    """Powers, between 0 and 2, under which the errors are most likely as those of a Laplace distribution whose scale is
    a constant times the product."""
    logs = np.concatenate([np.ones((len(features), 1)), np.log(features + LEAST)], axis=1)
    weight = weight / weight.sum()
    typical = float(error @ weight)
    if not typical > 0:
        return np.zeros(FEATURES)
    relative = error / typical

    def loss(parameters: Array) -> tuple[float, Array]:
        scale = logs @ parameters
        ratio = relative * np.exp(-scale)
        return float((scale + ratio) @ weight), logs.T @ ((1 - ratio) * weight)

    bounds = [(-9.0, 9.0)] + [(0.0, LARGEST_POWER)] * FEATURES
    begin = np.r_[0.0, np.full(FEATURES, 1 / FEATURES)]
    found = need("scipy.optimize", "simulate").minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[1:], dtype=np.float64)


def _patients(gaps: Gaps) -> int:
    return len(np.unique(gaps.subject))
