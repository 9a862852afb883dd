"""The pasts of many subjects, read as `Twin.observe` reads one patient document; and what was given to them later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, EventTable, Observations
from neurotwin.runtime.channels import Signature
from neurotwin.runtime.reading import LARGEST, SAME
from neurotwin.runtime.reasons import Reason
from neurotwin.score.matching import Matching
from neurotwin.score.ranges import judge_values
from neurotwin.score.slices import Slice
from neurotwin.score.verdicts import Verdicts

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Table = TypeVar("Table", bound=EventTable)


@dataclass(frozen=True)
class Records:
    """In the bundle's units and channels, on each subject's clock.

    Attributes:
        statics: ``[subject, static]`` raw, NaN where unknown.
        observations: up to the cut, one value per variable and instant.
        given: doses before the cut. A period that goes on after it has no known end, unless the plan is the record.
        planned: doses from the cut on, where the plan is the record.
        cut: ``[subject]`` the plan's start.
        first, clock: ``[subject]`` first event and last one, where the state stands.
        visits: ``[subject]`` distinct times of observation.
        unread: ``[subject]`` observations that were refused.
        unfit: ``[subject]`` why a record cannot be read at all; empty where it can.
    """

    statics: Array
    observations: Observations
    given: Doses
    planned: Doses
    cut: Array
    first: Array
    clock: Array
    visits: Index
    unread: Index
    unfit: NDArray[np.object_]


def read_records(
    part: Slice, matching: Matching, signature: Signature, cut: float | None, verdicts: Verdicts, *, recorded: bool
) -> Records:
    """Records of a part's subjects; what is wrong with them is noted.

    Args:
        cut: up to when the record is known; None is each subject's last visit (0 where there was none).
        recorded: whether the doses from the cut on are the plan.
    """
    n = len(part)
    unfit = _unfit(part)
    seen = part.observations.take(unfit[part.observations.subject] == "")
    doses = part.doses.take(unfit[part.doses.subject] == "")
    time, dosed, stopped = (matching.times(column) for column in (seen.time, doses.time, doses.end))
    cuts = np.full(n, 0.0 if cut is None else cut)
    if cut is None:
        last = np.full(n, -np.inf)
        np.maximum.at(last, seen.subject, time)
        cuts = np.where(np.isfinite(last), last, 0.0)
    unfit[(matching.times(part.ended) < cuts) & (unfit == "")] = "its follow-up ended before the cut"
    observations, unread = _observed(replace(seen, time=time), cuts, matching, signature, verdicts)
    given, planned = _given(replace(doses, time=dosed, end=stopped), cuts, matching, signature, verdicts, recorded)
    first, bolus = np.zeros(n), given.is_bolus
    np.minimum.at(first, observations.subject, observations.time)
    np.minimum.at(first, given.subject[bolus], given.time[bolus])
    clock = first.copy()
    np.maximum.at(clock, observations.subject, observations.time)
    np.maximum.at(clock, given.subject, given.time)
    statics = _statics(part.statics, matching, signature, verdicts)
    visits = _visits(observations, n)
    return Records(statics, observations, given, planned, cuts, first, clock, visits, unread, unfit)


def _unfit(part: Slice) -> NDArray[np.object_]:
    """Numbers that are not numbers: no document could hold them, and no reason is theirs."""
    bad = np.zeros(len(part), dtype=bool)
    for table, columns in ((part.observations, ("time", "value")), (part.doses, ("time", "amount"))):
        for name in columns:
            bad[table.subject[~np.isfinite(getattr(table, name))]] = True
    bad[part.doses.subject[part.doses.end == -np.inf]] = True
    bad |= np.isinf(part.statics).any(axis=1)
    return np.where(bad, "a number in its record is not finite", "").astype(object)


def _observed(
    seen: Observations, cut: Array, matching: Matching, signature: Signature, verdicts: Verdicts
) -> tuple[Observations, Index]:
    columns = matching.variables
    seen = seen.take((seen.time <= cut[seen.subject]) & (columns.place[seen.variable] >= 0))
    which, value = columns.place[seen.variable], columns.converted(seen.variable, seen.value)
    usable, refused = judge_values(value, which, seen.subject, signature.variables, verdicts)
    late = np.abs(seen.time) > LARGEST
    verdicts.refuse(Reason.IMPLAUSIBLE_INPUT, seen.subject[late])
    refusals = np.bincount(seen.subject, weights=refused.astype(float) + late, minlength=len(cut))
    seen = replace(seen, variable=which.astype(np.int16), value=value, censor=np.zeros(len(value), np.int8))
    seen = seen.take(usable & ~late)
    seen = _in_order(seen, "subject", "time", "post_dose", "variable")
    merged, conflicts = _merged(seen, len(cut))
    verdicts.refuse(Reason.CONFLICTING_INPUT, conflicts > 0)
    return merged, refusals.astype(np.int64) + conflicts


def _in_order(table: Table, *names: str) -> Table:
    """Sorted by some columns, the first one first; stable. Those of a cohort mostly stand so already."""
    keys = [getattr(table, name) for name in names]
    rises, same = np.zeros(max(len(table) - 1, 0), bool), np.ones(max(len(table) - 1, 0), bool)
    for key in keys:
        rises |= same & (key[1:] > key[:-1])
        same &= key[1:] == key[:-1]
    return table if (rises | same).all() else table.take(np.lexsort(keys[::-1]))


def _merged(seen: Observations, n_subjects: int) -> tuple[Observations, Index]:
    """One row per variable and instant, the first; and how many rows contradict the one that stayed."""
    fresh = np.ones(len(seen), dtype=bool)
    keys = (seen.subject, seen.time, seen.post_dose, seen.variable)
    fresh[1:] = np.any([column[1:] != column[:-1] for column in keys], axis=0)
    if fresh.all():
        return seen, np.zeros(n_subjects, np.int64)
    stayed = seen.value[np.flatnonzero(fresh)][np.cumsum(fresh) - 1]
    differs = np.abs(seen.value - stayed) > SAME * np.maximum(np.abs(seen.value), np.abs(stayed))
    return seen.take(fresh), np.bincount(seen.subject[differs], minlength=n_subjects)


def _given(
    doses: Doses, cut: Array, matching: Matching, signature: Signature, verdicts: Verdicts, recorded: bool
) -> tuple[Doses, Doses]:
    before = doses.time < cut[doses.subject]
    doses = doses.take(before | recorded)
    before = doses.time < cut[doses.subject]
    if not recorded:
        doses = replace(doses, end=np.where(doses.end > cut[doses.subject], np.inf, doses.end))
    place = matching.treatments.place[doses.treatment]
    verdicts.refuse(Reason.UNKNOWN_TREATMENT, doses.subject[place < 0])
    amount = matching.treatments.converted(doses.treatment, doses.amount)
    usable, _ = judge_values(amount, place, doses.subject, signature.treatments, verdicts)
    late = (np.abs(doses.time) > LARGEST) | (np.isfinite(doses.end) & (np.abs(doses.end) > LARGEST))
    empty = ~doses.is_bolus & ~(doses.end > doses.time)
    bad = (late | empty) & (place >= 0)
    verdicts.refuse(Reason.IMPLAUSIBLE_INPUT, doses.subject[bad])
    # On the plan's clock and back, as a plan document's times go.
    begin = cut[doses.subject]
    time = np.where(before, doses.time, (doses.time - begin) + begin)
    end = np.where(before, doses.end, (doses.end - begin) + begin)
    doses = replace(doses, time=time, end=end, treatment=place.astype(np.int16), amount=amount)
    kept = usable & ~bad & (place >= 0)
    given, planned = (_in_order(doses.take(kept & part), "subject", "time", "treatment") for part in (before, ~before))
    overlapping(given, signature, verdicts)
    return given, planned


def overlapping(doses: Doses, signature: Signature, verdicts: Verdicts) -> None:
    """A setting has one level at a time, as `neurotwin.runtime.history.check_settings` has it."""
    for index, channel in enumerate(signature.treatments):
        if channel.kind == "setting":
            own = doses.take(doses.treatment == index)
            own = own.take(np.lexsort((own.time, own.subject)))
            clash = (own.subject[1:] == own.subject[:-1]) & (own.end[:-1] > own.time[1:])
            verdicts.refuse(Reason.CONFLICTING_INPUT, own.subject[1:][clash])


def _statics(raw: Array, matching: Matching, signature: Signature, verdicts: Verdicts) -> Array:
    found = np.full((len(raw), len(signature.statics)), np.nan)
    for index, place in enumerate(matching.statics.place.tolist()):
        told = np.flatnonzero(np.isfinite(raw[:, index]))
        if place < 0 or not len(told):
            continue
        levels = matching.levels[index]
        if levels is not None:
            level = raw[told, index]
            there = (level >= 0) & (level < len(levels)) & (level == np.floor(level))
            known = np.where(there, levels[np.where(there, level, 0).astype(np.int64)], -1)
            verdicts.refuse(Reason.IMPLAUSIBLE_INPUT, told[known < 0])
            found[told, place] = np.where(known < 0, np.nan, known)
            continue
        column = np.full(len(told), index)
        value = matching.statics.converted(column, raw[told, index])
        usable, _ = judge_values(value, np.full(len(told), place), told, signature.statics, verdicts)
        found[told, place] = np.where(usable, value, np.nan)
    return found


def _visits(observations: Observations, n_subjects: int) -> Index:
    fresh = np.ones(len(observations), dtype=bool)
    fresh[1:] = (np.diff(observations.subject) != 0) | (np.diff(observations.time) != 0)
    return np.bincount(observations.subject[fresh], minlength=n_subjects)
