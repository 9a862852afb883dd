"""The registry: a folder that tells which bundle is the champion.

    history.jsonl          every decision, hash-chained: what counts
    aliases.json           champion, previous and candidate of each name, as follows from the history
    models/NAME/NAME@VERSION/    bundles, copied, checked, read-only
    verdicts/SHA256.json   what each was judged with

A decision stands from the moment its line is in the history; its bundle and verdict are there before. So a crash leaves
the old champion or the new one, never none. Writers hold a lock; readers need none.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from neurotwin.bundle import Bundle, strict_json
from neurotwin.chain import START
from neurotwin.disk import disk_errors, remove_drafts, write_whole
from neurotwin.errors import ConfigError, IntegrityError, OutputInUseError
from neurotwin.extras import need
from neurotwin.registry.copying import copy_bundle
from neurotwin.registry.history import Action, Aliases, Held, History, append
from neurotwin.registry.verdict import Verdict

Alias = Literal["champion", "previous", "candidate"]
ALIASES: tuple[Alias, ...] = ("champion", "previous", "candidate")
FORMAT = 1
PATIENCE = 10.0
"""Seconds that a writer waits for another one."""
KEPT = "the registry is whole"
OWN = {".lock", "aliases.json", "models", "verdicts"}
"""What a crash may leave before the first decision."""


class Registry:
    """A registry on disk. Everything is read anew at each call, so that several processes may use it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def history(self) -> History:
        """Every decision so far, checked.

        Raises:
            ConfigError: there is no such folder.
            IntegrityError: the history is broken, or the aliases do not follow from it.
        """
        if not self.folder.is_dir():
            raise ConfigError("no registry here", where=str(self.folder), remedy="make one with `neurotwin promote`")
        with disk_errors(self.folder, ConfigError, kept=KEPT):
            # The aliases first: a writer that comes in between is then ahead of them, as after a crash.
            aliases = self.folder / "aliases.json"
            content = aliases.read_bytes() if aliases.is_file() else None
            history = History.read(self._history)
            if content is not None:
                _check_aliases(content, history, aliases)
            elif len(history.lines) > 1 and not aliases.is_file():
                raise _foreign(aliases)
        return history

    def aliases(self, name: str) -> Aliases:
        """Who is who among the bundles of one name; nobody where there is none of it."""
        return self.history().aliases.get(name, Aliases())

    def path(self, name: str, alias: Alias = "champion") -> Path:
        """The folder of a bundle, checked as `verify` does.

        Raises:
            ConfigError: nobody is called so.
            ArtefactError: the bundle or its verdict is not what was judged.
        """
        found: Held | None = getattr(self.aliases(name), alias)
        if found is None:
            known = ", ".join(sorted(self.history().aliases)) or "no model"
            raise ConfigError(f"no {alias} of {name}", where=str(self.folder), expected=f"one of {known}")
        self._check(name, found)
        return self._bundle(name, found.version)

    def prepare(self) -> None:
        """Make the folder where there is none. To be asked before a judgement, which takes its time.

        Raises ConfigError when it holds something else or cannot be written.
        """
        with disk_errors(self.folder, ConfigError, kept=KEPT):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._history.exists() and {item.name for item in self.folder.iterdir()} - OWN:
                raise ConfigError(
                    "the folder holds something else", where=str(self.folder), expected="a registry, or an empty folder"
                )
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def settle(self, bundle: Bundle, verdict: Verdict) -> Action:
        """Take a judged bundle in: as the champion where the verdict held, else as the candidate.

        Raises:
            OutputInUseError: another writer holds the registry, or the champion changed since this was judged.
            ConfigError: the verdict is another bundle's, or the version is there with other content.
            ArtefactError: the bundle, or what is in the registry, is damaged.
        """
        told = verdict.candidate
        if (told.name, told.version, told.sha256) != (bundle.name, bundle.version, bundle.sha256):
            raise ConfigError("the verdict is another bundle's", where="promote")
        with self._writing() as history:
            now = history.aliases.get(bundle.name, Aliases()).champion
            judged = None if verdict.champion is None else verdict.champion.sha256
            if judged != (None if now is None else now.sha256):
                raise OutputInUseError(
                    f"the champion of {bundle.name} changed while this was judged",
                    where=str(self.folder),
                    remedy="promote again, beside the champion of now",
                )
            if now is not None and now.sha256 == bundle.sha256:
                raise ConfigError("the bundle is the champion already", where=str(self.folder))
            self._take_in(bundle)
            self._verdict(verdict.sha256).parent.mkdir(exist_ok=True)
            write_whole(self._verdict(verdict.sha256), verdict.text)
            action: Action = "promote" if verdict.held else "refuse"
            self._decide(history, action, bundle.name, Held(bundle.version, bundle.sha256, verdict.sha256))
        return action

    def rollback(self, name: str) -> Held:
        """Make the previous champion the champion again.

        Raises:
            OutputInUseError: another writer holds the registry.
            ConfigError: there is no previous champion.
            ArtefactError: it is damaged.
        """
        with self._writing() as history:
            known = history.aliases.get(name, Aliases())
            if known.previous is None:
                raise ConfigError(
                    f"no previous champion of {name}",
                    where=str(self.folder),
                    expected="a champion that another one replaced, and that was not rolled back to yet",
                )
            self._check(name, known.previous)
            self._decide(history, "rollback", name, known.previous)
        return known.previous

    def verify(self) -> int:
        """Check everything: the history, the aliases, every bundle that was ever judged and its verdict.

        Returns how many bundles there are. Raises ArtefactError for what is not what it was.
        """
        judged = {(line.model, line.bundle) for line in self.history().lines}
        for name, held in sorted(judged, key=lambda one: (one[0], one[1].version)):
            self._check(name, held)
        return len({(name, held.sha256) for name, held in judged})

    def verdict_of(self, held: Held) -> Verdict:
        """The verdict that a bundle was judged with; raises IntegrityError when it is not the one that was kept."""
        path = self._verdict(held.verdict)
        return Verdict.read(path.read_bytes() if path.is_file() else b"", held.verdict, str(path))

    def _take_in(self, bundle: Bundle) -> None:
        target = self._bundle(bundle.name, bundle.version)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            copy_bundle(bundle, target)
        elif Bundle.load(target).sha256 != bundle.sha256:
            raise ConfigError(
                f"version {bundle.version} of {bundle.name} is there with other content",
                where=str(target),
                remedy="raise the version",
            )

    def _decide(self, history: History, action: Action, name: str, held: Held) -> None:
        append(self._history, history, history.next_line(action, name, held))
        self._write_aliases(History.read(self._history))

    def _write_aliases(self, history: History) -> None:
        content = {"schema_version": FORMAT, "history": history.last, "models": _plain(history)}
        write_whole(self.folder / "aliases.json", json.dumps(content, indent=1) + "\n")

    def _check(self, name: str, held: Held) -> None:
        path = self._bundle(name, held.version)
        if not path.is_dir() or Bundle.load(path).sha256 != held.sha256:
            raise IntegrityError(
                "the bundle is not the one that was judged",
                where=str(path),
                remedy="restore the registry from its backup",
            )
        self.verdict_of(held)

    @contextmanager
    def _writing(self) -> Iterator[History]:
        """The lock, and the history under it; what a crash left behind is mended first."""
        filelock = need("filelock", "simulate")
        with disk_errors(self.folder, ConfigError, kept=KEPT):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with filelock.FileLock(self.folder / ".lock", timeout=PATIENCE):
                    remove_drafts(self.folder, self.folder / "verdicts", *(self.folder / "models").glob("*"))
                    history = self.history()
                    if history.lines:
                        self._write_aliases(history)
                    yield history
            except filelock.Timeout:
                raise OutputInUseError(
                    "another process writes to the registry", where=str(self.folder), remedy="try again when it is done"
                ) from None

    @property
    def _history(self) -> Path:
        return self.folder / "history.jsonl"

    def _bundle(self, name: str, version: str) -> Path:
        return self.folder / "models" / name / f"{name}@{version}"

    def _verdict(self, sha256: str) -> Path:
        return self.folder / "verdicts" / f"{sha256}.json"


def _plain(history: History) -> dict[str, Any]:
    return {name: asdict(found) for name, found in sorted(history.aliases.items())}


def _check_aliases(raw: bytes, history: History, path: Path) -> None:
    """They must follow from the history, or be of before its last decisions."""
    try:
        content: Any = strict_json(raw)
        told = content["history"]
    except (ValueError, KeyError, TypeError):
        raise _foreign(path) from None
    right = content == {"schema_version": FORMAT, "history": told, "models": _plain(history)}
    if told not in (START, *(line.hash for line in history.lines)) or (told == history.last and not right):
        raise _foreign(path)


def _foreign(path: Path) -> IntegrityError:
    return IntegrityError(
        "the aliases do not follow from the history",
        where=str(path),
        expected="the file as it was written",
        remedy="restore the registry from its backup",
    )
