"""From the store to a Cohort: index event, duplicates, statics, order. All of it on whole columns.

The result does not depend on the order of rows and files: of equal items one is kept and the others are merged; items
that contradict each other are all rejected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations
from neurotwin.ingest.accounting import ACCEPTED, CODES, MERGED, OUT_OF_SCOPE, ItemAccounts, Outcomes, Reason, RowLedger
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.store import Columns, Store
from neurotwin.units import conversion

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Indices = tuple[Array, NDArray[np.bool_]]
SAME = 1e-9
"""Relative difference up to which two numbers are the same, so that a unit conversion makes no conflict."""


@dataclass(frozen=True)
class Assembled:
    """Events in the cohort's time, by the subject numbers of the store; ``statics`` is ``[subject, static]``."""

    observations: Observations
    doses: Doses
    statics: Array


def assemble(mapping: SourceMapping, store: Store, ledger: RowLedger, accounts: ItemAccounts) -> Assembled:
    """Settle every item of the store and every row of the ledger."""
    zero = _index_events(mapping, store)
    scale = conversion("us", mapping.time_unit).factor if mapping.dated else 1.0
    values = _Items(store.values, "measurements", [one.name for one in mapping.variables], "variable")
    doses = _Items(store.doses, "treatments", [one.name for one in mapping.treatments], "treatment")
    statics = _Items(store.statics, "statics", [one.name for one in mapping.statics], "static")
    observations = _observations(mapping, values, zero, scale)
    given = _doses(mapping, doses, zero, scale)
    table = _statics(statics, len(store.subjects), len(mapping.statics))
    rows, outcomes = [], []
    for items in (values, doses, statics):
        items.report(accounts, ledger)
    for items in (values, doses, statics, _index_items(store, zero[1])):
        primary = items.get("primary") > 0
        rows.append(items.get("row")[primary])
        outcomes.append(items.outcomes[primary])
    ledger.settle(np.concatenate(rows), np.concatenate(outcomes))
    return Assembled(observations, given, table)


class _Items:
    """Columns of one kind of item with an outcome each, ACCEPTED until something else is found."""

    def __init__(self, columns: Columns, kind: str, names: list[str], channel: str) -> None:
        self._columns, self._kind, self._names, self._channel = columns, kind, names, channel
        self.outcomes: Outcomes = np.full(len(columns), ACCEPTED, dtype=np.int8)

    def get(self, name: str) -> NDArray[Any]:
        return self._columns.column(name)

    def reject(self, where: NDArray[np.bool_], reason: Reason) -> None:
        """Reject the items marked that are not rejected yet."""
        self.outcomes[where & (self.outcomes == ACCEPTED)] = CODES[reason]

    def settle(self, keys: Sequence[NDArray[Any]], contents: Sequence[Array]) -> None:
        """Among the items accepted so far, merge those of equal keys and contents, reject those that differ."""
        alive = np.flatnonzero(self.outcomes == ACCEPTED)
        order = alive[np.lexsort((self.get("row")[alive], *(key[alive] for key in reversed(keys))))]
        if not len(order):
            return
        fresh = np.r_[True, np.any([np.diff(key[order]) != 0 for key in keys], axis=0)]
        begin = np.flatnonzero(fresh)
        group = np.cumsum(fresh) - 1
        conflict = np.zeros(len(begin), dtype=np.bool_)
        for content in contents:
            low, high = (ufunc.reduceat(content[order], begin) for ufunc in (np.minimum, np.maximum))
            conflict |= ~np.isclose(low, high, rtol=SAME, atol=0.0)
            content[order[begin]] = low  # whichever row came first, the merged item has the least of the equal values
        self.outcomes[order[~fresh]] = MERGED
        self.outcomes[order[conflict[group]]] = CODES[Reason.DUPLICATE_CONFLICT]

    def report(self, accounts: ItemAccounts, ledger: RowLedger) -> None:
        """Count the outcomes in all and by name, and remember places."""
        accounts.totals[self._kind].settle(self.outcomes)
        channel = self.get(self._channel)
        for number in np.unique(channel):
            accounts.account(self._names[int(number)]).settle(self.outcomes[channel == number])
        ledger.reject_late(self.get("row"), self.outcomes)


def _index_events(mapping: SourceMapping, store: Store) -> Indices:
    """``[subject]`` time of the index event, NaN where unknown; and whether sources disagree about it."""
    n = len(store.subjects)
    conflict = np.zeros(n, dtype=np.bool_)
    if mapping.index.at == "zero":
        return np.zeros(n), conflict
    events = store.values if mapping.index.at == "first" else store.index
    subject, time = events.column("subject"), events.column("time")
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, subject, time)
    np.maximum.at(last, subject, time)
    if mapping.index.at == "column":
        conflict = np.isfinite(first) & (first != last)
    return np.where(np.isfinite(first), first, np.nan), conflict


def _index_items(store: Store, conflict: NDArray[np.bool_]) -> _Items:
    """What became of the rows that only tell their subject's index event."""
    items = _Items(store.index, "index", [], "")
    subject = items.get("subject")
    items.reject(conflict[subject], Reason.INDEX_CONFLICT)
    items.settle([subject], [])
    return items


def _check_index(items: _Items, zero: Array, conflict: NDArray[np.bool_]) -> None:
    subject = items.get("subject")
    items.reject(conflict[subject], Reason.INDEX_CONFLICT)
    items.reject(np.isnan(zero[subject]), Reason.INDEX_MISSING)


def _observations(mapping: SourceMapping, items: _Items, index: Indices, scale: float) -> Observations:
    zero, conflict = index
    _check_index(items, zero, conflict)
    subject, variable, value = items.get("subject"), items.get("variable"), items.get("value")
    censor = items.get("censor").astype(np.float64)
    time = (items.get("time") - zero[subject]) * scale
    if mapping.before_index == "reject":
        items.reject(time < 0, Reason.BEFORE_INDEX)
    kept = np.isin(variable, [number for number, one in enumerate(mapping.variables) if one.name in mapping.replicates])
    # A replicate's own value is part of its key, so that replicates merge when equal and never contradict each other.
    keys = [subject, variable, time, np.where(kept, value, 0.0), np.where(kept, censor, 0.0)]
    items.settle(keys, [value, censor])
    chosen = items.outcomes == ACCEPTED
    # Sorted by value, so that the order of replicates does not depend on that of the rows.
    order = np.lexsort((censor, value))
    return Observations.of(subject, time, variable, value, censor).take(order[chosen[order]])


def _doses(mapping: SourceMapping, items: _Items, index: Indices, scale: float) -> Doses:
    zero, conflict = index
    _check_index(items, zero, conflict)
    subject, treatment, amount = items.get("subject"), items.get("treatment"), items.get("amount")
    begin = items.get("time")
    time = np.where(np.isnan(begin), 0.0, (begin - zero[subject]) * scale)
    end = (items.get("end") - zero[subject]) * scale
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


def _statics(items: _Items, n_subjects: int, n_statics: int) -> Array:
    subject, static, value = items.get("subject"), items.get("static"), items.get("value")
    items.settle([subject, static], [value])
    table = np.full((n_subjects, n_statics), np.nan)
    chosen = items.outcomes == ACCEPTED
    table[subject[chosen], static[chosen]] = value[chosen]
    return table
