"""The history: one line for each decision, each with the hash of the line before it. Lines are only ever added.

The history is what counts: the aliases follow from it. A line that was cut short by a crash is no decision, and is
taken off by the next writer.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from neurotwin.chain import START, chained, unchained
from neurotwin.errors import IntegrityError

Action = Literal["promote", "refuse", "rollback"]
FIELDS = ("n", "at", "action", "model", "version", "sha256", "verdict", "before", "hash")


@dataclass(frozen=True)
class Held:
    """A bundle of the registry, and the verdict that it was judged with."""

    version: str
    sha256: str
    verdict: str


@dataclass(frozen=True)
class Aliases:
    """Who is who among the bundles of one name."""

    champion: Held | None = None
    previous: Held | None = None
    candidate: Held | None = None

    def after(self, action: Action, bundle: Held) -> Self:
        """The aliases once a decision is taken."""
        if action == "refuse":
            return replace(self, candidate=bundle)
        if action == "rollback":
            return replace(self, champion=self.previous, previous=None)
        waiting = None if self.candidate is not None and self.candidate.sha256 == bundle.sha256 else self.candidate
        return replace(self, champion=bundle, previous=self.champion, candidate=waiting)


@dataclass(frozen=True)
class Line:
    """One decision."""

    n: int
    at: str
    action: Action
    model: str
    bundle: Held
    hash: str


@dataclass(frozen=True)
class History:
    """All decisions, the aliases that follow, and the bytes of the file that hold them."""

    lines: tuple[Line, ...] = ()
    aliases: Mapping[str, Aliases] = field(default_factory=dict)
    size: int = 0

    @property
    def last(self) -> str:
        """Hash of the last line."""
        return self.lines[-1].hash if self.lines else START

    def next_line(self, action: Action, model: str, bundle: Held) -> bytes:
        """The bytes of one more decision."""
        told = {
            "n": len(self.lines),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "action": action,
            "model": model,
            "version": bundle.version,
            "sha256": bundle.sha256,
            "verdict": bundle.verdict,
        }
        return chained(told, self.last)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; there need not be one. Raises IntegrityError where a line is not what was written."""
        content = path.read_bytes() if path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines: list[Line] = []
        aliases: dict[str, Aliases] = {}
        for number, raw in enumerate(whole.splitlines()):
            line = _line(raw, number, lines[-1].hash if lines else START, path)
            before = aliases.get(line.model, Aliases())
            aliases[line.model] = before.after(line.action, line.bundle)
            lines.append(line)
        return cls(tuple(lines), aliases, len(whole))


def append(path: Path, history: History, line: bytes) -> None:
    """Add a decision to the file, for good; the registry's lock must be held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, history.size)
        if os.pwrite(descriptor, line, history.size) < len(line):
            os.ftruncate(descriptor, history.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(raw: bytes, number: int, before: str, path: Path) -> Line:
    try:
        content = unchained(raw)
        right = tuple(content) == FIELDS and content["n"] == number and content["before"] == before
        if not right or content["action"] not in ("promote", "refuse", "rollback"):
            raise ValueError
        bundle = Held(str(content["version"]), str(content["sha256"]), str(content["verdict"]))
        return Line(number, str(content["at"]), content["action"], str(content["model"]), bundle, content["hash"])
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(
            "the registry's history is broken",
            where=f"{path}, line {number + 1}",
            expected="lines as they were written",
            remedy="restore the registry from its backup",
        ) from None
