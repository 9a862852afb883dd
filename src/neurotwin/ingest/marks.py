"""Marks of a batch: index events, births, deaths, folds and ends of follow-up that its rows tell of their subjects."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.buckets import BIRTH, DEATH, FOLD, INDEX
from neurotwin.ingest.channels import Channels
from neurotwin.ingest.folds import read_folds
from neurotwin.ingest.layouts import BatchColumns
from neurotwin.ingest.mapping import LongTable, Table
from neurotwin.ingest.numbers import Mask, arrow, distinct


class Marks(NamedTuple):
    """Marks of one kind: ``[row]`` its content and why it is wrong (0 nothing), and which rows tell one.

    ``lone`` are the rows whose account follows the mark, for want of an item.
    """

    mark: int
    content: NDArray[np.float64]
    reason: Outcomes
    told: Mask
    lone: Mask


@dataclass(frozen=True)
class MarkReader:
    """Reads the marks of one table of a mapping."""

    table: Table
    channels: Channels

    def read(self, columns: BatchColumns, subject: Texts, bare: Mask) -> Iterator[Marks]:
        """The marks of a batch, kind by kind; ``bare`` are the rows without any item."""
        table, channels = self.table, self.channels
        for mark, reader, column, margin in (
            (INDEX, channels.index, table.index, 0.0),
            (BIRTH, channels.birth, table.birth, 0.0),
            (DEATH, channels.death, table.death, channels.margin),
        ):
            if reader is not None and column is not None:
                time, reason = reader.read_all(columns.cell(column.column))
                missing = reason == CODES[Reason.TIME_MISSING]
                # What is there for nothing but the index event and does not tell it is a fault, other rows are not.
                reason[missing] = CODES[Reason.INDEX_MISSING] if mark == INDEX and self._only_index else 0
                yield Marks(mark, time + margin, reason, (reason == 0) & ~missing, bare)
        if table.fold is not None:
            folds, reason = read_folds(table.fold, columns.cell(table.fold.column))
            # A row of a code that is not mapped stays out of scope, though its fold counts.
            lone = bare & (not isinstance(table, LongTable))
            yield Marks(FOLD, folds, reason, (reason == 0) & (folds > 0) & (lone | _first(subject, folds)), lone)
        if channels.end is not None and table.follow_up is not None:
            ends = channels.end.read(columns.cell(table.follow_up.column), columns.cell(table.follow_up.status))
            for mark, time, reason, told in ends:
                yield Marks(mark, time, reason, told, bare)

    @property
    def _only_index(self) -> bool:
        table = self.table
        others = (*table.variables, *table.treatments, *table.statics)
        marks = (table.birth, table.death, table.fold, table.follow_up)
        return not others and all(one is None for one in marks)


def _first(subject: Texts, folds: NDArray[np.float64]) -> Mask:
    """The first row of each subject with each fold: one is enough."""
    first = np.zeros(len(folds), dtype=np.bool_)
    key = distinct(subject)[1].astype(np.int64) * 64 + folds.astype(np.int64)
    first[np.unique(key, return_index=True)[1]] = True
    return first


def without_prefix(subject: Texts, prefix: str) -> Texts:
    """Ids without their prefix; "" where one lacks it or has nothing else."""
    pa, pc = arrow()
    ids, which = distinct(subject)
    bare = [one.removeprefix(prefix) if one.startswith(prefix) else "" for one in ids]
    return pc.take(pa.array(bare, pa.string()), pa.array(which))
