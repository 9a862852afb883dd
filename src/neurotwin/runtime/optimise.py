"""Doses and times of a plan, varied within limits: the front of a goal against a total dose. Never a single order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.asked import Asked
from neurotwin.runtime.goals import BudgetDocument, GoalDocument
from neurotwin.runtime.history import check_settings
from neurotwin.runtime.reading import SAME, Notes
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.risk import column_of, silence

if TYPE_CHECKING:
    from neurotwin.runtime.twin import Twin

Array = NDArray[np.float64]
REFUSED = 1e6
"""Violation of a plan that the model must not speak about: more than any limit can be missed by."""
NEAR = 0.01
"""Share of a limit within which it is said to bind."""
GRID = 1000
"""Amounts and times are whole thousandths of their range."""
STATISTICS = {"end": lambda course: course[-1], "mean": lambda course: course.mean(axis=0)}
STATISTICS |= {"highest": lambda course: course.max(axis=0), "lowest": lambda course: course.min(axis=0)}


@dataclass
class Limit:
    """One treatment's rows of the dose table and what they must keep, in the bundle's units."""

    name: str
    unit: str
    rows: NDArray[np.int64]
    lowest: float
    highest: float
    total: float | None
    gap: float
    move: float


@dataclass
class Tried:
    """A plan that was tried; ``violation`` is 0 where every limit is kept, ``missed`` names those that are not.

    ``total`` is what the goal stands against: a total dose, or a risk.
    """

    item: Asked
    total: float
    violation: float
    value: float
    draws: Array
    binding: list[str] = field(default_factory=list)
    missed: list[dict[str, Any]] = field(default_factory=list)
    point: Array = field(default_factory=lambda: np.zeros(0))

    def miss(self, limit: str, by: float, unit: str, share: float) -> None:
        """A limit is missed ``by`` so much, which is a ``share`` of it."""
        self.violation += share
        self.missed.append({"limit": limit, "by": by, "unit": unit})


@dataclass(frozen=True)
class Toxic:
    """A threshold in the bundle's unit, ``sign`` 1 above and -1 below, and the share of draws that may be beyond."""

    name: str
    column: int
    sign: float
    threshold: float
    share: float = 0.0

    def risk(self, draws: Array) -> float:
        """Share of the joint draws ``[query, obs, draw]`` that are beyond at any time."""
        return float((self.sign * (draws[:, self.column] - self.threshold) > 0).any(axis=0).mean())


class Search:
    """Plans around a template, judged many at a time."""

    def __init__(
        self,
        twin: Twin,
        template: Asked,
        goal: GoalDocument,
        limits: list[Limit],
        toxic: list[Toxic],
        risk: Toxic | None,
    ) -> None:
        self.twin, self.template, self.goal, self.limits, self.toxic = twin, template, goal, limits, toxic
        self.risk, self.time_unit = risk, twin.predictor.signature.time_unit
        self.column = column_of(twin.predictor.reader, goal.channel, "goal: channel")
        self.sign = 1.0 if goal.aim == "lower" else -1.0
        self.against = next((limit for limit in limits if limit.name == goal.against), None)
        self.tried: list[Tried] = []
        low, high = [], []
        doses, begin = template.doses, twin.begin
        last = begin + float(template.after[-1]) if template.after is not None else begin
        for limit in limits:
            low += [limit.lowest] * len(limit.rows)
            high += [limit.highest] * len(limit.rows)
            if limit.move:
                low += np.maximum(doses.time[limit.rows] - limit.move, begin).tolist()
                high += np.minimum(doses.time[limit.rows] + limit.move, max(last, begin)).tolist()
        self.low, self.high = np.array(low), np.maximum(high, low)

    def judge_template(self) -> Tried:
        """The plan as it came."""
        return self._judged(self.template)

    def judge(self, points: Array) -> list[Tried]:
        """Plans ``[plan, number]``, numbers from 0 to 1, from one run of the graph."""
        numbers = self.low + np.rint(points * GRID) / GRID * (self.high - self.low)
        items = [self._item(row) for row in numbers]
        self.twin.solve([item for item in items if not item.notes.refused])
        found = [self._judged(item) for item in items]
        for one, point in zip(found, points, strict=True):
            one.point = point
        self.tried += found
        return found

    def _item(self, numbers: Array) -> Asked:
        doses, place = self.template.doses, 0
        when, end, amount = doses.time.copy(), doses.end.copy(), doses.amount.copy()
        for limit in self.limits:
            n = len(limit.rows)
            amount[limit.rows], place = numbers[place : place + n], place + n
            if limit.move:
                end[limit.rows] += numbers[place : place + n] - when[limit.rows]
                when[limit.rows], place = numbers[place : place + n], place + n
        item = replace(self.template, notes=Notes(), doses=replace(doses, time=when, end=end, amount=amount))
        item.forecast = None
        check_settings(item.doses, self.twin.predictor.signature, "plan.", item.notes)
        return item

    def _judged(self, item: Asked) -> Tried:
        silence(item, self.column, self.goal.channel)
        draws = None if item.forecast is None else item.forecast.draws
        if draws is None or Reason.EXTRAPOLATION in item.notes.warned or np.isnan(draws).any():
            return Tried(item, self._second(item, None), REFUSED, np.nan, np.zeros(0))
        course = STATISTICS[self.goal.when](draws[:, self.column])
        tried = Tried(item, self._second(item, draws), 0.0, float(np.median(course)), course)
        for limit in self.limits:
            self._keep(tried, limit)
        for one in self.toxic:
            over = one.risk(draws)
            if over > one.share:
                tried.miss(f"toxicity: {one.name}", over - one.share, "1", over - one.share)
            if over + 1 / draws.shape[-1] > one.share:  # one more draw would be too many
                tried.binding.append(f"toxicity: {one.name}")
        return tried

    def _second(self, item: Asked, draws: Array | None) -> float:
        """What the goal stands against: a total dose, or a risk, 1 where it is not known."""
        if self.against is not None:
            return self.total(item, self.against)
        return 1.0 if draws is None or self.risk is None else self.risk.risk(draws)

    def _keep(self, tried: Tried, limit: Limit) -> None:
        doses, near = tried.item.doses, NEAR * (limit.highest - limit.lowest)
        amount, when = doses.amount[limit.rows], np.sort(doses.time[limit.rows])
        for name, bound in (("lowest", amount.min() - limit.lowest), ("highest", limit.highest - amount.max())):
            if bound <= near:
                tried.binding.append(f"{name}: {limit.name}")
        if limit.total is not None:
            total = self.total(tried.item, limit)
            if total > limit.total * (1 + SAME):
                unit = limit.unit if doses.is_bolus[limit.rows].all() else f"{limit.unit}.{self.time_unit}"
                tried.miss(f"total: {limit.name}", total - limit.total, unit, total / limit.total - 1)
            if total >= limit.total * (1 - NEAR):
                tried.binding.append(f"total: {limit.name}")
        if limit.gap and len(when) > 1:
            least = float(np.diff(when).min())
            if least < limit.gap * (1 - SAME):
                tried.miss(f"gap: {limit.name}", limit.gap - least, self.time_unit, 1 - least / limit.gap)
            if least <= limit.gap * (1 + NEAR):
                tried.binding.append(f"gap: {limit.name}")

    @staticmethod
    def total(item: Asked, limit: Limit) -> float:
        """Amounts of a bolus, rates times their length."""
        doses = item.doses
        length = np.where(doses.is_bolus, 1.0, doses.end - doses.time)[limit.rows]
        return float((doses.amount[limit.rows] * length).sum())


def search(scipy_optimize: Any, found: Search, budget: BudgetDocument) -> str:
    """Fill ``found.tried`` by differential evolution under rising caps of the total dose; returns why it stopped.

    Storn and Price 1997, J Glob Optim 11:341, as scipy has it.
    """
    stop, n, size = time.monotonic() + budget.seconds, int(budget.points), len(found.low)
    ends = [found.judge(np.full((1, size), end))[0].total for end in (0.0, 1.0)]
    low, high = (0.0, 1.0) if found.risk is not None else ends
    if found.against is not None and found.against.total is not None:
        high = min(high, found.against.total)
    each = (int(budget.evaluations) - len(found.tried)) // n
    popsize = max(5, min(24, each // 5)) / size
    population = max(5, round(popsize * size))
    for number, cap in enumerate(np.linspace(low, high, n + 1)[1:]):

        def cost(points: Array, cap: float = float(cap)) -> Array:
            told = found.judge(points.T)
            over = [one.violation + max((one.total - cap) / (high - low or 1.0) - SAME, 0.0) for one in told]
            kept = zip(told, over, strict=True)
            return np.array([found.sign * one.value if miss == 0 else REFUSED * (1 + miss) for one, miss in kept])

        start = np.random.default_rng([int(budget.seed), number]).random((population, size))
        start[0] = min(found.tried, key=lambda one: one.violation).point
        scipy_optimize.differential_evolution(
            cost,
            [(0.0, 1.0)] * size,
            init=start,
            maxiter=max(1, each // population - 1),
            tol=0.0,
            rng=int(budget.seed),
            polish=False,
            vectorized=True,
            updating="deferred",
            callback=lambda *_, **__: time.monotonic() > stop,
        )
        if time.monotonic() > stop:
            return "seconds"
    return "evaluations"
