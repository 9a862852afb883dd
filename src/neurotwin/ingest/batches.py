"""The contract between a reader and everything after it: a source becomes named tables of text, batch by batch.

A reader of any format knows nothing of variables, units or times. It opens its source, finds for each table of the
mapping the rows that belong to it, and hands out the columns that the mapping names (`columns_of`), as text:

    class MemsReader:
        kind = "mems"

        def shown(self, source):
            return Path(source).name

        def tables(self, source, mapping, scratch, advance):
            return [MemsTable(path, number, table, advance) for number, table in enumerate(mapping.tables)]

    report = ingest(MemsReader(), source, mapping, output)

What holds for every reader:

* Each row of the source is in one batch, once, also one that cannot be used: then ``faults`` tells why.
* A cell is the text that the source holds, "" where it is missing; numbers and dates that a format keeps as such are
  written out so that nothing is lost (``repr`` of a double, ISO dates). Blanks around it are removed later.
* Columns that the mapping does not name are never read into a batch: nobody after the reader can leak them.
* Memory does not grow with the source. A reader that must sort or join writes to ``scratch``, which is removed.
* What makes a whole file useless is an `IngestError` without a value of the source in its text.
* The same source gives the same rows; their order may matter to the line numbers only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.ingest.accounting import Outcomes
from neurotwin.ingest.mapping import SourceMapping, Table

ROWS = 65_536
"""Rows that a batch should have at most, and `CELLS` its rows times columns; a table's last batch may be small."""
CELLS = 2_000_000

Advance = Callable[[int], object]
"""Called with the bytes read since the last call, for the progress bar; the sum is at most the tables' ``volume``."""
Texts = Any
"""A ``pyarrow.StringArray``; pyarrow has no types to check."""


@dataclass(frozen=True)
class TextBatch:
    """Some rows of one table.

    Attributes:
        lines: ``[row]`` line or record number from 1, where a person would look; several rows may share one.
        columns: for each name of `columns_of` the cells, ``[row]``; "" (or null) is missing.
        faults: ``[row]`` what the reader itself found: 0 nothing, the code of a `Reason` (``CODES[Reason.X]``), or
            ``OUT_OF_SCOPE`` or ``MERGED``. A row with a fault counts so, and none of its cells is looked at.
    """

    lines: NDArray[np.int64]
    columns: dict[str, Texts]
    faults: Outcomes

    def __len__(self) -> int:
        return len(self.lines)


def text_batch(
    lines: Sequence[int], columns: dict[str, Sequence[str | None]], faults: Sequence[int] | None = None
) -> TextBatch:
    """A batch from plain lists; None is missing. Readers that have Arrow columns build `TextBatch` themselves."""
    pa = need("pyarrow", "simulate")
    return TextBatch(
        np.asarray(lines, dtype=np.int64),
        {name: pa.array(cells, pa.string()) for name, cells in columns.items()},
        np.zeros(len(lines), dtype=np.int8) if faults is None else np.asarray(faults, dtype=np.int8),
    )


class TextTable(Protocol):
    """The rows that one file of the source gives for one table of the mapping; it has one account in the report.

    A file that gives rows to several tables is several text tables, told apart by ``shown``.
    """

    @property
    def shown(self) -> str:
        """Name in the report and in messages: the file's name, and the table's where a file has several."""

    @property
    def table(self) -> int:
        """Number of the table in ``mapping.tables``."""

    @property
    def volume(self) -> int:
        """About how many bytes of text it holds (known before it is read): length of the bar, number of buckets."""

    def batches(self) -> Iterable[TextBatch]:
        """All rows, once, in the order of the source; called once.

        Raises:
            IngestError: the file cannot be used, or lacks a column that the mapping names.
        """

    def position(self, column: str) -> int:
        """Position of a column from 1 for the places in the report, 0 where the format has none. After a batch."""

    @property
    def columns_ignored(self) -> int:
        """How many columns (or fields) nobody asked for. After the last batch; 0 where that means nothing."""

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes, known after the last batch."""

    @property
    def size(self) -> int:
        """Bytes of the file, known after the last batch."""


class Reader(Protocol):
    """A format."""

    @property
    def kind(self) -> str:
        """Name of the format as the user types it: ``csv``."""

    def shown(self, source: Path | str) -> str:
        """The source's name in the report and in messages: no path, nothing of an address that may be secret."""

    def tables(
        self, source: Path | str, mapping: SourceMapping, scratch: Path, advance: Advance
    ) -> Sequence[TextTable]:
        """The source's text tables, opened but not read, in the order of the mapping's tables and of names.

        ``scratch`` is an empty folder to write to, removed at the end whatever happens.

        Raises:
            IngestError: files and the mapping's tables do not fit each other, or a file is not of the format.
        """


def columns_of(table: Table) -> list[str]:
    """The columns that a table of a mapping names, each once: all that a reader may read."""
    return list(dict.fromkeys(table.columns))
