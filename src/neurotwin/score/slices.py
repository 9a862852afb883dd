"""A few subjects of a cohort on disk, without reading the rest.

The tables of a shard are sorted by subject, as `Cohort.save` leaves them, so the statistics of a parquet file's row
groups tell which of them hold a range of subjects. The groups read last are kept: the next part mostly begins in them.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import read_manifest
from neurotwin.errors import CohortError
from neurotwin.events import Doses, EventTable, Observations
from neurotwin.extras import need
from neurotwin.schema import Schema
from neurotwin.score.job import Part

Array = NDArray[np.float64]
Events = TypeVar("Events", bound=EventTable)
KEPT = 2
"""Row groups of each table that stay in memory."""


@dataclass(frozen=True)
class Slice:
    """Subjects of one part, numbered from 0, as the cohort has them.

    Attributes:
        ids: ``[subject]``
        statics: ``[subject, static]`` raw.
        ended: ``[subject]`` end of follow-up; infinite where it is not known, or the schema has no outcomes.
    """

    ids: NDArray[np.object_]
    statics: Array
    observations: Observations
    doses: Doses
    ended: Array

    def __len__(self) -> int:
        return len(self.ids)


class CohortReader:
    """Reads parts of a cohort. Every file's hash is checked when it is first opened.

    Raises CohortError where the cohort is not whole, or is not the one that the job was made for.
    """

    def __init__(self, folder: Path, sha256: str = "") -> None:
        self.folder = folder
        manifest = read_manifest(folder)
        if sha256 and manifest["sha256"] != sha256:
            raise CohortError("another cohort than the one that is scored", where=str(folder), expected=sha256[:12])
        self.schema = Schema.parse(manifest["schema"], where=str(folder / "cohort.json"))
        self._shards = {str(shard["shard"]): shard["files"] for shard in manifest["shards"]}
        self._open: tuple[str, dict[str, _Table]] = ("", {})

    def read(self, part: Part) -> Slice:
        """The subjects of a part."""
        tables = self._tables(part.shard)
        subjects = tables["subjects"].rows(part.first, part.last)
        statics = [np.asarray(subjects[item.name], np.float64) for item in self.schema.statics]
        n = len(subjects["id"])
        if n != len(part):
            raise CohortError("another number of subjects than told", where=f"{self.folder}: shard {part.shard}")
        ended = np.asarray(subjects.get("follow_up.time", np.full(n, np.inf)), np.float64)
        return Slice(
            ids=np.asarray(subjects["id"], dtype=object),
            statics=np.stack(statics, axis=1) if statics else np.zeros((n, 0)),
            observations=_events(Observations, tables["observations"], part),
            doses=_events(Doses, tables["doses"], part),
            ended=np.where(np.isnan(ended), np.inf, ended),
        )

    def _tables(self, shard: str) -> dict[str, "_Table"]:
        if self._open[0] != shard:
            folder, files = self.folder / "shards" / shard, self._shards[shard]
            named = {name: f"{name}.parquet" for name in ("subjects", "observations", "doses")}
            self._open = (shard, {key: _Table(folder / name, files[name]) for key, name in named.items()})
        return self._open[1]


def _events(kind: type[Events], table: "_Table", part: Part) -> Events:
    columns = table.rows(part.first, part.last, by="subject")
    subject = (columns["subject"] - part.first).astype(np.int32)
    return kind(**{**{name: columns[name] for name in kind.__dataclass_fields__}, "subject": subject})


class _Table:
    """One parquet file, by row groups."""

    def __init__(self, path: Path, recorded: dict[str, Any]) -> None:
        pq, pa = need("pyarrow.parquet", "simulate"), need("pyarrow", "simulate")
        self.path, self._kept = path, dict[int, dict[str, NDArray[Any]]]()
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            raise self._fault("a file is missing or of another size")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != recorded["sha256"]:
                raise self._fault("a file does not match its hash")
        try:
            self.file = pq.ParquetFile(path, memory_map=True)
        except pa.ArrowException:
            raise self._fault("not a readable parquet file") from None
        known = [self.file.metadata.row_group(index) for index in range(self.file.num_row_groups)]
        self.groups = [index for index, group in enumerate(known) if group.num_rows]
        self.counts = np.array([known[index].num_rows for index in self.groups], dtype=np.int64)
        self.ends = self._ends(known) if "subject" in self.file.schema_arrow.names else np.zeros((0, 2), np.int64)

    def rows(self, first: int, last: int, by: str = "") -> dict[str, NDArray[Any]]:
        """Rows ``first`` up to ``last``, or those whose column ``by`` lies in that range."""
        end = np.cumsum(self.counts)
        if by:
            wanted = np.flatnonzero((self.ends[:, 0] < last) & (self.ends[:, 1] >= first))
        else:
            wanted = np.flatnonzero((end - self.counts < last) & (end > first))
        found = []
        for group in wanted.tolist():
            columns = self._group(self.groups[group])
            if by:
                low, high = np.searchsorted(columns[by], [first, last])
            else:
                begin = int(end[group] - self.counts[group])
                low, high = max(first - begin, 0), max(last - begin, 0)
            found.append({name: values[low:high] for name, values in columns.items()})
        if not found:
            return self._empty()
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def _ends(self, known: list[Any]) -> NDArray[np.int64]:
        """First and last subject of each row group; they must rise, or a range of subjects could be anywhere."""
        place = self.file.schema_arrow.names.index("subject")
        told = [known[index].column(place).statistics for index in self.groups]
        if any(one is None or not one.has_min_max for one in told):
            raise self._fault("a row group does not tell which subjects it holds")
        ends = np.array([(one.min, one.max) for one in told], dtype=np.int64).reshape(-1, 2)
        if (ends[1:, 0] < ends[:-1, 1]).any():
            raise self._fault("rows are not sorted by subject")
        return ends

    def _group(self, index: int) -> dict[str, NDArray[Any]]:
        if index not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            table = self.file.read_row_group(index, use_threads=False)
            columns = {name: table[name].to_numpy() for name in table.column_names}
            if "subject" in columns and (np.diff(columns["subject"]) < 0).any():
                raise self._fault("rows are not sorted by subject")
            self._kept[index] = columns
        return self._kept[index]

    def _empty(self) -> dict[str, NDArray[Any]]:
        table = self.file.schema_arrow.empty_table()
        return {name: table[name].to_numpy() for name in table.column_names}

    def _fault(self, what: str) -> CohortError:
        return CohortError(what, where=str(self.path), remedy="make the cohort again")
