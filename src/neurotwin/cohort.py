"""The Cohort: subjects with their observations and doses, in memory and on disk.

On disk a cohort is a folder: ``cohort.json`` (schema, provenance, split key, shards with their hashes) and
``shards/NNNNN/{subjects,observations,doses}.parquet``. ``cohort.json`` is written last and at once, so a folder that
has one is whole.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.disk import disk_errors, whole_folder, write_whole
from neurotwin.errors import CohortError
from neurotwin.events import Doses, EventTable, Observations
from neurotwin.extras import need
from neurotwin.follow_up import FollowUp, check_follow_up, columns_of, read_columns
from neurotwin.schema import Schema

FORMAT = 1
N_FOLDS = 5
Part = Literal["train", "validation", "test"]


def fold_of(key: str, subject_id: str) -> int:
    """Fold of a subject: a hash of its id, so that adding subjects never moves one."""
    return int(hashlib.sha256(f"{key}:{subject_id}".encode()).hexdigest(), 16) % N_FOLDS


@dataclass(frozen=True)
class Cohort:
    """Subjects of one schema.

    Attributes:
        schema: what the columns mean.
        ids: ``[subject]`` identifiers, text.
        fold: ``[subject]`` 0..4, see `fold_of`.
        statics: ``[subject, static]`` raw covariates: a number, or the index of a level; NaN where missing.
        observations, doses: flat events, sorted by subject and time.
        truth: ``[subject]`` columns that only a simulator knows (its parameters), by name; never shown to a model.
        provenance: where it came from, as plain data.
        follow_up: how each subject's course ended, None where the schema has no outcomes; for training and scoring,
            never shown to a model that forecasts.
    """

    schema: Schema
    ids: NDArray[np.str_]
    fold: NDArray[np.int8]
    statics: NDArray[np.float64]
    observations: Observations
    doses: Doses
    truth: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    follow_up: FollowUp | None = None

    @classmethod
    def build(
        cls,
        schema: Schema,
        ids: Sequence[str],
        statics: NDArray[np.float64],
        observations: Observations,
        doses: Doses,
        *,
        split_key: str,
        fold: Sequence[int] | None = None,
        truth: dict[str, NDArray[np.float64]] | None = None,
        provenance: dict[str, Any] | None = None,
        follow_up: FollowUp | None = None,
    ) -> Self:
        """Check, sort and split. ``fold``: where ``ids`` are pseudonyms, the folds of the source's ids.

        Raises CohortError when tables and schema do not fit each other.
        """
        if len(set(ids)) != len(ids):
            raise CohortError("a subject id stands twice", where="subjects", expected="distinct ids")
        if statics.shape != (len(ids), len(schema.statics)):
            raise CohortError(
                f"statics have shape {statics.shape}", where="subjects", expected=f"({len(ids)}, {len(schema.statics)})"
            )
        _check_columns(observations, len(ids), "variable", len(schema.variables), "observations")
        _check_columns(doses, len(ids), "treatment", len(schema.treatments), "doses")
        for name, values in (
            ("observation times", observations.time),
            ("values", observations.value),
            ("dose times", doses.time),
            ("amounts", doses.amount),
        ):
            if not np.isfinite(values).all():
                raise CohortError(f"{int((~np.isfinite(values)).sum())} {name} are not finite", where="cohort")
        check_follow_up(follow_up, len(schema.outcomes), len(ids), observations, doses)
        folds = np.array([fold_of(split_key, one) for one in ids] if fold is None else fold, dtype=np.int8)
        if folds.shape != (len(ids),) or ((folds < 0) | (folds >= N_FOLDS)).any():
            raise CohortError(
                "folds do not fit the subjects", where="subjects", expected=f"{len(ids)} numbers 0..{N_FOLDS - 1}"
            )
        observations = observations.take(
            np.lexsort((observations.variable, observations.post_dose, observations.time, observations.subject))
        )
        doses = doses.take(np.lexsort((doses.amount, doses.treatment, doses.time, doses.subject)))
        provenance = {**(provenance or {}), "split_key": split_key}
        return cls(
            schema,
            np.array(ids, dtype=np.str_),
            folds,
            statics.astype(np.float64),
            observations,
            doses,
            truth or {},
            provenance,
            follow_up,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def start(self) -> NDArray[np.float64]:
        """``[subject]`` clock of the first event, 0 at the latest."""
        first = np.zeros(len(self))
        np.minimum.at(first, self.observations.subject, self.observations.time)
        bolus = self.doses.is_bolus
        np.minimum.at(first, self.doses.subject[bolus], self.doses.time[bolus])
        return first

    def take(self, subjects: NDArray[Any]) -> Self:
        """Some subjects, by mask or positions, in the order given."""
        index = np.arange(len(self))[np.asarray(subjects)]
        return replace(
            self,
            ids=self.ids[index],
            fold=self.fold[index],
            statics=self.statics[index],
            observations=self.observations.of_subjects(index),
            doses=self.doses.of_subjects(index),
            truth={name: values[index] for name, values in self.truth.items()},
            follow_up=None if self.follow_up is None else self.follow_up.take(index),
        )

    def part(self, part: Part, rotation: int = 0) -> Self:
        """Subjects of one part of the split: folds 0-2 train, 3 validation, 4 test, rotated by ``rotation``."""
        turned = (self.fold.astype(int) - rotation) % N_FOLDS
        chosen = {"train": turned < N_FOLDS - 2, "validation": turned == N_FOLDS - 2, "test": turned == N_FOLDS - 1}[
            part
        ]
        if not chosen.any():
            raise CohortError(
                f"the {part} part is empty", where=f"cohort of {len(self)} subjects", remedy="use more subjects"
            )
        return self.take(chosen)

    def save(self, folder: Path, *, shard_size: int = 50_000) -> str:
        """Write to ``folder`` (created) and return the hash of its content.

        Raises CohortError when it holds a cohort or cannot be written, ResourceError when the disk is full.
        """
        if (folder / "cohort.json").exists():
            remedy = "choose another folder or remove it"
            raise CohortError("the folder holds a cohort already", where=str(folder), remedy=remedy)
        with disk_errors(folder, CohortError):
            folder.mkdir(parents=True, exist_ok=True)
            starts = range(0, max(len(self), 1), shard_size)
            parts = (self.take(np.arange(first, min(first + shard_size, len(self)))) for first in starts)
            shards = [write_shard(folder, number, part) for number, part in enumerate(parts)]
            return write_manifest(folder, self.schema, shards, self.provenance)

    @classmethod
    def load(cls, folder: Path, *, verify: bool = False) -> Self:
        """Read a cohort; ``verify`` also checks every file's hash. Raises CohortError when it is not whole."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        schema = Schema.parse(manifest["schema"], where=str(folder / "cohort.json"))
        parts = [_read_shard(folder, shard, verify) for shard in manifest["shards"]]
        offset = np.cumsum([0, *(len(part["id"]) for part, _, _ in parts)])[:-1]
        subjects = {name: np.concatenate([part[name] for part, _, _ in parts]) for name in parts[0][0]}
        statics = [subjects[static.name] for static in schema.statics]
        truth = {name.removeprefix("truth."): values for name, values in subjects.items() if name.startswith("truth.")}
        return cls(
            schema,
            subjects["id"].astype(np.str_),
            subjects["fold"].astype(np.int8),
            np.stack(statics, axis=1).astype(np.float64) if statics else np.zeros((len(subjects["id"]), 0)),
            Observations.concatenate(
                *(replace(o, subject=o.subject + np.int32(k)) for (_, o, _), k in zip(parts, offset, strict=True))
            ),
            Doses.concatenate(
                *(replace(d, subject=d.subject + np.int32(k)) for (_, _, d), k in zip(parts, offset, strict=True))
            ),
            truth,
            manifest["provenance"],
            read_columns(subjects, str(folder)) if schema.outcomes else None,
        )


def _check_columns(table: EventTable, n_subjects: int, column: str, n_channels: int, name: str) -> None:
    channel = getattr(table, column)
    if len(table) and (table.subject.min() < 0 or table.subject.max() >= n_subjects):
        raise CohortError(
            "a row names a subject that is not there", where=name, expected=f"subject 0..{n_subjects - 1}"
        )
    if len(table) and (channel.min() < 0 or channel.max() >= n_channels):
        raise CohortError(
            f"a row names a {column} that is not in the schema", where=name, expected=f"{column} 0..{n_channels - 1}"
        )


def write_shard(folder: Path, number: int, part: Cohort) -> dict[str, Any]:
    """Write one shard so that it appears whole or not at all; returns its entry for the manifest."""
    pq, pa = need("pyarrow.parquet", "simulate"), need("pyarrow", "simulate")
    final = folder / "shards" / f"{number:05d}"
    if final.exists():
        raise CohortError(f"shard {number} is there already", where=str(final))
    subjects: dict[str, Any] = {"id": pa.array(part.ids.tolist(), pa.string()), "fold": part.fold}
    subjects |= {static.name: part.statics[:, index] for index, static in enumerate(part.schema.statics)}
    subjects |= {f"truth.{name}": values for name, values in part.truth.items()}
    subjects |= {} if part.follow_up is None else columns_of(part.follow_up)
    tables = {"subjects": subjects, "observations": vars(part.observations), "doses": vars(part.doses)}
    files = {}
    with whole_folder(final) as draft:
        for name, columns in tables.items():
            path = draft / f"{name}.parquet"
            pq.write_table(pa.table(dict(columns)), path, compression="zstd", store_schema=False)
            files[f"{name}.parquet"] = {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "bytes": path.stat().st_size,
            }
    return {"shard": f"{number:05d}", "subjects": len(part), "files": files}


def shards_digest(shards: list[dict[str, Any]], schema: dict[str, Any]) -> str:
    """Hash of a cohort's content: its files' hashes and its schema, both as in ``cohort.json``."""
    content = json.dumps([shard["files"] for shard in shards] + [schema], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def write_manifest(folder: Path, schema: Schema, shards: list[dict[str, Any]], provenance: dict[str, Any]) -> str:
    """Write ``cohort.json`` at once and return the hash of the cohort's content."""
    digest = shards_digest(shards, schema.model_dump(mode="json"))
    manifest = {
        "format": FORMAT,
        "sha256": digest,
        "schema": schema.model_dump(mode="json"),
        "provenance": provenance,
        "shards": shards,
    }
    write_whole(folder / "cohort.json", json.dumps(manifest, indent=1) + "\n")
    return digest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of ``cohort.json``; raises CohortError when there is none or it cannot be read."""
    path = Path(folder) / "cohort.json"
    if not path.is_file():
        raise CohortError(
            "no cohort here",
            where=str(folder),
            expected="a folder with cohort.json",
            remedy="make one with `neurotwin simulate` or `neurotwin ingest`",
        )
    try:
        manifest = json.loads(path.read_text())
        if manifest["format"] != FORMAT:
            raise CohortError(f"cohort format {manifest['format']}", where=str(path), expected=f"format {FORMAT}")
        if not manifest["shards"]:
            raise CohortError("a cohort without shards", where=str(path))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise CohortError("not a readable cohort.json", where=str(path), remedy="make the cohort again") from None
    return dict(manifest)


def _read_shard(
    folder: Path, shard: dict[str, Any], verify: bool
) -> tuple[dict[str, NDArray[Any]], Observations, Doses]:
    pq, pa = need("pyarrow.parquet", "simulate"), need("pyarrow", "simulate")
    columns = {}
    for name in ("subjects", "observations", "doses"):
        path = folder / "shards" / str(shard["shard"]) / f"{name}.parquet"
        recorded = shard["files"][f"{name}.parquet"]
        if not path.is_file() or path.stat().st_size != recorded["bytes"]:
            raise CohortError("a file is missing or of another size", where=str(path), remedy="make the cohort again")
        if verify and hashlib.sha256(path.read_bytes()).hexdigest() != recorded["sha256"]:
            raise CohortError("a file does not match its hash", where=str(path), remedy="make the cohort again")
        try:
            table = pq.read_table(path, memory_map=True)
        except pa.ArrowException:
            raise CohortError("not a readable parquet file", where=str(path), remedy="make the cohort again") from None
        columns[name] = {column: table[column].to_numpy() for column in table.column_names}
    return columns["subjects"], Observations(**columns["observations"]), Doses(**columns["doses"])
