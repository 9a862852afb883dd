"""The ends of follow-up that a source tells: read as marks of a batch, settled with the subject's other events.

A mark carries one number, its time, so each way in which a follow-up can end is a mark of its own: `ENDED` for a
censored one, and the next ones for the schema's outcomes in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.follow_up import CENSORED, FollowUp
from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.buckets import ENDED
from neurotwin.ingest.items import Items
from neurotwin.ingest.numbers import Mask, distinct, filled
from neurotwin.ingest.times import TimeReader

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EndChannel:
    """How one table tells the end of follow-up: its time, and the mark that each text of the status stands for."""

    time: TimeReader
    marks: dict[str, int]

    def read(self, time: Texts, status: Texts) -> Iterator[tuple[int, Array, Outcomes, Mask]]:
        """Mark by mark the times of a batch's rows, why one is wrong (0 nothing; told with the first mark only), and
        which rows tell that mark. A row without time and status tells nothing."""
        moment, reason = self.time.read_all(time)
        texts, which = distinct(status)
        mark = np.array([self.marks.get(one, 0) for one in texts], dtype=np.int64)[which]
        named = filled(status)
        reason = np.where((reason == 0) & ~named, CODES[Reason.VALUE_MISSING], reason)
        reason = np.where((reason == 0) & (mark == 0), CODES[Reason.LEVEL_UNKNOWN], reason)
        silent = ~named & ~filled(time)
        reason = np.where(silent, 0, reason).astype(np.int8)
        good = (reason == 0) & ~silent
        for number, one in enumerate(sorted(set(self.marks.values()))):
            yield one, moment, reason if number == 0 else np.zeros_like(reason), good & (mark == one)


@dataclass(frozen=True)
class Ends:
    """Of a bucket's subjects ``[subject]``: the end of follow-up as it is read, NaN where none is told or rows
    disagree, and what it was."""

    time: Array
    event: NDArray[np.int64]

    def close(self, margin: float, *tables: Items) -> None:
        """Reject what came later than the end by more than the margin."""
        for items in tables:
            items.reject(items["time"] > (self.time + margin)[items["subject"]], Reason.AFTER_FOLLOW_UP)

    def placed(self, marks: Items, zero: Array, conflict: Mask, scale: float, *tables: Any) -> FollowUp:
        """On the cohort's clock, not before anything in ``tables``, which the margin let through.

        A follow-up that ends before the index event, or whose index event is not known, is rejected: the subject's is
        then unknown.
        """
        time = np.where(conflict, np.nan, (self.time - zero) * scale)
        ends = _is_end(marks)
        for reason, wrong in (
            (Reason.INDEX_CONFLICT, conflict),
            (Reason.INDEX_MISSING, np.isnan(zero)),
            (Reason.BEFORE_INDEX, time < 0),
        ):
            marks.reject(ends & wrong[marks["subject"]], reason)
        known, last = time >= 0, np.where(time >= 0, time, -np.inf)
        for table in tables:
            np.maximum.at(last, table.subject, table.time)
        return FollowUp.of(np.where(known, last, np.nan), np.where(known, self.event, CENSORED))


def read_ends(marks: Items, count: int) -> Ends:
    """What a bucket's marks tell of ``count`` subjects; those that contradict each other are all rejected."""
    ends = _is_end(marks)
    subject, time = marks["subject"][ends], marks["time"][ends]
    event = marks["mark"][ends].astype(np.int64) - ENDED - 1
    bounds = []
    for values in (time, event.astype(np.float64)):
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, subject, values)
        np.maximum.at(high, subject, values)
        bounds.append((low, high))
    clash = (bounds[0][0] < bounds[0][1]) | (bounds[1][0] < bounds[1][1])
    marks.reject(ends & clash[marks["subject"]], Reason.DUPLICATE_CONFLICT)
    known = np.isfinite(bounds[0][0]) & ~clash
    return Ends(
        np.where(known, bounds[0][0], np.nan),
        np.where(known, bounds[1][0], CENSORED).astype(np.int64),
    )


def _is_end(marks: Items) -> Mask:
    return np.asarray(marks["mark"] >= ENDED)
