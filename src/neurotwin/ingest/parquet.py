"""The only place where a parquet file is opened: checked, hashed, its faults told in one line, its memory limited.

A damaged file may make pyarrow raise nearly anything, and one call ends the process (see `parquet_footer`). So its
footer is checked first, its pages' checksums are verified where the writer wrote some, and whatever happens while
pages are read is one `IngestError`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.numbers import arrow
from neurotwin.ingest.parquet_footer import Footer, read_footer
from neurotwin.ingest.sources import hash_file

MAX_CHUNK = 2 << 30
"""Bytes that a column of a row group may unpack to: a page, which memory must hold, may be as large."""
_BUFFER = 1 << 20


@dataclass(frozen=True)
class ParquetInput:
    """One parquet file, and the name under which reports show it."""

    path: Path
    shown: str

    @cached_property
    def _hash(self) -> tuple[str, int]:
        return hash_file(self.path)

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes."""
        return self._hash[0]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._hash[1]

    @cached_property
    def footer(self) -> Footer:
        """What the footer tells, checked. Raises IngestError where it cannot be right."""
        with self._faults():
            return read_footer(self.path)

    @contextmanager
    def opened(self, dictionary: Sequence[str] = ()) -> Iterator[Any]:
        """A ``pyarrow.parquet.ParquetFile``, its texts of the columns ``dictionary`` each kept once.

        Read it by `batches`. Its ``schema_arrow`` may be looked at; its ``metadata`` must not (see `parquet_footer`).

        Raises:
            IngestError: the file is not whole parquet; also for what is found only while it is read.
        """
        _ = self.footer
        pq = need("pyarrow.parquet", "simulate")
        # Pages are read as they are needed (``buffer_size``): a whole column chunk may be larger than memory.
        options = {"read_dictionary": list(dictionary), "buffer_size": _BUFFER, "page_checksum_verification": True}
        with self._faults(), pq.ParquetFile(self.path, memory_map=False, pre_buffer=False, **options) as file:
            yield file

    def batches(self, file: Any, columns: Sequence[str], rows: int) -> Iterator[Any]:
        """Record batches of some columns, ``rows`` rows each, from a file that is `opened`.

        Raises:
            IngestError: a column of a row group is too large for memory.
            pyarrow.ArrowInvalid: other rows than the footer tells; `opened` makes one line of it.
        """
        if any(self.footer.largest(one) > MAX_CHUNK for one in columns):
            raise IngestError(
                "a row group too large for memory",
                where=self.shown,
                expected=f"at most {MAX_CHUNK >> 20} MiB in a column of a row group",
                remedy="write the file with smaller row groups",
            )
        count = 0
        for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
            count += batch.num_rows
            yield batch
        if count != self.footer.rows:
            raise arrow()[0].ArrowInvalid("other rows than the footer tells")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """One line for all that pyarrow raises of a damaged file: its own errors, and of Python's those that a
        number, an offset or a name out of place leads to."""
        try:
            yield
        except (arrow()[0].ArrowException, OSError, ValueError, OverflowError, LookupError, MemoryError):
            raise IngestError(
                "not a readable parquet file",
                where=self.shown,
                expected="a whole, unencrypted parquet file",
                remedy="copy or write it again",
            ) from None
