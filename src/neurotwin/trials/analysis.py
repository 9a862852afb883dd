"""One endpoint of one trial: the effect by each analysis that its kind allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.trials import effects, survival
from neurotwin.trials.effects import Effect
from neurotwin.trials.endpoints import Kind, Outcome

Array = NDArray[np.float64]
UNADJUSTED, BASELINE, SCORE, BOTH = "unadjusted", "baseline", "twin", "baseline and twin"
LOG_RANK, FISHER = "log-rank", "Fisher"
WORDS = {
    UNADJUSTED: "difference of means",
    BASELINE: "ANCOVA on the baseline",
    SCORE: "PROCOVA: ANCOVA on the twin's forecast",
    BOTH: "PROCOVA: ANCOVA on the twin's forecast and the baseline",
}


@dataclass(frozen=True)
class Pool:
    """Subjects whose outcome is known under both arms.

    Attributes:
        kind: of the endpoint.
        control, treated: outcomes, with what is missing because subjects leave.
        baseline: ``[subject]`` of the endpoint's variable.
        score: ``[subject]`` the twin's forecast of the endpoint under control, or None.
        stratum: ``[subject]``
    """

    kind: Kind
    control: Outcome
    treated: Outcome
    baseline: Array
    score: Array | None
    stratum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.baseline)

    def covariates(self, analysis: str) -> Array:
        """``[subject, covariate]`` of an analysis of means."""
        score = [] if self.score is None else [self.score]
        columns = {UNADJUSTED: [], BASELINE: [self.baseline], SCORE: score, BOTH: [self.baseline, *score]}[analysis]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self), 0))

    @property
    def analyses(self) -> tuple[str, ...]:
        """Those that the kind allows."""
        if self.kind == "time":
            return (LOG_RANK,)
        if self.kind == "binary":
            return (FISHER,)
        return (UNADJUSTED, BASELINE) if self.score is None else (UNADJUSTED, BASELINE, SCORE, BOTH)


class Sample(NamedTuple):
    """Who takes part in one trial: positions ``rows`` in a pool, and who is ``treated``; ``null`` gives everyone the
    outcome under control."""

    rows: NDArray[np.int64]
    treated: NDArray[np.bool_]
    null: bool = False

    def outcome(self, pool: Pool) -> Outcome:
        """Seen in this trial."""
        control, treated = pool.control.take(self.rows), pool.treated.take(self.rows)
        if self.null:
            return control
        return Outcome(
            *(
                None if a is None or b is None else np.where(self.treated, b, a)
                for a, b in zip(control, treated, strict=True)
            )  # type: ignore[arg-type]
        )


def effect_of_means(pool: Pool, sample: Sample, analysis: str, confidence: float) -> Effect:
    """By one of the analyses of a continuous endpoint."""
    value = sample.outcome(pool).value
    if analysis == UNADJUSTED:
        return effects.mean_difference(value, sample.treated, confidence)
    covariates = pool.covariates(analysis)[sample.rows]
    return effects.adjusted_difference(value, sample.treated, covariates, confidence, WORDS[analysis])


def p_value(pool: Pool, sample: Sample, analysis: str, confidence: float, *, stratified: bool) -> float:
    """Of one analysis."""
    outcome = sample.outcome(pool)
    if analysis == LOG_RANK and outcome.event is not None:
        stratum = pool.stratum[sample.rows] if stratified else None
        return survival.log_rank(outcome.value, outcome.event, sample.treated, stratum)
    if analysis == FISHER:
        return effects.risk_difference(outcome.value, sample.treated, confidence).p
    return effect_of_means(pool, sample, analysis, confidence).p


def analyse(pool: Pool, sample: Sample, confidence: float, until: float, *, stratified: bool) -> dict[str, Any]:
    """Everything that is told of an endpoint of one trial, as plain data."""
    outcome = sample.outcome(pool)
    seen = np.isfinite(outcome.value)
    sides = {"control": ~sample.treated, "treated": sample.treated}
    found: dict[str, Any] = {"n": {name: int((seen & side).sum()) for name, side in sides.items()}}
    if outcome.event is not None:
        stratum = pool.stratum[sample.rows] if stratified else None
        clean = outcome.value if outcome.clean is None else outcome.clean
        curves = {
            name: survival.kaplan_meier(outcome.value[side], outcome.event[side], confidence)
            for name, side in sides.items()
        }
        mean_gap = survival.restricted_mean_difference(outcome.value, outcome.event, sample.treated, until, confidence)
        ratio = survival.hazard_ratio(outcome.value, outcome.event, sample.treated, confidence, stratum)
        width = outcome.value - clean
        return found | {
            "curves": {name: curve._asdict() for name, curve in curves.items()},
            "earlier": {
                name: survival.kaplan_meier(
                    np.where(outcome.event, clean, outcome.value)[side], outcome.event[side], confidence
                ).median
                for name, side in sides.items()
            },
            "interval_width": float(np.mean(width[outcome.event])) if outcome.event.any() else None,
            "log_rank_p": survival.log_rank(outcome.value, outcome.event, sample.treated, stratum),
            "stratified": stratified,
            "hazard_ratio": ratio._asdict() if ratio else None,
            "restricted_mean": mean_gap._asdict(),
        }
    if pool.kind == "binary":
        return found | {"risk_difference": effects.risk_difference(outcome.value, sample.treated, confidence)._asdict()}
    means = {name: _summary(outcome.value[seen & side]) for name, side in sides.items()}
    told: Mapping[str, Effect] = {one: effect_of_means(pool, sample, one, confidence) for one in pool.analyses}
    return found | {"means": means, "effects": {name: effect._asdict() for name, effect in told.items()}}


def _summary(value: Array) -> dict[str, float]:
    return {"mean": float(value.mean()), "sd": float(value.std(ddof=1)) if len(value) > 1 else float("nan")}


def true_effect(pool: Pool, until: float) -> dict[str, float]:
    """The average effect among everybody in the pool, of whom both outcomes are known.

    Missing outcomes are left out pairwise: use a pool in which nobody leaves. Of a time, the difference of restricted
    means and Cox's hazard ratio of all outcomes under treatment against all under control.
    """
    control, treated = pool.control, pool.treated
    if control.event is None or treated.event is None:
        gap = treated.value - control.value
        kept = np.isfinite(gap)
        return {"difference": float(gap[kept].mean()), "sd": float(gap[kept].std()), "n": float(kept.sum())}
    time = np.concatenate([control.value, treated.value])
    event = np.concatenate([control.event, treated.event])
    side = np.repeat([False, True], len(control.value))
    ratio = survival.hazard_ratio(time, event, side, 0.95)
    mean_gap = survival.restricted_mean_difference(time, event, side, until, 0.95).estimate
    return {
        "restricted_mean": mean_gap,
        "hazard_ratio": ratio.estimate if ratio else float("nan"),
        "n": float(len(pool)),
    }
