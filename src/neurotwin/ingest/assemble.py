"""From a bucket to events: index event, life span, duplicates, statics, order. All of it on whole columns.

The result does not depend on the order of rows and files: of equal items one is kept and the others are merged; items
that contradict each other are all rejected.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations
from neurotwin.follow_up import FollowUp
from neurotwin.ingest.accounting import ACCEPTED, CODES, OUT_OF_SCOPE, ItemAccounts, Outcomes, Reason
from neurotwin.ingest.ages import derive_age
from neurotwin.ingest.buckets import BIRTH, DEATH, FOLD, INDEX, UNTIL_NEXT, Bucket
from neurotwin.ingest.channels import margin_of
from neurotwin.ingest.follow_up import read_ends
from neurotwin.ingest.items import Items
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.rows import RowAccounts
from neurotwin.units import conversion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Assembled:
    """Events in the cohort's time, by the subject numbers of the bucket; ``statics`` is ``[subject, static]``.
    ``folds`` are those that the source allows each subject (see `folds`), None where it does not tell; ``follow_up`` is
    None where the mapping has no outcomes."""

    observations: Observations
    doses: Doses
    statics: Array
    folds: Array | None = None
    follow_up: FollowUp | None = None


@dataclass(frozen=True)
class _Index:
    """``[subject]`` time of the index event, NaN where unknown, whether sources disagree about it, and the factor from
    times as read to the cohort's unit."""

    zero: Array
    conflict: NDArray[np.bool_]
    scale: float


def assemble(mapping: SourceMapping, bucket: Bucket, rows: RowAccounts, accounts: ItemAccounts) -> Assembled:
    """Settle every item of a bucket and the rows that wait for them."""
    values, doses = Items(bucket.columns("values")), Items(bucket.columns("doses"))
    statics, marks = Items(bucket.columns("statics")), Items(bucket.columns("marks"))
    folds, barred = _told_folds(mapping, marks, (values, doses, statics), len(bucket.subjects))
    _check_life(marks, values, doses, len(bucket.subjects))
    ends = read_ends(marks, len(bucket.subjects))
    ends.close(_margin(mapping), values, doses)
    index = _index_events(mapping, values, marks, len(bucket.subjects))
    observations = _observations(mapping, values, index)
    given = _doses(mapping, doses, index)
    followed = ends.placed(marks, index.zero, index.conflict, index.scale, observations, given)
    table = _statics(statics, len(bucket.subjects), len(mapping.statics))
    born = _marked(marks, BIRTH, len(bucket.subjects))
    if age := derive_age(mapping, born, index.zero, index.conflict, barred, index.scale, accounts):
        table[:, age[0]] = age[1]
    marks.reject(index.conflict[marks["subject"]] & (marks["mark"] == INDEX), Reason.INDEX_CONFLICT)
    marks.settle([marks["subject"], marks["mark"]], [])
    for kind, items, names, channel in (
        ("measurements", values, [one.name for one in mapping.variables], "variable"),
        ("treatments", doses, [one.name for one in mapping.treatments], "treatment"),
        ("statics", statics, [one.name for one in mapping.statics], "static"),
    ):
        items.report(kind, names, items[channel], accounts, rows)
    primary = [items["primary"] >= 0 for items in (values, doses, statics, marks)]
    chosen = list(zip((values, doses, statics, marks), primary, strict=True))
    rows.settle_late(
        np.concatenate([items["row"][mask] for items, mask in chosen]),
        np.concatenate([items["primary"][mask] for items, mask in chosen]),
        np.concatenate([items.outcomes[mask] for items, mask in chosen]),
    )
    return Assembled(observations, given, table, folds, followed if mapping.outcomes else None)


def _margin(mapping: SourceMapping) -> float:
    """How much later than the end of follow-up records may be; only one table tells ends."""
    return max([0.0, *(margin_of(mapping, table.follow_up) for table in mapping.tables if table.follow_up)])


def _marked(marks: Items, mark: int, count: int) -> tuple[Array, Array]:
    """``[subject]`` first and last time of a mark; infinite, so that first > last, where there is none."""
    chosen = marks["mark"] == mark
    first, last = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(first, marks["subject"][chosen], marks["time"][chosen])
    np.maximum.at(last, marks["subject"][chosen], marks["time"][chosen])
    return first, last


def _told_folds(
    mapping: SourceMapping, marks: Items, items: tuple[Items, ...], count: int
) -> tuple[Array | None, Outcomes]:
    """``[subject]`` the folds that the source allows, and why a subject has none, or 0.

    Where the source tells none of a subject, or contradicts itself, all of the subject is rejected: it may belong to
    the part of the split that nobody is to see.
    """
    if all(table.fold is None for table in mapping.tables):
        return None, np.zeros(count, np.int8)
    first, last = _marked(marks, FOLD, count)
    fault = np.where(np.isinf(first), CODES[Reason.FOLD_MISSING], 0)
    fault = np.where(first < last, CODES[Reason.FOLD_CONFLICT], fault).astype(np.int8)
    for one in (*items, marks):
        for reason in (Reason.FOLD_MISSING, Reason.FOLD_CONFLICT):
            one.reject(fault[one["subject"]] == CODES[reason], reason)
    return first, fault


def _check_life(marks: Items, values: Items, doses: Items, count: int) -> None:
    """Reject what came before the subject's birth or after its death; where sources disagree, before or after any."""
    for items in (values, doses):
        subject, time = items["subject"], items["time"]  # NaN at the index event: neither before nor after
        items.reject(time < _marked(marks, BIRTH, count)[1][subject], Reason.BEFORE_BIRTH)
        items.reject(time > _marked(marks, DEATH, count)[0][subject], Reason.AFTER_DEATH)


def _index_events(mapping: SourceMapping, values: Items, marks: Items, count: int) -> _Index:
    scale = conversion("us", mapping.time_unit).factor if mapping.dated else 1.0
    if mapping.index.at == "zero":
        return _Index(np.zeros(count), np.zeros(count, dtype=np.bool_), scale)
    if mapping.index.at == "column":
        first, last = _marked(marks, INDEX, count)
        return _Index(np.where(np.isfinite(first), first, np.nan), np.isfinite(first) & (first != last), scale)
    alive = values.outcomes == ACCEPTED
    first = np.full(count, np.inf)
    np.minimum.at(first, values["subject"][alive], values["time"][alive])
    return _Index(np.where(np.isfinite(first), first, np.nan), np.zeros(count, dtype=np.bool_), scale)


def _check_index(items: Items, index: _Index) -> None:
    subject = items["subject"]
    items.reject(index.conflict[subject], Reason.INDEX_CONFLICT)
    items.reject(np.isnan(index.zero[subject]), Reason.INDEX_MISSING)


def _observations(mapping: SourceMapping, items: Items, index: _Index) -> Observations:
    _check_index(items, index)
    subject, variable, value = items["subject"], items["variable"], items["value"]
    censor = items["censor"].astype(np.float64)
    time = (items["time"] - index.zero[subject]) * index.scale
    if mapping.before_index == "reject":
        items.reject(time < 0, Reason.BEFORE_INDEX)
    keys: list[NDArray[Any]] = [subject, time, variable, items["post_dose"]]
    kept = [number for number, one in enumerate(mapping.variables) if one.name in mapping.replicates]
    if kept:
        # A replicate's own value is part of its key, so that replicates merge when equal and never contradict.
        same = np.isin(variable, kept)
        keys += [np.where(same, value, 0.0), np.where(same, censor, 0.0)]
    items.settle(keys, [value, censor])
    chosen = np.flatnonzero(items.outcomes == ACCEPTED)
    if kept:  # so that the order of replicates does not depend on that of the rows
        chosen = chosen[np.lexsort((censor[chosen], value[chosen]))]
    return Observations.of(subject, time, variable, value, censor, items["post_dose"]).take(chosen)


def _doses(mapping: SourceMapping, items: Items, index: _Index) -> Doses:
    _check_index(items, index)
    subject, treatment, amount = items["subject"], items["treatment"], items["amount"]
    begin = items["time"]
    time = np.where(np.isnan(begin), 0.0, (begin - index.zero[subject]) * index.scale)
    end = (items["end"] - index.zero[subject]) * index.scale
    _end_with_next(items, time, end)
    items.reject(end <= time, Reason.STOP_NOT_AFTER_START)  # a start at the index event is known only here
    if mapping.before_index == "reject":
        # A period that reaches past the index event is kept: it acts on what is observed.
        items.reject(np.where(np.isnan(end), time < 0, end <= 0), Reason.BEFORE_INDEX)
    bolus = np.isnan(end)
    ends = np.where(bolus, -1.0, end)
    items.settle([subject, treatment, time], [amount, ends])
    # Nothing given is no event; it was kept up to here because it contradicts something given at the same time.
    items.outcomes[(items.outcomes <= ACCEPTED) & (amount == 0.0)] = OUT_OF_SCOPE
    chosen = items.outcomes == ACCEPTED
    return Doses.of(subject, time, np.where(bolus, np.nan, ends), treatment, amount).take(chosen)


def _end_with_next(items: Items, time: Array, end: Array) -> None:
    """Let periods that wait for it end when the subject's next one of the treatment begins, or go on."""
    waiting = items["end"] == UNTIL_NEXT
    if not waiting.any():
        return
    alive = np.flatnonzero((items.outcomes == ACCEPTED) & np.isfinite(time))
    order = alive[np.lexsort((time[alive], items["treatment"][alive], items["subject"][alive]))]
    same = np.diff(items["subject"][order]) == 0
    same &= np.diff(items["treatment"][order]) == 0
    later = np.flatnonzero(np.r_[same & (np.diff(time[order]) > 0), False])  # the next in order is such a one
    fresh = np.flatnonzero(np.r_[True, ~same | (np.diff(time[order]) > 0)])
    following = np.full(len(order), np.inf)
    following[later] = time[order[later + 1]]
    last_of_instant = np.r_[fresh[1:] - 1, len(order) - 1] if len(order) else fresh
    until = np.repeat(following[last_of_instant], np.diff(np.r_[fresh, len(order)])) if len(order) else following
    end[order] = np.where(waiting[order], until, end[order])


def _statics(items: Items, n_subjects: int, n_statics: int) -> Array:
    subject, static, value = items["subject"], items["static"], items["value"]
    items.settle([subject, static], [value])
    table = np.full((n_subjects, n_statics), np.nan)
    chosen = items.outcomes == ACCEPTED
    table[subject[chosen], static[chosen]] = value[chosen]
    return table
