"""Parquet files of an OMOP source, and typed columns as text without loss."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.ingest.batches import Advance, TextBatch, Texts
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.omop.raw import CELL, rows_of
from neurotwin.ingest.parquet import ParquetInput


class ParquetTable:
    """One parquet file."""

    def __init__(self, path: Path, shown: str) -> None:
        self.path, self.shown = path, shown
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a parquet file")
        self._input = ParquetInput(path, shown)
        with self._input.opened() as file:
            self._physical = self._columns(file)
        if not self._physical:
            raise IngestError("a table without columns, 0 records", where=shown, expected="columns and rows")
        self.volume = self._input.footer.rows * len(self._physical) * CELL

    def _columns(self, file: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in file.schema_arrow.names:
            key = name.strip().lower()
            if key in found:
                raise IngestError(
                    "two columns have one name", where=self.shown, expected="names that differ in any case"
                )
            found[key] = name
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """See `omop.raw.RawTable.names`."""
        return tuple(self._physical)

    def read(self, names: Sequence[str], advance: Advance) -> Iterator[TextBatch]:
        """See `omop.raw.RawTable.read`."""
        physical = [self._physical[one] for one in names]
        line, share = 1, self.volume // max(1, self._input.footer.rows)
        with self._input.opened() as file:
            for batch in self._input.batches(file, physical, rows_of(len(physical))):
                cells = {one: as_text(batch.column(name)) for one, name in zip(names, physical, strict=True)}
                count = batch.num_rows
                yield TextBatch(np.arange(line, line + count), cells, np.zeros(count, np.int8))
                line += count
                advance(count * share)

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._input.sha256

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._input.size


def as_text(column: Any) -> Texts:
    """A typed column as text that says the same: shortest numbers, ISO dates, moments with a zone in universal time.

    Raises:
        pyarrow.ArrowException: it holds lists or bytes that are no text.
    """
    pa, pc = arrow()
    types = pa.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_timestamp(column.type):
        zone = "+00:00" if column.type.tz is not None else ""
        text = column.cast(pa.int64()).cast(pa.timestamp(column.type.unit)).cast(pa.string())
        text = pc.replace_substring_regex(text, r"(\.\d*?)0+$", r"\1")
        text = pc.replace_substring_regex(text, r"\.$", "")
        return pc.binary_join_element_wise(text, zone, "") if zone else text
    if types.is_float16(column.type):
        column = column.cast(pa.float32())
    if column.type != pa.string():
        column = column.cast(pa.string())
    column.validate(full=True)
    return column
