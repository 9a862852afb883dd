"""What an optimiser is asked: a goal, the limits that it must keep, and how long it may search."""

from dataclasses import dataclass

from neurotwin.runtime.kinds import Fault, ListOf, Number, Record, Text, has

MOST_LIMITS, MOST_EVALUATIONS, MOST_SECONDS, MOST_POINTS = 50, 20_000, 600, 20


@dataclass(frozen=True)
class RiskObjective:
    """A threshold: the share of the joint draws that are beyond it, at any time of the plan's query, is kept small."""

    channel: str = has(Text())
    unit: str | None = has(Text(), default=None)
    above: float | None = has(Number(), default=None)
    below: float | None = has(Number(), default=None)

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise Fault("not one threshold", "exactly one of above, below")


@dataclass(frozen=True)
class GoalDocument:
    """A channel that is to be ``lower`` or ``higher``, against the total dose of a treatment, or against a risk.

    ``when``: at the ``end`` of the plan's query, or its ``mean``, ``highest`` or ``lowest`` over the query's times.
    """

    channel: str = has(Text())
    against: str | None = has(Text(), default=None)
    against_risk: RiskObjective | None = has(Record(RiskObjective), default=None)
    aim: str = has(Text(("lower", "higher")), default="lower")
    when: str = has(Text(("end", "mean", "highest", "lowest")), default="end")

    def __post_init__(self) -> None:
        if (self.against is None) == (self.against_risk is None):
            raise Fault("not one thing that the goal stands against", "exactly one of against, against_risk")


@dataclass(frozen=True)
class DoseLimits:
    """A treatment of the plan whose amounts (rates, levels) may vary between ``lowest`` and ``highest``, by default the
    trained range, and whose times may ``move`` either way. ``total``: most in all. ``gap``: least time between two."""

    treatment: str = has(Text())
    unit: str | None = has(Text(), default=None)
    lowest: float | None = has(Number(), default=None)
    highest: float | None = has(Number(), default=None)
    total: float | None = has(Number(), default=None)
    gap: float = has(Number(), default=0.0)
    move: float = has(Number(), default=0.0)

    def __post_init__(self) -> None:
        if self.gap < 0 or self.move < 0 or (self.total is not None and self.total <= 0):
            raise Fault("a limit is out of range", "gap >= 0, move >= 0, total > 0")


@dataclass(frozen=True)
class ToxicityLimit:
    """A threshold that at most a ``share`` of the joint draws may be beyond, at any time of the plan's query."""

    channel: str = has(Text())
    unit: str | None = has(Text(), default=None)
    above: float | None = has(Number(), default=None)
    below: float | None = has(Number(), default=None)
    share: float = has(Number(), default=0.1)

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None) or not 0 <= self.share < 1:
            raise Fault("not one threshold and a share", "exactly one of above, below; 0 <= share < 1")


@dataclass(frozen=True)
class ConstraintsDocument:
    """What may vary, and what must be kept. Treatments that are not named stay as in the plan."""

    doses: tuple[DoseLimits, ...] = has(ListOf(Record(DoseLimits), MOST_LIMITS))
    toxicity: tuple[ToxicityLimit, ...] = has(ListOf(Record(ToxicityLimit), MOST_LIMITS), default=())

    def __post_init__(self) -> None:
        if not self.doses or len({one.treatment for one in self.doses}) < len(self.doses):
            raise Fault("no treatment may vary, or one stands twice", "doses: each treatment once")


@dataclass(frozen=True)
class BudgetDocument:
    """How many plans are tried, for how long at most, how many ``points`` the front may have, and the seed."""

    evaluations: float = has(Number(), default=600)
    seconds: float = has(Number(), default=30)
    points: float = has(Number(), default=5)
    seed: float = has(Number(), default=0)

    def __post_init__(self) -> None:
        limits = ((self.evaluations, 1, MOST_EVALUATIONS), (self.points, 2, MOST_POINTS), (self.seed, 0, 2**31))
        if any(value != int(value) or not low <= value <= high for value, low, high in limits):
            raise Fault("a count is out of range", f"evaluations to {MOST_EVALUATIONS}, points 2 to {MOST_POINTS}")
        if not 0 < self.seconds <= MOST_SECONDS:
            raise Fault("seconds are out of range", f"0 < seconds <= {MOST_SECONDS}")
