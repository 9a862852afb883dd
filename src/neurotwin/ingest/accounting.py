"""What became of each item: read = accepted + merged + out_of_scope + rejected, always. `rows` does so for rows."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("measurements", "treatments", "statics")


class Reason(StrEnum):
    """Why a row or an item was rejected. The list is closed; `CODES` numbers it."""

    FIELD_COUNT = "field_count"
    ROW_UNREADABLE = "row_unreadable"
    RESOURCE_INVALID = "resource_invalid"
    MODIFIER_EXTENSION = "modifier_extension"
    ENTERED_IN_ERROR = "entered_in_error"
    SUBJECT_MISSING = "subject_missing"
    SUBJECT_UNREADABLE = "subject_unreadable"
    SUBJECT_WITHOUT_PREFIX = "subject_without_prefix"
    SUBJECT_UNKNOWN = "subject_unknown"
    SUBJECT_LINKED = "subject_linked"
    REFERENCE_UNRESOLVED = "reference_unresolved"
    TIME_MISSING = "time_missing"
    TIME_UNREADABLE = "time_unreadable"
    TIME_ZONE_MIXED = "time_zone_mixed"
    TIME_IMPLAUSIBLE = "time_implausible"
    TIME_IN_FUTURE = "time_in_future"
    INDEX_MISSING = "index_missing"
    INDEX_CONFLICT = "index_conflict"
    BEFORE_INDEX = "before_index"
    BEFORE_BIRTH = "before_birth"
    AFTER_DEATH = "after_death"
    AFTER_FOLLOW_UP = "after_follow_up"
    CODE_MISSING = "code_missing"
    CODE_AMBIGUOUS = "code_ambiguous"
    VALUE_MISSING = "value_missing"
    VALUE_NOT_A_NUMBER = "value_not_a_number"
    VALUE_NOT_FINITE = "value_not_finite"
    UNIT_MISSING = "unit_missing"
    UNIT_UNKNOWN = "unit_unknown"
    UNIT_INCOMPATIBLE = "unit_incompatible"
    IMPLAUSIBLE = "implausible"
    LEVEL_UNKNOWN = "level_unknown"
    FOLD_UNKNOWN = "fold_unknown"
    FOLD_MISSING = "fold_missing"
    FOLD_CONFLICT = "fold_conflict"
    RESET_EVENT = "reset_event"
    STEADY_STATE = "steady_state"
    MODELLED_RATE = "modelled_rate"
    ADDITIONAL_DOSES = "additional_doses"
    STOP_MISSING = "stop_missing"
    STOP_NOT_AFTER_START = "stop_not_after_start"
    DUPLICATE_CONFLICT = "duplicate_conflict"


REASONS = tuple(Reason)
CODES = {reason: number for number, reason in enumerate(REASONS, start=1)}
ACCEPTED, MERGED, OUT_OF_SCOPE = 0, -1, -2
"""Outcome of an item or a row; a positive outcome is the code of the reason for rejection."""

Outcomes = NDArray[np.int8]


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

    def leave_out(self, count: int) -> None:
        """Count some that were read and are out of scope."""
        self.read += count
        self.out_of_scope += count

    def settle(self, outcomes: Outcomes) -> None:
        """Count some that were read, each with its outcome."""
        self.read += len(outcomes)
        counts = np.bincount(outcomes.astype(np.int64) - OUT_OF_SCOPE, minlength=-OUT_OF_SCOPE + 1)
        self.accepted += int(counts[ACCEPTED - OUT_OF_SCOPE])
        self.merged += int(counts[MERGED - OUT_OF_SCOPE])
        self.out_of_scope += int(counts[0])
        for code in np.flatnonzero(counts[1 - OUT_OF_SCOPE :]):
            self.rejected[REASONS[code]] += int(counts[code + 1 - OUT_OF_SCOPE])

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

    def settle(self, kind: str, name: str, outcomes: Outcomes) -> None:
        """Count items of one name, each with its outcome."""
        self.totals[kind].settle(outcomes)
        self.account(name).settle(outcomes)

    def count_conversions(self, name: str, unit: str, sources: Counter[str]) -> None:
        """Count from which units something was brought to the schema's."""
        for source, count in sources.items():
            self.converted[name, source, unit] += count

    def leave_out(self, kind: str, count: int) -> None:
        """Count items out of scope that have no name in the schema."""
        self.totals[kind].leave_out(count)
