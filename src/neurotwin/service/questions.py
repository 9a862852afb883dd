"""Bodies of the native API: the runtime's documents, put together.

``patient`` is a document, or the pseudonym of a twin in the store.
"""

from dataclasses import dataclass
from typing import Any

from neurotwin.runtime import (
    AlertPolicyDocument,
    BudgetDocument,
    ConstraintsDocument,
    EventDocument,
    GoalDocument,
    HorizonDocument,
    PatientDocument,
    PlanDocument,
    TargetDocument,
)
from neurotwin.runtime.kinds import Either, Fault, Flag, ListOf, Number, Record, Text, has

MOST_PLANS = 50
WHO = Either(Record(PatientDocument))


@dataclass(frozen=True)
class PredictQuestion:
    """What will happen to a patient under a plan. ``policy``: warn of a signal that is stuck or stale by it."""

    patient: PatientDocument | str = has(WHO)
    plan: PlanDocument = has(Record(PlanDocument))
    policy: AlertPolicyDocument | None = has(Record(AlertPolicyDocument), default=None)


@dataclass(frozen=True)
class CompareQuestion:
    """How the courses under several plans differ. ``policy`` as above."""

    patient: PatientDocument | str = has(WHO)
    plans: tuple[PlanDocument, ...] = has(ListOf(Record(PlanDocument), MOST_PLANS))
    policy: AlertPolicyDocument | None = has(Record(AlertPolicyDocument), default=None)


@dataclass(frozen=True)
class AlertsQuestion:
    """What is odd in a record. Without a ``policy`` by the default one, to which no signal is ever stale."""

    patient: PatientDocument | str = has(WHO)
    policy: AlertPolicyDocument | None = has(Record(AlertPolicyDocument), default=None)


@dataclass(frozen=True)
class RiskQuestion:
    """How likely it is that a channel crosses a threshold, under a plan or as it is."""

    patient: PatientDocument | str = has(WHO)
    event: EventDocument = has(Record(EventDocument))
    horizon: HorizonDocument = has(Record(HorizonDocument))
    plan: PlanDocument | None = has(Record(PlanDocument), default=None)


@dataclass(frozen=True)
class ExplainQuestion:
    """What a forecast rests on."""

    patient: PatientDocument | str = has(WHO)
    plan: PlanDocument = has(Record(PlanDocument))
    target: TargetDocument = has(Record(TargetDocument))


@dataclass(frozen=True)
class OptimiseQuestion:
    """Which plans, within limits, serve a goal."""

    patient: PatientDocument | str = has(WHO)
    plan: PlanDocument = has(Record(PlanDocument))
    goal: GoalDocument = has(Record(GoalDocument))
    constraints: ConstraintsDocument = has(Record(ConstraintsDocument))
    budget: BudgetDocument | None = has(Record(BudgetDocument), default=None)


@dataclass(frozen=True)
class Watched:
    """The risk that the overview of all patients sorts by."""

    event: EventDocument = has(Record(EventDocument))
    horizon: HorizonDocument = has(Record(HorizonDocument))


@dataclass(frozen=True)
class ForecastQuestion:
    """A forecast of a twin in the store: of one ``plan``, or of several ``plans`` that are compared.

    ``keep``: the answer is kept with the patient. ``risk``: told beside it, and kept with it.
    """

    plan: PlanDocument | None = has(Record(PlanDocument), default=None)
    plans: tuple[PlanDocument, ...] | None = has(ListOf(Record(PlanDocument), MOST_PLANS), default=None)
    keep: bool = has(Flag(), default=True)
    risk: Watched | None = has(Record(Watched), default=None)

    def __post_init__(self) -> None:
        if (self.plan is None) == (self.plans is None):
            raise Fault("not one way of asking", "plan, or plans")
        if self.plans is not None and self.risk is not None:
            raise Fault("a risk beside several plans", "plan")


@dataclass(frozen=True)
class RetractQuestion:
    """Take back what a request brought."""

    request: str = has(Text())


@dataclass(frozen=True)
class OverviewQuery:
    """Which patients of the store, and in which order; see `neurotwin.store.Filter`."""

    prefix: str = has(Text(), default="")
    model: str | None = has(Text(), default=None)
    status: str | None = has(Text(("ok", "degraded", "abstain")), default=None)
    min_risk: float | None = has(Number(), default=None)
    order: str = has(Text(("id", "risk", "updated")), default="risk")
    limit: float = has(Number(), default=100)
    offset: float = has(Number(), default=0)

    def __post_init__(self) -> None:
        for value, low, high in ((self.limit, 1, 1000), (self.offset, 0, 10**9)):
            if value != int(value) or not low <= value <= high:
                raise Fault("a count is out of range", "limit 1 to 1000, offset 0 or more")


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """JSON Schema of a body."""
    return Record(kind).schema()
