"""Events on their way to a cohort: files on disk, one set for each bucket of subjects, so that memory stays small.

A bucket holds all of its subjects' events, and each bucket is assembled on its own. The files hold subject ids as they
are in the source; they lie in a folder that only its owner may read and that is removed at the end.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.mapping import LongTable, Table
from neurotwin.ingest.numbers import arrow, distinct

VOLUME = 48 << 20
"""Text of the source that one bucket may come from, and `MOST` buckets at most, since each has open files."""
MOST = 128
_DENSE = 8
"""How much more events the same text may hold in a table of visits, where a cell is one, not a row."""

_ITEM = {"row": np.int64, "line": np.int64, "primary": np.int8}
KINDS: dict[str, dict[str, Any]] = {
    "subjects": {},
    "values": _ITEM
    | {"time": np.float64, "variable": np.int16, "value": np.float64, "censor": np.int8, "post_dose": np.int8},
    "doses": _ITEM | {"time": np.float64, "end": np.float64, "treatment": np.int16, "amount": np.float64},
    "statics": _ITEM | {"static": np.int16, "value": np.float64},
    "marks": _ITEM | {"mark": np.int8, "time": np.float64},
}
"""Columns of each kind of event, besides its subject.

``row`` numbers the rows of all files, ``line`` is for people. ``primary`` is -1 for an item that its row's account does
not follow, else the code of the reason for which an earlier primary item of the row was rejected, or 0. Times are as
read: in the time unit, or microseconds since 2000 for dates. A dose's ``time`` is NaN at the index event; its ``end``
is NaN for a bolus, infinite where it goes on, and `UNTIL_NEXT` where it ends with the next one. The ``time`` of the
mark `FOLD` is not one, but the folds that it allows (`folds`). Marks from `ENDED` on end a follow-up (`follow_up`).
"""
INDEX, BIRTH, DEATH, FOLD, ENDED = range(5)
UNTIL_NEXT = -np.inf


def buckets_for(tables: Iterable[tuple[int, Table]]) -> int:
    """How many buckets are needed for so many bytes of text of such tables: a power of two, 1 for a small source."""
    volume = sum(size * (1 if isinstance(table, LongTable) else _DENSE) for size, table in tables)
    count = 1
    while count * VOLUME < volume and count < MOST:
        count *= 2
    return count


class Buckets:
    """Writes events to buckets; a context, at whose end the files are closed."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self.count = folder, count
        self._files: dict[tuple[str, int], Any] = {}
        self._writers: dict[tuple[str, int], Any] = {}

    def of_subjects(self, ids: list[str]) -> NDArray[np.int16]:
        """``[id]`` bucket of each subject; it depends on nothing but the id."""
        return np.array([crc32(one.encode()) % self.count for one in ids], dtype=np.int16)

    def write(self, kind: str, bucket: NDArray[np.int16], subject: Texts, **columns: NDArray[Any]) -> None:
        """Add events of one kind, each with its bucket and subject."""
        pa, _ = arrow()
        if not len(subject):
            return
        arrays = [subject, *(pa.array(columns[name].astype(kept, copy=False)) for name, kept in KINDS[kind].items())]
        batch = pa.record_batch(arrays, names=["subject", *KINDS[kind]])
        if self.count == 1:
            self._writer(kind, 0, batch.schema).write_batch(batch)
            return
        order = np.argsort(bucket, kind="stable")
        batch = batch.take(pa.array(order))
        bounds = np.searchsorted(bucket[order], np.arange(self.count + 1))
        for number in np.flatnonzero(np.diff(bounds)):
            part = batch.slice(bounds[number], bounds[number + 1] - bounds[number])
            self._writer(kind, int(number), part.schema).write_batch(part)

    def _writer(self, kind: str, number: int, schema: Any) -> Any:
        key = (kind, number)
        if key not in self._writers:
            self._files[key] = self._path(kind, number).open("wb")
            self._writers[key] = need("pyarrow.ipc", "simulate").new_stream(self._files[key], schema)
        return self._writers[key]

    def _path(self, kind: str, number: int) -> Path:
        return self._folder / f"{kind}-{number:03d}.arrow"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            if kind is None:
                writer.close()
        for file in self._files.values():
            file.close()

    def take(self, number: int) -> "Bucket":
        """Read a bucket and remove its files."""
        pa, _ = arrow()
        tables = {}
        for kind in KINDS:
            path = self._path(kind, number)
            if path.exists():
                with path.open("rb") as file:
                    tables[kind] = need("pyarrow.ipc", "simulate").open_stream(file).read_all()
                path.unlink()
        ids = pa.chunked_array([], pa.string()) if "subjects" not in tables else tables["subjects"]["subject"]
        return Bucket(distinct(ids.combine_chunks())[0], tables)


class Bucket:
    """All events of some subjects, whose ids are ``subjects``."""

    def __init__(self, subjects: list[str], tables: dict[str, Any]) -> None:
        self.subjects, self._tables = subjects, tables

    def columns(self, kind: str) -> dict[str, NDArray[Any]]:
        """The columns of one kind, each an array of its own, with the subject's number; read once, then forgotten."""
        pa, pc = arrow()
        table = self._tables.pop(kind, None)
        if table is None:
            empty = {name: np.zeros(0, dtype=kept) for name, kept in KINDS[kind].items()}
            return {"subject": np.zeros(0, np.int32), **empty}
        number = pc.index_in(table["subject"], value_set=pa.array(self.subjects, pa.string()))
        columns = {name: np.array(table[name].to_numpy()) for name in KINDS[kind]}
        return {"subject": np.array(number.to_numpy()), **columns}
