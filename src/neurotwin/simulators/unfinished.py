"""A cohort folder while a simulation writes it: what is done already, who holds it, and how it is finished.

While it is unfinished the folder has ``.simulation/``: a lock, what is being simulated, and a note per whole shard. A
note is written after its shard has appeared, so a shard without one is made again. At the end ``cohort.json`` is
written and ``.simulation/`` removed: nothing of workers, restarts or times is left, and equal runs leave equal bytes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotwin.cohort import Cohort, read_manifest, write_manifest, write_shard
from neurotwin.disk import disk_errors, remove_drafts, write_whole
from neurotwin.errors import CohortError, OutputInUseError
from neurotwin.extras import need
from neurotwin.schema import Schema

WORK, ABOUT = ".simulation", "about.json"


@dataclass(frozen=True)
class Unfinished:
    """The folder of a simulation; ``about`` is everything that its content depends on."""

    folder: Path
    about: dict[str, Any]

    @property
    def work(self) -> Path:
        """Where the notes are."""
        return self.folder / WORK

    def is_done(self) -> bool:
        """Does the folder hold just this cohort? Raises CohortError if it holds another."""
        if not (self.folder / "cohort.json").exists():
            return False
        manifest = read_manifest(self.folder)
        known = {key: manifest["provenance"].get(key) for key in self.about}
        if _plain(known) != _plain(self.about):
            raise CohortError(
                "the folder holds another cohort", where=str(self.folder), remedy="choose another output folder"
            )
        return True

    def begin(self) -> None:
        """Take the folder, or take up the same simulation where it was left.

        Raises:
            CohortError: the folder holds something else.
        """
        note = self.work / ABOUT
        if note.exists() and _plain(json.loads(note.read_text())) != _plain(self.about):
            raise CohortError(
                "the folder holds an unfinished simulation with other settings",
                where=str(self.folder),
                remedy="choose another output folder, or remove this one",
            )
        shards = self.folder / "shards"
        if not note.exists() and shards.exists():
            raise CohortError(
                "the folder holds shards of unknown origin",
                where=str(self.folder),
                remedy="choose another output folder",
            )
        _write_json(note, self.about)
        remove_drafts(self.folder, self.work, shards)

    def note_of(self, number: int) -> dict[str, Any] | None:
        """What is known about a whole shard; None, after removing what there is of it, if it has to be made."""
        note, shard = self.work / f"{number:05d}.json", self.folder / "shards" / f"{number:05d}"
        if note.exists():
            known = self.read_note(number)
            if all(_sha256(shard / name) == item["sha256"] for name, item in known["entry"]["files"].items()):
                return known
            note.unlink()
        if shard.exists():
            shutil.rmtree(shard)
        return None

    def read_note(self, number: int) -> dict[str, Any]:
        """The note of a shard that has just been made."""
        return dict(json.loads((self.work / f"{number:05d}.json").read_text()))

    def add(self, number: int, part: Cohort) -> None:
        """Write a shard, then its note."""
        entry = write_shard(self.folder, number, part)
        _write_json(self.work / f"{number:05d}.json", {"entry": entry, "rejected": part.provenance["rejected"]})

    def finish(self, schema: Schema, notes: list[dict[str, Any]], provenance: dict[str, Any]) -> None:
        """Write the manifest, which makes the cohort whole, and remove the notes."""
        write_manifest(self.folder, schema, [note["entry"] for note in notes], provenance)
        (self.work / ABOUT).unlink()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder, created if needed, against other runs.

    Raises:
        OutputInUseError: another run holds it.
        CohortError: it cannot be written.
        ResourceError: the disk is full.
    """
    filelock, fresh = need("filelock", "simulate"), not folder.exists()
    with disk_errors(folder, CohortError, kept="whole shards are kept"):
        try:
            (folder / WORK).mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / WORK / "lock", timeout=0):
                try:
                    yield
                finally:
                    if not ((folder / WORK / ABOUT).exists() and (folder / "shards").exists()):  # nothing is unfinished
                        shutil.rmtree(folder / WORK)
                        if fresh and not any(folder.iterdir()):
                            folder.rmdir()
        except filelock.Timeout:
            raise OutputInUseError(
                "another run writes this cohort", where=str(folder), remedy="wait, or choose another output folder"
            ) from None


def _plain(content: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(content))


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
