"""What became of each row of each file, settled batch by batch and bucket by bucket: no list of all rows is held.

A row follows its *primary* items: its measurements, or where it has none its doses, or else its statics. It is accepted
when one of them is, else merged when one of them is, else rejected for the first reason met, else out of scope. Rows
of which no primary item reaches the assembly are settled at once, the others with the bucket of their subject.

Places name a line and a column, never a value.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import ACCEPTED, MERGED, OUT_OF_SCOPE, REASONS, Account, Outcomes, Reason

PLACES_KEPT = 5
Index = NDArray[np.int64]


class Place(NamedTuple):
    """Where something was rejected: line of the file from 1, and column from 1 or 0 for the whole row."""

    line: int
    column: int


@dataclass
class FileAccount(Account):
    """Counts of one file's rows, with the first places of each reason."""

    path: str = ""
    sha256: str = ""
    size: int = 0
    columns_ignored: int = 0
    places: dict[Reason, list[Place]] = field(default_factory=dict)

    def remember(self, reasons: Outcomes, lines: Index, column: int) -> None:
        """Keep the first places of each reason; outcomes that are no reason are passed over."""
        for code in np.flatnonzero(np.bincount(np.maximum(reasons, 0))[1:]) + 1:
            found = lines[reasons == code]
            some = 100 * PLACES_KEPT  # several items of one line are one place
            first = found if len(found) <= some else np.partition(found, some)[:some]
            known = self.places.setdefault(REASONS[code - 1], [])
            known[:] = sorted({*known, *(Place(line, column) for line in np.unique(first).tolist())})[:PLACES_KEPT]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        places = {str(reason): [place._asdict() for place in kept] for reason, kept in sorted(self.places.items())}
        return {
            "path": self.path,
            "sha256": self.sha256,
            "bytes": self.size,
            **super().as_dict(),
            "columns_ignored": self.columns_ignored,
            "places": places,
        }


class RowAccounts:
    """The accounts of all files; rows are numbered through all of them."""

    def __init__(self) -> None:
        self.files: list[FileAccount] = []
        self._begin: list[int] = []
        self._rows = 0

    def open_file(self, account: FileAccount) -> None:
        """Rows from here on belong to this file."""
        self.files.append(account)
        self._begin.append(self._rows)

    def open_rows(self, count: int) -> int:
        """Note that rows of the file now open were read; returns the number of the first."""
        first, self._rows = self._rows, self._rows + count
        return first

    def remember_late(self, rows: Index, lines: Index, outcomes: Outcomes) -> None:
        """Remember places of items rejected in the assembly."""
        late = np.flatnonzero(outcomes > 0)
        owner = np.searchsorted(self._begin, rows[late], side="right") - 1
        for number in np.unique(owner):
            chosen = late[owner == number]
            self.files[int(number)].remember(outcomes[chosen], lines[chosen], 0)

    def settle_late(self, rows: Index, early: Outcomes, outcomes: Outcomes) -> None:
        """Settle the rows of primary items that reached the assembly; ``early`` is a reason met before, or 0."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")  # of one row, items stay in their order
        rows, early, outcomes = rows[order], early[order], outcomes[order]
        fresh = np.r_[True, rows[1:] != rows[:-1]]
        number = np.cumsum(fresh) - 1
        settled = np.where(early[fresh] > 0, early[fresh], np.int8(OUT_OF_SCOPE))
        late = (outcomes > 0) & (early == 0)
        settled[number[late][::-1]] = outcomes[late][::-1]
        settled[number[outcomes == MERGED]] = MERGED
        settled[number[outcomes == ACCEPTED]] = ACCEPTED
        bounds = [*np.searchsorted(rows[fresh], self._begin), len(settled)]
        for account, first, last in zip(self.files, bounds[:-1], bounds[1:], strict=True):
            account.settle(settled[first:last])

    def check(self) -> None:
        """Every row that was opened is settled, once.

        Raises:
            IngestError: the counts do not add up, which would be a fault of this program.
        """
        ends = [*self._begin[1:], self._rows]
        for account, first, last in zip(self.files, self._begin, ends, strict=True):
            if account.read != last - first or not account.balanced:
                raise IngestError("the accounts do not balance", where=account.path, remedy="report this as a bug")
