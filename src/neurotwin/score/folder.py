"""The folder of a run: its parts, a ledger of those that are whole, and a manifest that tells what was scored.

    manifest.json        what is scored, how, with which versions; at the end the counts
    part-00012.parquet   answers; written as a draft, synced and renamed, so that it is there whole or not at all
    ledger.jsonl         one line per whole part, with its hash; a line that was cut off by a crash is not one
    quarantine.parquet   subjects without an answer, and why; written at the end

Equal runs leave equal parts, byte for byte: a part that two workers finish is the same part.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neurotwin import __version__
from neurotwin.disk import disk_errors, held, remove_drafts, write_whole
from neurotwin.errors import ConfigError, InputError, IntegrityError
from neurotwin.extras import need
from neurotwin.score.job import Job

FORMAT = 1
MANIFEST, LEDGER, QUARANTINE = "manifest.json", "ledger.jsonl", "quarantine.parquet"
KEPT = "whole parts are kept"
TEXT = ("subject", "status", "reasons", "kind", "channel", "unit")


@dataclass(frozen=True)
class Outcome:
    """A part that is whole.

    Attributes:
        subjects: by status.
        quarantined: id and reason of each subject that has no answer.
    """

    number: int
    sha256: str
    subjects: dict[str, int]
    quarantined: tuple[tuple[str, str], ...] = field(default=())

    @property
    def n_subjects(self) -> int:
        """Quarantined ones included."""
        return sum(self.subjects.values()) + len(self.quarantined)


def write_part(folder: Path, name: str, columns: dict[str, Any]) -> str:
    """Write a table so that it appears whole or not at all; returns its sha256. Raises ResourceError."""
    pa = need("pyarrow", "simulate")
    arrays = {
        key: pa.array(values.tolist(), pa.string()) if key in TEXT else pa.array(values, from_pandas=True)
        for key, values in columns.items()
    }
    content = _parquet(arrays)
    _replace(folder / name, content)
    return hashlib.sha256(content).hexdigest()


class RunFolder:
    """A run's folder, held by one coordinator."""

    def __init__(self, path: Path, job: Job) -> None:
        self.path, self.job = path, job

    @classmethod
    @contextmanager
    def hold(cls, path: Path, job: Job) -> Iterator["RunFolder"]:
        """Take the folder, or take up the same run where it was left.

        Raises:
            OutputInUseError: another coordinator holds it.
            ConfigError: it holds something else, or another run, or cannot be written.
        """
        folder = cls(path, job)
        with disk_errors(path, ConfigError):
            others = path.exists() and any(not item.name.startswith(".") for item in path.iterdir())
            if others and not (path / MANIFEST).exists():
                raise ConfigError("the folder holds something else", where=str(path), expected="an empty folder")
        with held(path, "another run writes there", remedy="wait, or choose another output folder"):
            folder._begin()
            yield folder

    @property
    def manifest(self) -> dict[str, Any]:
        """As it is on disk. Raises IntegrityError when it cannot be read."""
        try:
            return dict(json.loads((self.path / MANIFEST).read_text()))
        except (ValueError, TypeError):
            raise IntegrityError(
                "the manifest cannot be read", where=str(self.path / MANIFEST), remedy="choose another output folder"
            ) from None

    def done(self) -> dict[int, Outcome]:
        """Parts that are whole, by number: told by the ledger, and still what it tells."""
        found = {}
        for line in self._lines():
            outcome = _outcome(line)
            if outcome is not None and _sha256(self.path / f"part-{outcome.number:05d}.parquet") == outcome.sha256:
                found[outcome.number] = outcome
        return found

    def add(self, outcome: Outcome) -> None:
        """Note a part that is whole, for good."""
        line = json.dumps(asdict(outcome)) + "\n"
        with disk_errors(self.path, ConfigError, kept=KEPT), (self.path / LEDGER).open("a") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def finish(self, outcomes: Sequence[Outcome], ignored: Sequence[str]) -> dict[str, Any]:
        """Write the quarantine and the counts; returns the manifest. ``ignored``: channels that were left out."""
        pa = need("pyarrow", "simulate")
        rows = [(*one, outcome.number) for outcome in outcomes for one in outcome.quarantined]
        table = {
            "subject": pa.array([row[0] for row in rows], pa.string()),
            "reason": pa.array([row[1] for row in rows], pa.string()),
            "part": pa.array([row[2] for row in rows], pa.int64()),
        }
        _replace(self.path / QUARANTINE, _parquet(table))
        counts: dict[str, int] = {}
        for outcome in outcomes:
            for status, number in outcome.subjects.items():
                counts[status] = counts.get(status, 0) + number
        manifest = self.manifest | {
            "complete": True,
            "ignored": list(ignored),
            "subjects": {**counts, "quarantined": len(rows)},
            "parts": [{"part": one.number, "sha256": one.sha256} for one in outcomes],
        }
        self._write(manifest)
        return manifest

    def _begin(self) -> None:
        about = json.loads(json.dumps(self.job.about()))
        if (self.path / MANIFEST).exists():
            known = self.manifest.get("job", {})
            if other := sorted(key for key in {**about, **known} if known.get(key) != about.get(key)):
                names = ", ".join(key.removesuffix("_sha256").replace("_", " ") for key in other)
                raise ConfigError(
                    f"the folder holds a run with another {names}",
                    where=str(self.path),
                    remedy="choose another output folder, or ask as that run did",
                )
        else:
            self._write({"format": FORMAT, "complete": False, "job": about, "versions": _versions()})
        remove_drafts(self.path)
        ledger = self.path / LEDGER
        if ledger.exists() and not ledger.read_bytes().endswith(b"\n"):  # cut off while it was written
            _replace(ledger, "".join(f"{line}\n" for line in self._lines()))

    def _lines(self) -> list[str]:
        ledger = self.path / LEDGER
        if not ledger.exists():
            return []
        return [line for line in ledger.read_text(errors="replace").split("\n")[:-1] if line]

    def _write(self, manifest: dict[str, Any]) -> None:
        _replace(self.path / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def read_summary(path: Path) -> dict[str, Any]:
    """The counts of a run that is complete. Raises InputError where there is none."""
    manifest = json.loads((path / MANIFEST).read_text()) if (path / MANIFEST).is_file() else {}
    if not manifest.get("complete"):
        raise InputError("no complete run here", where=str(path), remedy="run neurotwin score again")
    return dict(manifest["subjects"])


def _replace(path: Path, content: Any) -> None:
    with disk_errors(path.parent, ConfigError, kept=KEPT):
        write_whole(path, content)


def _parquet(columns: dict[str, Any]) -> Any:
    """Equal columns make equal bytes."""
    pa, sink = need("pyarrow", "simulate"), need("pyarrow", "simulate").BufferOutputStream()
    need("pyarrow.parquet", "simulate").write_table(pa.table(columns), sink, compression="zstd", store_schema=False)
    return sink.getvalue()


def _outcome(line: str) -> Outcome | None:
    try:
        told = json.loads(line)
        quarantined = tuple((str(name), str(why)) for name, why in told["quarantined"])
        return Outcome(int(told["number"]), str(told["sha256"]), dict(told["subjects"]), quarantined)
    except (ValueError, KeyError, TypeError):
        return None


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    names = {name: need(name, "simulate").__version__ for name in ("numpy", "onnxruntime", "pyarrow")}
    return {"neurotwin": __version__, **names}
