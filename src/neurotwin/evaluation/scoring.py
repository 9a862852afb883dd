"""Scoring of one variable on one scale: losses per measurement, entered in a ledger and read back as records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import horizon_bins, interval_positions, level_position, modelled
from neurotwin.episodes import Episodes, Forecast, Targets
from neurotwin.evaluation.ledger import Ledger
from neurotwin.evaluation.metrics import (
    brier_each,
    coverage_each,
    crps_each,
    interval_score_each,
    log_score_each,
)
from neurotwin.evaluation.results import Difference, Horizon, Reliability, Scale, Score, finite

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Losses = dict[str, Array]


class Answer(NamedTuple):
    """One predictor's ``quantiles [target, quantile]`` of records at ``levels [quantile]``, where they can be scored,
    and for a bernoulli the ``probability [target]`` of a 1, if it was told."""

    levels: Array
    quantiles: Array
    usable: Mask
    probability: Array | None = None


@dataclass(frozen=True)
class Group:
    """The measurements of one variable on one scale, and all predictors' answers; arrays are ``[target]``."""

    variable: str
    unit: str
    scale: Scale
    n_subjects: int
    subject: NDArray[np.int64]
    bin: NDArray[np.int64]
    truth: Array
    answers: dict[str, Answer]

    @classmethod
    def of_variable(
        cls, index: int, forecasts: Mapping[str, Forecast], episodes: Episodes, targets: Targets, edges: Array
    ) -> Iterator[Self]:
        """The variable in its unit and, where it is modelled as a logarithm, on that scale; no censored values."""
        variable = episodes.schema.variables[index]
        head = variable.recorded_as
        exact = np.flatnonzero((targets.variable == index) & (targets.censor == 0))
        scales: list[Scale] = ["natural", "log"] if variable.transform == "log" else ["natural"]
        for scale in scales:
            convert = _identity if scale == "natural" else (lambda value: modelled(variable, value))
            truth = convert(targets.value[exact])
            rows, truth = exact[np.isfinite(truth)], truth[np.isfinite(truth)]
            query = targets.query[rows]
            subject = episodes.queries.subject[query].astype(np.int64)
            answers = {}
            for name, forecast in forecasts.items():
                quantiles = convert(head.recorded(np.asarray(forecast.quantiles[query, index], dtype=np.float64)))
                usable = np.asarray(np.isfinite(quantiles).all(axis=1))
                if forecast.ok is not None:
                    usable = usable & forecast.ok[query]
                probability = None
                if head.kind == "bernoulli" and forecast.mean is not None:
                    probability = np.asarray(forecast.mean[query, index], dtype=np.float64)
                    usable = usable & np.isfinite(probability)
                answers[name] = Answer(np.asarray(forecast.levels), quantiles, usable, probability)
            unit = variable.unit if scale == "natural" else f"ln({variable.unit})"
            bins = horizon_bins(episodes.queries.time[query] - episodes.cut[subject], edges)
            yield cls(variable.name, unit, scale, len(episodes), subject, bins, truth, answers)

    @property
    def names(self) -> dict[str, Any]:
        """The fields that name this group in a record."""
        return {"variable": self.variable, "unit": self.unit, "scale": self.scale}

    def sizes(self, used: Mask) -> dict[str, Any]:
        """The fields that count the measurements behind a record."""
        return {"n_subjects": len(np.unique(self.subject[used])), "n_targets": int(used.sum())}

    def cells(self, edges: Array) -> list[tuple[Horizon | None, Mask]]:
        """All horizons together, then each bin, with its measurements."""
        whole: list[tuple[Horizon | None, Mask]] = [(None, np.ones(len(self.truth), np.bool_))]
        lower = [0.0, *edges[:-1].tolist()]
        bins = enumerate(zip(lower, edges, strict=True))
        return whole + [((low, finite(high)), self.bin == number) for number, (low, high) in bins]


class Scored(NamedTuple):
    """Results of one group."""

    scores: list[Score]
    differences: list[Difference]
    reliability: list[Reliability]


def score_group(
    group: Group, *, baselines: Sequence[str], level: float, edges: Array, n_bootstrap: int, seed: int
) -> Scored:
    """Scores, differences from the baselines and, in the natural unit, reliability."""
    ledger = Ledger(group.subject, group.n_subjects)
    losses = {name: _losses(group.truth, answer, level) for name, answer in group.answers.items()}
    pairs = [(name, baseline) for baseline in baselines for name in group.answers if name not in baselines]
    cells = group.cells(edges)
    # Records are promised first and made after the ledger is settled.
    scores = [_score(ledger, group, name, losses[name], *cell) for name in group.answers for cell in cells]
    differences = [_difference(ledger, group, pair, losses, *cell) for pair in pairs for cell in cells]
    reliability = [_reliability(ledger, group, name) for name in group.answers if group.scale == "natural"]
    ledger.settle(n_bootstrap=n_bootstrap, seed=seed)
    return Scored([make() for make in scores], [make() for make in differences], [make() for make in reliability])


def _score(
    ledger: Ledger, group: Group, name: str, losses: Losses, horizon: Horizon | None, cell: Mask
) -> Callable[[], Score]:
    used = cell & group.answers[name].usable
    entries = {metric: ledger.enter(loss, used) for metric, loss in losses.items()}
    if (probability := group.answers[name].probability) is not None:
        entries["auc"] = ledger.enter_auc(group.truth, probability, used)

    def make() -> Score:
        metrics = {metric: ledger.metric(entry, root=metric == "rmse") for metric, entry in entries.items()}
        failed = int(cell.sum() - used.sum())
        return Score(
            predictor=name, horizon=horizon, n_failed=failed, metrics=metrics, **group.names, **group.sizes(used)
        )

    return make


def _difference(
    ledger: Ledger,
    group: Group,
    pair: tuple[str, str],
    losses: Mapping[str, Losses],
    horizon: Horizon | None,
    cell: Mask,
) -> Callable[[], Difference]:
    name, baseline = pair
    used = cell & group.answers[name].usable & group.answers[baseline].usable
    mine, theirs = losses[name], losses[baseline]
    entries = {one: (ledger.enter(mine[one], used), ledger.enter(theirs[one], used)) for one in mine if one in theirs}
    told, other = (group.answers[one].probability for one in pair)
    if told is not None and other is not None:
        entries["auc"] = (ledger.enter_auc(group.truth, told, used), ledger.enter_auc(group.truth, other, used))

    def make() -> Difference:
        metrics = {metric: ledger.metric(*entry, root=metric == "rmse") for metric, entry in entries.items()}
        return Difference(
            predictor=name, baseline=baseline, horizon=horizon, metrics=metrics, **group.names, **group.sizes(used)
        )

    return make


def _reliability(ledger: Ledger, group: Group, name: str) -> Callable[[], Reliability]:
    levels, quantiles, used, _ = group.answers[name]
    below = [ledger.enter((group.truth <= column).astype(np.float64), used) for column in quantiles.T]
    covered = {}
    for low, level in enumerate(levels[levels < 0.5 - 1e-6]):
        if (high := level_position(levels, 1 - level)) is not None:
            inside = (quantiles[:, low] <= group.truth) & (group.truth <= quantiles[:, high])
            covered[round(float(1 - 2 * level), 6)] = ledger.enter(inside.astype(np.float64), used)

    def make() -> Reliability:
        return Reliability(
            predictor=name,
            variable=group.variable,
            **group.sizes(used),
            levels=tuple(levels.tolist()),
            below=tuple(ledger.metric(entry) for entry in below),
            nominal=tuple(sorted(covered)),
            covered=tuple(ledger.metric(covered[nominal]) for nominal in sorted(covered)),
        )

    return make


def _losses(truth: Array, answer: Answer, level: float) -> Losses:
    """Loss per measurement and metric, NaN where the answer cannot be scored; rmse holds the square."""
    levels, quantiles, usable, probability = answer
    true, asked = truth[usable], quantiles[usable]
    error = asked[:, int(np.argmin(np.abs(levels - 0.5)))] - true
    found = {"mae": np.abs(error), "rmse": error**2, "bias": error, "crps": crps_each(true, asked, levels=levels)}
    if (ends := interval_positions(levels, level)) is not None:
        interval = asked[:, ends]
        found["coverage"] = coverage_each(true, interval)
        found["width"] = interval[:, 1] - interval[:, 0]
        found["interval_score"] = interval_score_each(true, interval, level=level)
    if probability is not None:
        found["brier"] = brier_each(true, probability[usable])
        found["log_score"] = log_score_each(true, probability[usable])
    whole = {}
    for metric, loss in found.items():
        whole[metric] = np.full(len(truth), np.nan)
        whole[metric][usable] = loss
    return whole


def _identity(value: Array) -> Array:
    return value
