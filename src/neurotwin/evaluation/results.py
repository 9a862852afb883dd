"""What an evaluation found, as plain records that go to JSON and back. Numbers are finite or None."""

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from neurotwin.errors import InputError

Scale = Literal["natural", "log"]
Horizon = tuple[float, float | None]  # after, up to and with; None = open


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(_Record):
    """A number with its 95 % patient-bootstrap interval; None where there was nothing to compute it from."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> Self:
        """From floats of which any may be NaN or infinite."""
        return cls(value=finite(value), low=finite(low), high=finite(high))


class Metric(_Record):
    """One metric in two weightings: ``pooled`` over measurements; ``patient``, where each patient weighs the same."""

    pooled: Estimate
    patient: Estimate


class Score(_Record):
    """How one predictor did on one variable, scale and horizon bin (None: all horizons).

    ``metrics``: mae, rmse, bias, crps, width and interval_score in ``unit``, coverage as a share; width, coverage and
    interval_score only where the forecast has the quantiles; brier, log_score (nats) and auc of bernoulli variables,
    where the forecast tells a probability. ``n_failed`` measurements had no usable answer and are in
    no metric.
    """

    predictor: str
    variable: str
    unit: str
    scale: Scale
    horizon: Horizon | None
    n_subjects: int
    n_targets: int
    n_failed: int
    metrics: dict[str, Metric]


class Difference(_Record):
    """Metric of ``predictor`` minus that of ``baseline`` on the measurements that both answered, same resamples."""

    predictor: str
    baseline: str
    variable: str
    unit: str
    scale: Scale
    horizon: Horizon | None
    n_subjects: int
    n_targets: int
    metrics: dict[str, Metric]


class SubgroupScore(_Record):
    """`Score` over all horizons among the subjects of one ``part`` that the static covariate ``by`` makes."""

    by: str
    part: str
    predictor: str
    variable: str
    unit: str
    scale: Scale
    n_subjects: int
    n_targets: int
    n_failed: int
    metrics: dict[str, Metric]


class Reliability(_Record):
    """Shares that should equal their level, over all horizons.

    ``below``: share of truths at or below the quantile of each of ``levels``. ``covered``: share inside the central
    interval of each ``nominal`` level.
    """

    predictor: str
    variable: str
    n_subjects: int
    n_targets: int
    levels: tuple[float, ...]
    below: tuple[Metric, ...]
    nominal: tuple[float, ...]
    covered: tuple[Metric, ...]


class VariableCount(_Record):
    """Measurements after the cut: scored ones, censored ones (left out), and those that the log scale cannot hold."""

    n_targets: int
    n_censored: int
    n_off_scale: int


class EventScore(_Record):
    """How well one predictor foretold one outcome by ``horizon`` after the landmark.

    ``c_index``: pairs ranked rightly; ``brier``: mean squared error of the risk; ``predicted`` and ``observed``: mean
    risk and share to whom it happened; ``groups``: the same by thirds of the risk. All with inverse probability of
    censoring weights (`neurotwin.evaluation.event_metrics`).
    """

    predictor: str
    outcome: str
    horizon: float
    n_subjects: int
    n_events: int
    c_index: Estimate
    brier: Estimate
    predicted: Estimate
    observed: Estimate
    groups: tuple[tuple[float, float], ...] = ()


class EventDifference(_Record):
    """C-index and Brier score of ``predictor`` minus those of ``baseline``, same subjects and resamples."""

    predictor: str
    baseline: str
    outcome: str
    horizon: float
    c_index: Estimate
    brier: Estimate


class IntegratedBrier(_Record):
    """Mean Brier score over the times from the landmark to the last horizon."""

    predictor: str
    outcome: str
    until: float
    value: Estimate


class EventReport(_Record):
    """Everything that was found about event times of the subjects who were free of all outcomes at the landmark.

    ``ended``: how the follow-up of those subjects ended, by outcome and ``censored``. ``left_out``: baselines that
    could not be fitted, with the reason.
    """

    cut: float | Literal["random"]
    horizons: tuple[float, ...]
    n_subjects: int
    ended: dict[str, int]
    predictors: tuple[str, ...]
    scores: tuple[EventScore, ...]
    integrated: tuple[IntegratedBrier, ...]
    differences: tuple[EventDifference, ...]
    left_out: dict[str, str] = {}

    def score(self, predictor: str, outcome: str, horizon: float) -> EventScore:
        """One score; raises InputError when there is none."""
        for one in self.scores:
            if (one.predictor, one.outcome, one.horizon) == (predictor, outcome, horizon):
                return one
        raise _missing("event score", predictor, outcome, horizon)


class EvaluationReport(_Record):
    """Everything that one call of `neurotwin.evaluation.evaluate` found, and how it was asked.

    ``n_subjects`` of the cohort, ``n_scored`` of them had a past and a future; ``failed``: queries that a predictor
    declared not answered. ``events``: of a cohort whose schema has outcomes.
    """

    version: str
    cohort: str
    time_unit: str
    cut: float | Literal["random", "per_subject"]
    min_visits: int
    horizons: tuple[float | None, ...]
    level: float
    confidence: float
    n_bootstrap: int
    seed: int
    n_subjects: int
    n_scored: int
    n_queries: int
    predictors: tuple[str, ...]
    baselines: tuple[str, ...]
    variables: dict[str, VariableCount]
    failed: dict[str, int]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    reliability: tuple[Reliability, ...]
    subgroups: tuple[SubgroupScore, ...] = ()
    events: EventReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: finite numbers, text or None."""
        content = self.model_dump(mode="json")
        if self.events is None:  # a cohort without outcomes
            del content["events"]
        return content

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what `to_dict` wrote; raises InputError with the place of the first fault."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(first["msg"], where=f"evaluation report: {place}") from None

    def score(self, predictor: str, variable: str, scale: Scale = "natural", horizon: Horizon | None = None) -> Score:
        """One score; raises InputError when there is none."""
        for one in self.scores:
            if (one.predictor, one.variable, one.scale, one.horizon) == (predictor, variable, scale, horizon):
                return one
        raise _missing("score", predictor, variable, scale, horizon)

    def difference(
        self, predictor: str, baseline: str, variable: str, scale: Scale = "natural", horizon: Horizon | None = None
    ) -> Difference:
        """One difference; raises InputError when there is none."""
        wanted = (predictor, baseline, variable, scale, horizon)
        for one in self.differences:
            if (one.predictor, one.baseline, one.variable, one.scale, one.horizon) == wanted:
                return one
        raise _missing("difference", *wanted)

    def horizon_label(self, horizon: Horizon | None) -> str:
        """A horizon bin in words, such as ``90-365 d``."""
        if horizon is None:
            return "all"
        after, until = horizon
        return f"> {after:g} {self.time_unit}" if until is None else f"{after:g}-{until:g} {self.time_unit}"


def finite(value: float) -> float | None:
    """The number, or None when it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


def _missing(what: str, *wanted: object) -> InputError:
    return InputError(f"no {what} of {', '.join(str(part) for part in wanted)}", where="evaluation report")
