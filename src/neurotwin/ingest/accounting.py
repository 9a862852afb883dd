"""What became of each row and each item: read = accepted + merged + out_of_scope + rejected, always.

Places name a line and a column, never a value.
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import IngestError

PLACES_KEPT = 5
KINDS = ("measurements", "treatments", "statics")


class Reason(StrEnum):
    """Why a row or an item was rejected. The list is closed; `CODES` numbers it."""

    FIELD_COUNT = "field_count"
    ROW_UNREADABLE = "row_unreadable"
    SUBJECT_MISSING = "subject_missing"
    SUBJECT_UNREADABLE = "subject_unreadable"
    TIME_MISSING = "time_missing"
    TIME_UNREADABLE = "time_unreadable"
    TIME_IMPLAUSIBLE = "time_implausible"
    INDEX_MISSING = "index_missing"
    INDEX_CONFLICT = "index_conflict"
    BEFORE_INDEX = "before_index"
    CODE_MISSING = "code_missing"
    VALUE_MISSING = "value_missing"
    VALUE_NOT_A_NUMBER = "value_not_a_number"
    VALUE_NOT_FINITE = "value_not_finite"
    UNIT_MISSING = "unit_missing"
    UNIT_UNKNOWN = "unit_unknown"
    UNIT_INCOMPATIBLE = "unit_incompatible"
    IMPLAUSIBLE = "implausible"
    LEVEL_UNKNOWN = "level_unknown"
    STOP_MISSING = "stop_missing"
    STOP_NOT_AFTER_START = "stop_not_after_start"
    DUPLICATE_CONFLICT = "duplicate_conflict"


REASONS = tuple(Reason)
CODES = {reason: number for number, reason in enumerate(REASONS, start=1)}
ACCEPTED, MERGED, OUT_OF_SCOPE = 0, -1, -2
"""Outcome of an item or a row; a positive outcome is the code of the reason for rejection."""

Outcomes = NDArray[np.int8]


class Place(NamedTuple):
    """Where something was rejected: line of the file from 1, and column from 1 or 0 for the whole row."""

    line: int
    column: int


@dataclass
class Account:
    """Counts of one file or of one kind of item."""

    read: int = 0
    accepted: int = 0
    merged: int = 0
    out_of_scope: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)

    @property
    def balanced(self) -> bool:
        """Whether read = accepted + merged + out_of_scope + rejected."""
        return self.read == self.accepted + self.merged + self.out_of_scope + self.rejected.total()

    def reject(self, reason: Reason) -> None:
        """Count one that was read and rejected."""
        self.read += 1
        self.rejected[reason] += 1

    def leave_out(self, count: int = 1) -> None:
        """Count some that were read and are out of scope."""
        self.read += count
        self.out_of_scope += count

    def settle(self, outcomes: Outcomes) -> None:
        """Count some that were read, each with its outcome."""
        self.read += len(outcomes)
        for outcome, count in zip(*np.unique(outcomes, return_counts=True), strict=True):
            if outcome == ACCEPTED:
                self.accepted += int(count)
            elif outcome == MERGED:
                self.merged += int(count)
            elif outcome == OUT_OF_SCOPE:
                self.out_of_scope += int(count)
            else:
                self.rejected[REASONS[int(outcome) - 1]] += int(count)

    def add(self, other: "Account") -> None:
        """Count the other account's as well."""
        self.read += other.read
        self.accepted += other.accepted
        self.merged += other.merged
        self.out_of_scope += other.out_of_scope
        self.rejected.update(other.rejected)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, reasons in the order of their names."""
        rejected = {str(reason): count for reason, count in sorted(self.rejected.items()) if count}
        return {
            "read": self.read,
            "accepted": self.accepted,
            "merged": self.merged,
            "out_of_scope": self.out_of_scope,
            "rejected": rejected,
        }


@dataclass
class FileAccount(Account):
    """Counts of one file's rows, with the first places of each reason."""

    path: str = ""
    sha256: str = ""
    size: int = 0
    columns_ignored: int = 0
    places: dict[Reason, list[Place]] = field(default_factory=dict)

    def remember(self, reason: Reason, place: Place) -> None:
        """Keep the place if few of its reason are known."""
        known = self.places.setdefault(reason, [])
        if len(known) < PLACES_KEPT:
            known.append(place)

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


class ItemAccounts:
    """Counts of measurements, treatments and statics, in all and by name.

    ``empty`` cells and ``converted`` units (by name, source unit and schema unit) are counted beside the accounts.
    """

    def __init__(self) -> None:
        self.totals = {kind: Account() for kind in KINDS}
        self.by_name: dict[str, Account] = {}
        self.empty = 0
        self.converted: Counter[tuple[str, str, str]] = Counter()

    def account(self, name: str) -> Account:
        """The account of one variable, treatment or static covariate."""
        return self.by_name.setdefault(name, Account())

    def reject(self, kind: str, name: str, reason: Reason) -> None:
        """Count one rejected item."""
        self.totals[kind].reject(reason)
        self.account(name).reject(reason)

    def count_conversions(self, name: str, unit: str, sources: Counter[str]) -> None:
        """Count from which units something was brought to the schema's."""
        for source, count in sources.items():
            self.converted[name, source, unit] += count

    def leave_out(self, kind: str, count: int, name: str = "") -> None:
        """Count items out of scope."""
        self.totals[kind].leave_out(count)
        if name:
            self.account(name).leave_out(count)


class RowLedger:
    """Row by row what happened, two small numbers and a line number each; settled when the items are.

    A row follows its *primary* items: its measurements, or where it has none its doses, or else its statics. It is
    accepted when one of them is, else merged when one of them is, else rejected for the first reason met, else out
    of scope.
    """

    def __init__(self) -> None:
        self.files: list[FileAccount] = []
        self._begin: list[int] = []
        self._line, self._reason = array("q"), array("b")

    def open_file(self, account: FileAccount) -> None:
        """Rows from here on belong to this file."""
        self.files.append(account)
        self._begin.append(len(self._line))

    def open_row(self, line: int) -> int:
        """Note that a row was read; returns its number."""
        self._line.append(line)
        self._reason.append(0)
        return len(self._line) - 1

    def reject(self, row: int, reason: Reason, column: int = 0, *, primary: bool = True) -> None:
        """Note the rejection of a row of the file now open, or of an item in it."""
        if primary and not self._reason[row]:
            self._reason[row] = CODES[reason]
        self.files[-1].remember(reason, Place(self._line[row], column))

    def reject_late(self, rows: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Remember places of items rejected in the assembly."""
        late = np.flatnonzero(outcomes > 0)
        for code in np.unique(outcomes[late]):
            of_reason = np.sort(rows[late[outcomes[late] == code]])
            owner = np.searchsorted(self._begin, of_reason, side="right") - 1
            for number in np.unique(owner):
                for row in of_reason[owner == number][:PLACES_KEPT]:
                    self.files[int(number)].remember(REASONS[int(code) - 1], Place(self._line[int(row)], 0))

    def settle(self, rows: NDArray[np.int64], outcomes: Outcomes) -> None:
        """Decide every row; ``rows`` and ``outcomes`` are those of the primary items that reached the assembly.

        Raises:
            IngestError: the counts do not add up, which would be a fault of this program.
        """
        n_rows = len(self._line)
        reason = np.frombuffer(self._reason, dtype=np.int8) if n_rows else np.zeros(0, np.int8)
        outcome = np.where(reason > 0, reason, np.int8(OUT_OF_SCOPE))
        late = outcomes > 0
        undecided = late & (reason[rows] == 0)
        outcome[rows[undecided][::-1]] = outcomes[undecided][::-1]
        outcome[rows[outcomes == MERGED]] = MERGED
        outcome[rows[outcomes == ACCEPTED]] = ACCEPTED
        for number, account in enumerate(self.files):
            end = self._begin[number + 1] if number + 1 < len(self.files) else n_rows
            account.settle(outcome[self._begin[number] : end])
            if account.read != end - self._begin[number] or not account.balanced:
                raise IngestError("the accounts do not balance", where=account.path, remedy="report this as a bug")
