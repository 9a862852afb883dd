"""How recorded meals and boluses of insulin are delivered: bite by bite, and within a minute.

The rules are those of simglucose 0.2.11, whose clock ticks once a minute: what is announced is added to what is still
to be eaten, and at each tick a bite of at most 5 g is begun. Here the clock starts with the first meal, at any time,
and runs as long as there is something to eat.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.schema import Treatment

Array = NDArray[np.float64]
Index = NDArray[np.int64]

BITE = 1.0
"""Minutes that a bite takes."""
GRAMS = 5.0
"""Most that a bite holds."""
SAME_BOUT = 1e-3
"""A bite that begins this much after the end of the last one, in minutes, still belongs to the same bout."""
CUTS = 4
"""Rows per bite: emptying of the stomach changes so fast while eating that fixed steps are made shorter."""


def act_out_deliveries(doses: Doses, treatments: tuple[Treatment, ...], *, bolus: int, meal: int) -> Doses:
    """``doses`` with the boluses of column ``bolus`` as one-minute infusions (amount per minute) and those of column
    ``meal`` as bites: each a bolus of its grams, which counts it, and periods at the rate (g/min) at which it is eaten.

    Raises:
        SimulationError: a bolus or a meal given as a period, or an amount out of its treatment's range.
    """
    given = np.isin(doses.treatment, (bolus, meal))
    for column in (bolus, meal):
        _check(doses.take(doses.treatment == column), treatments[column])
    shots = doses.take(doses.treatment == bolus)
    subject, begin, number, grams = _bites(doses.take(doses.treatment == meal))
    # Counted from the meal's begin, so that where a bite ends and where the next one begins are the same number.
    edge = begin[:, None] + BITE * (number[:, None] + np.arange(CUTS + 1) / CUTS)
    rate = np.repeat(grams / BITE, CUTS)
    return Doses.concatenate(
        doses.take(~given),
        Doses.of(shots.subject, shots.time, shots.time + BITE, bolus, shots.amount / BITE),
        Doses.of(subject, edge[:, 0], np.nan, meal, grams),
        Doses.of(np.repeat(subject, CUTS), edge[:, :-1].ravel(), edge[:, 1:].ravel(), meal, rate),
    )


def _check(doses: Doses, treatment: Treatment) -> None:
    if not doses.is_bolus.all():
        raise SimulationError(f"{treatment.name} is given as a period", where="doses", expected=treatment.kind)
    low, high = treatment.plausible
    bad = doses.amount[~((doses.amount >= low) & (doses.amount <= high))]
    if bad.size:
        expected = f"{low:g} to {high:g} {treatment.unit}"
        raise SimulationError(f"{treatment.name} = {bad[0]:g} {treatment.unit}", where="doses", expected=expected)


@dataclass
class _Table:
    """All subjects' plates: when the next bite can begin, and what is left to eat."""

    tick: Array
    left: Array
    eaten: list[tuple[Index, Array, Array, Array]] = field(default_factory=list)

    def eat(self, who: Index, until: Array | float) -> None:
        """Bites that begin before ``until``, written down as (subject, first begin, number, grams before them)."""
        wanted = np.ceil(self.left[who] / GRAMS)
        ticks = np.maximum(np.ceil((until - self.tick[who]) / BITE), 0.0)
        number = np.minimum(wanted, ticks)
        some = number > 0
        self.eaten.append((who[some], self.tick[who][some], number[some], self.left[who][some]))
        self.tick[who] += number * BITE
        self.left[who] = np.where(number == wanted, 0.0, self.left[who] - number * GRAMS)


def _bites(meals: Doses) -> tuple[Index, Array, Index, Array]:
    """Of all bites: subject, when the meal was begun, which bite of it this is, and its grams."""
    meals = meals.take(meals.amount > 0)
    meals = meals.take(np.lexsort((meals.time, meals.subject)))
    who, first, count = np.unique(meals.subject.astype(np.int64), return_index=True, return_counts=True)
    table = _Table(np.full(who.max(initial=-1) + 1, -np.inf), np.zeros(who.max(initial=-1) + 1))
    for course in range(count.max(initial=0)):
        there = count > course
        meal, eater = first[there] + course, who[there]
        time = meals.time[meal]
        table.eat(eater, time)
        idle = (table.left[eater] == 0) & (table.tick[eater] < time)
        table.tick[eater] = np.where(idle, time, table.tick[eater])
        table.left[eater] += meals.amount[meal]
    table.eat(who, np.inf)
    subject, begin, number, left = (np.concatenate(column) for column in zip(*table.eaten, strict=True))
    repeats = number.astype(np.int64)
    index = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    grams = np.minimum(GRAMS, np.repeat(left, repeats) - index * GRAMS)
    return np.repeat(subject, repeats), np.repeat(begin, repeats), index, grams
