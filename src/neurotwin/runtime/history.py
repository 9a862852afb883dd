"""A patient's events as they come in, document by document: what is new, what repeats, what contradicts.

A document may repeat what earlier ones said, so that an application can always send the whole record. What it says
differently about an instant that is known already contradicts, except that it may tell the end of a period that was
open before.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np

from neurotwin.events import Doses, Observations
from neurotwin.runtime.channels import Signature
from neurotwin.runtime.reading import SAME, Notes
from neurotwin.runtime.reasons import Reason

Period = tuple[float, float]
"""End (NaN for a bolus, infinite while open) and amount of one dose."""


def new_observations(known: Observations, fresh: Observations, signature: Signature, notes: Notes) -> Observations:
    """Rows of ``fresh`` that are not in ``known``; a value that differs from a known one is refused."""
    if not len(known):
        return fresh
    told = dict(zip(_instants(known), known.value.tolist(), strict=True))
    kept = np.ones(len(fresh), dtype=bool)
    for row, (instant, value) in enumerate(zip(_instants(fresh), fresh.value.tolist(), strict=True)):
        if instant in told:
            kept[row] = False
            if not math.isclose(told[instant], value, rel_tol=SAME):
                name = signature.variables[instant[1]].name
                notes.refuse(
                    Reason.CONFLICTING_INPUT, f"observations: {name} differs from an earlier document at one instant"
                )
    return fresh.take(kept)


def merge_doses(known: Doses, fresh: Doses, signature: Signature, notes: Notes) -> tuple[Doses, Doses, bool]:
    """All doses together, the rows that are new, and whether a known period was given its end.

    Within one document equal doses at one instant add up; across documents they are the same doses told again.
    """
    old, new = _by_instant(known), _by_instant(fresh)
    added: list[tuple[float, int, Period]] = []
    closed = False
    for instant, told in new.items():
        before = old.get(instant, [])
        after, rest = _match(before, told)
        if after is None:
            name = signature.treatments[instant[1]].name
            notes.refuse(
                Reason.CONFLICTING_INPUT, f"treatments: {name} differs from an earlier document at one instant"
            )
            continue
        closed |= before != after
        if before:
            old[instant] = after
        added += [(*instant, period) for period in rest]
    kept = [(*instant, period) for instant, periods in old.items() for period in periods]
    additions = _table(added)
    return (Doses.concatenate(_table(kept) if closed else known, additions), additions, closed)


def check_settings(doses: Doses, signature: Signature, at: str, notes: Notes) -> None:
    """A setting has one level at a time: periods of one setting that overlap contradict each other."""
    for index, channel in enumerate(signature.treatments):
        if channel.kind == "setting":
            own = doses.take(doses.treatment == index)
            order = np.argsort(own.time, kind="stable")
            if (np.maximum.accumulate(own.end[order])[:-1] > own.time[order][1:]).any():
                notes.refuse(Reason.CONFLICTING_INPUT, f"{at}treatments: levels of {channel.name} overlap")


def _match(before: list[Period], told: list[Period]) -> tuple[list[Period] | None, list[Period]]:
    """Known doses of an instant after a document spoke of it, and what it adds; (None, []) when it contradicts."""
    rest, after, unmatched = list(told), list(before), []
    for place, period in enumerate(before):
        same = next((other for other in rest if _same(period, other)), None)
        if same is None:
            unmatched.append(place)
        else:
            rest.remove(same)
    for place in list(unmatched):
        end, amount = before[place]
        closing = next((other for other in rest if end == math.inf and _same((other[0], amount), other)), None)
        if closing is not None:
            rest.remove(closing)
            unmatched.remove(place)
            after[place] = (closing[0], amount)
    return (None, []) if unmatched and rest else (after, rest)


def _same(one: Period, other: Period) -> bool:
    ends = (
        one[0] == other[0]
        or math.isclose(one[0], other[0], rel_tol=SAME)
        or (math.isnan(one[0]) and math.isnan(other[0]))
    )
    return ends and math.isclose(one[1], other[1], rel_tol=SAME)


def _instants(table: Observations) -> list[tuple[float, int, bool]]:
    return list(zip(table.time.tolist(), table.variable.tolist(), table.post_dose.tolist(), strict=True))


def _by_instant(doses: Doses) -> dict[tuple[float, int], list[Period]]:
    groups: dict[tuple[float, int], list[Period]] = defaultdict(list)
    for time, end, treatment, amount in zip(
        *(column.tolist() for column in (doses.time, doses.end, doses.treatment, doses.amount)), strict=True
    ):
        groups[time, treatment].append((end, amount))
    return groups


def _table(rows: list[tuple[float, int, Any]]) -> Doses:
    if not rows:
        return Doses.of()
    time, treatment, periods = zip(*rows, strict=True)
    end, amount = zip(*periods, strict=True)
    return Doses.of(np.zeros(len(rows)), time, end, treatment, amount)
