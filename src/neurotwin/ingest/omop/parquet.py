"""Parquet files of an OMOP source, and typed columns as text without loss."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.batches import Advance, TextBatch, Texts
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.omop.raw import CELL, hash_file, rows_of

MAX_CHUNK = 2 << 30
"""Bytes that a column of a row group may unpack to: it is what memory must hold."""


class ParquetTable:
    """One parquet file."""

    def __init__(self, path: Path, shown: str) -> None:
        self.path, self.shown = path, shown
        if not path.is_file():
            raise IngestError("no regular file here", where=shown, expected="a parquet file")
        with self._open() as file:
            self._physical = self._columns(file)
            self._rows, self._chunks = file.metadata.num_rows, _largest_chunk(file.metadata)
        if not self._physical:
            raise IngestError("a table without columns, 0 records", where=shown, expected="columns and rows")
        self.volume = self._rows * len(self._physical) * CELL
        self.sha256, self.size = hash_file(path)

    def _open(self) -> Any:
        try:
            return need("pyarrow.parquet", "simulate").ParquetFile(self.path, memory_map=False, pre_buffer=False)
        except _errors():
            raise self._broken() from None

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

    def _broken(self) -> IngestError:
        return IngestError(
            "the file cannot be read", where=self.shown, expected="a whole parquet file", remedy="write it again"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """See `omop.raw.RawTable.names`."""
        return tuple(self._physical)

    def read(self, names: Sequence[str], advance: Advance) -> Iterator[TextBatch]:
        """See `omop.raw.RawTable.read`."""
        physical = [self._physical[one] for one in names]
        if any(self._chunks.get(one, 0) > MAX_CHUNK for one in physical):
            raise IngestError(
                "a row group too large for memory",
                where=self.shown,
                expected=f"at most {MAX_CHUNK >> 20} MiB in a column of a row group",
                remedy="write the file with smaller row groups",
            )
        line, share = 1, self.volume // max(1, self._rows)
        with self._open() as file:
            batches = file.iter_batches(rows_of(len(physical)), columns=physical, use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                    if batch is None:
                        return
                    cells = {one: as_text(batch.column(name)) for one, name in zip(names, physical, strict=True)}
                except _errors():
                    raise self._broken() from None
                count = batch.num_rows
                yield TextBatch(np.arange(line, line + count), cells, np.zeros(count, np.int8))
                line += count
                advance(count * share)


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


def _errors() -> tuple[type[Exception], ...]:
    error: type[Exception] = arrow()[0].ArrowException
    return error, OSError, ValueError


def _largest_chunk(metadata: Any) -> dict[str, int]:
    """By column the bytes that its largest chunk unpacks to."""
    largest: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            name = chunk.path_in_schema
            largest[name] = max(largest.get(name, 0), chunk.total_uncompressed_size)
    return largest
