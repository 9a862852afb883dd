"""Items of one kind in a bucket, each with its outcome: duplicates merge, contradictions are rejected."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import ACCEPTED, CODES, MERGED, ItemAccounts, Outcomes, Reason
from neurotwin.ingest.rows import RowAccounts

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SAME = 1e-9
"""Relative difference up to which two numbers are the same, so that a unit conversion makes no conflict."""


class Items:
    """Columns of one kind of item with an outcome each, ACCEPTED until something else is found."""

    def __init__(self, columns: dict[str, NDArray[Any]]) -> None:
        self._columns = columns
        self.outcomes: Outcomes = np.full(len(columns["subject"]), ACCEPTED, dtype=np.int8)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __len__(self) -> int:
        return len(self.outcomes)

    def reject(self, where: Mask, reason: Reason) -> None:
        """Reject the items marked that are not rejected yet."""
        self.outcomes[where & (self.outcomes == ACCEPTED)] = CODES[reason]

    def settle(self, keys: Sequence[NDArray[Any]], contents: Sequence[Array]) -> None:
        """Among the items accepted so far, merge those of equal keys and contents, reject those that differ."""
        alive = np.flatnonzero(self.outcomes == ACCEPTED)
        order = alive[np.lexsort((self["row"][alive], *(key[alive] for key in reversed(keys))))]
        if not len(order):
            return
        fresh = np.ones(len(order), dtype=np.bool_)
        for number, key in enumerate(key[order] for key in keys):
            fresh[1:] = (fresh[1:] & (number > 0)) | (key[1:] != key[:-1])
        if fresh.all():
            return
        begin = np.flatnonzero(fresh)
        group = np.cumsum(fresh) - 1
        conflict = np.zeros(len(begin), dtype=np.bool_)
        for content in contents:
            low, high = (ufunc.reduceat(content[order], begin) for ufunc in (np.minimum, np.maximum))
            conflict |= ~np.isclose(low, high, rtol=SAME, atol=0.0)
            content[order[begin]] = low  # whichever row came first, the merged item has the least of the equal values
        self.outcomes[order[~fresh]] = MERGED
        self.outcomes[order[conflict[group]]] = CODES[Reason.DUPLICATE_CONFLICT]

    def report(
        self, kind: str, names: list[str], channel: NDArray[Any], items: ItemAccounts, rows: RowAccounts
    ) -> None:
        """Count the outcomes in all and by name, and remember places."""
        for number in np.flatnonzero(np.bincount(channel)):
            items.settle(kind, names[number], self.outcomes[channel == number])
        rows.remember_late(self["row"], self["line"], self.outcomes)
