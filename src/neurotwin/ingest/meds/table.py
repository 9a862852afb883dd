"""The rows of one MEDS file that belong to one table of a mapping, in batches of text."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, OUT_OF_SCOPE, Outcomes, Reason
from neurotwin.ingest.batches import ROWS, Advance, TextBatch, columns_of
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.meds.columns import CODE, MedsColumns, distinct_texts, encoded_text
from neurotwin.ingest.meds.splits import SubjectSplits
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.parquet import ParquetInput

ROW_VOLUME = 48
"""Bytes of text in a row, about: id, time, code and number."""


class CodeRoutes:
    """To which table of the mapping a code belongs: the first whose pattern it fits."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [re.compile(".*".join(map(re.escape, one.split("*"))), re.DOTALL) for one in patterns]

    def __len__(self) -> int:
        return len(self._patterns)

    def route(self, codes: Any) -> tuple[NDArray[np.int64], Outcomes]:
        """``[row]`` number of the table, and `CODES` of code_missing or OUT_OF_SCOPE where no table fits."""
        pa, pc = arrow()
        encoded = encoded_text(codes)
        found = [self._of(one) for one in distinct_texts(encoded.dictionary)]
        table = np.array([*(one for one, _ in found), len(self) - 1], dtype=np.int64)
        fault = np.array([*(one for _, one in found), CODES[Reason.CODE_MISSING]], dtype=np.int8)
        which = pc.fill_null(encoded.indices.cast(pa.int64()), len(found)).to_numpy(zero_copy_only=False)
        return table[which], fault[which]

    def _of(self, code: str) -> tuple[int, int]:
        if not code.strip():
            return len(self) - 1, CODES[Reason.CODE_MISSING]
        for number, pattern in enumerate(self._patterns):
            if pattern.fullmatch(code):
                return number, 0
        return len(self) - 1, OUT_OF_SCOPE


class MedsTable:
    """One file for one table of the mapping: a `batches.TextTable`. Lines are the file's rows from 1."""

    def __init__(
        self,
        shard: ParquetInput,
        number: int,
        table: Table,
        routes: CodeRoutes,
        advance: Advance,
        splits: SubjectSplits | None = None,
    ) -> None:
        """Opens the file and looks at its columns. Raises IngestError where it is not of MEDS."""
        self.table = number
        self.shown = f"{shard.shown} {table.table}" if len(routes) > 1 else shard.shown
        self.size = 0
        self._shard, self._routes, self._advance = shard, routes, advance
        with shard.opened() as file:
            self._columns = MedsColumns(file.schema_arrow, columns_of(table), shard.shown, splits)
        self.volume = shard.footer.rows * ROW_VOLUME

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._shard.sha256

    @property
    def columns_ignored(self) -> int:
        """How many columns nobody asked for."""
        return self._columns.ignored

    def position(self, column: str) -> int:
        """Position of a column from 1."""
        return self._columns.position(column)

    def batches(self) -> Iterator[TextBatch]:
        """See `batches.TextTable`."""
        pa, _ = arrow()
        first = 1
        with self._shard.opened(self._columns.texts) as file:
            for batch in self._shard.batches(file, self._columns.read, ROWS):
                lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
                first += batch.num_rows
                table, fault = self._routes.route(batch.column(CODE))
                own = table == self.table
                if not own.all():
                    batch, lines, fault = batch.filter(pa.array(own)), lines[own], fault[own]
                if len(lines):
                    yield TextBatch(lines, self._columns.columns(batch), fault)
                self._advance(len(own) * ROW_VOLUME)
        self.size = self._shard.size
