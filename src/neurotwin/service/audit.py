"""The audit log: who asked what of which model, when, and what came of it. No values, no names, no documents.

One JSON object a line. Each tells the hash of the line before it, so that a line that was changed, moved or taken out
breaks the chain; several workers append to one file under a lock. A last line that was cut short by a crash
is taken off by the next one: its request was never answered. Lines taken off the end are not seen from the file alone:
keep a copy of its last hash elsewhere. A patient is told as a keyed hash: the key stands in the first line,
so that the log alone links the lines of one patient, but only a known pseudonym can be looked up in it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurotwin.chain import START, chained, unchained
from neurotwin.errors import IntegrityError, StoreError

LONGEST = 4096
"""Bytes of a line, at most."""


class Audit:
    """An audit log that is open for appending; safe to share between threads and processes.

    Raises StoreError when the file cannot be written, and IntegrityError when its first or last line is not of a chain.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self._mine = Path(path), threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the audit log cannot be written ({type(error).__name__})",
                where=str(self.path),
                remedy="choose another with --audit",
            ) from None
        with _locked(self._file):
            if os.fstat(self._file).st_size == 0:
                self._write({"event": "begin", "key": secrets.token_hex(16)}, START, 0)
            self._key = self._read_key()
            _last(self._file, self.path)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line. ``entry`` must hold nothing of a request but names that the service knows."""
        with self._mine, _locked(self._file):
            before, number = _last(self._file, self.path)
            self._write(entry, before, number + 1)

    def subject(self, patient: str) -> str:
        """How the log names a patient."""
        return hashlib.blake2b(patient.encode(), key=self._key, digest_size=8).hexdigest()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, entry: Mapping[str, Any], before: str, number: int) -> None:
        line = {"n": number, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}
        whole = chained(line, before)
        if os.write(self._file, whole) < len(whole):  # a disk that is nearly full takes a part; the next one mends it
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _read_key(self) -> bytes:
        first = os.pread(self._file, LONGEST, 0).split(b"\n", 1)[0]
        try:
            return bytes.fromhex(json.loads(first)["key"])
        except (ValueError, KeyError, TypeError):
            raise _broken(self.path, 1) from None


def verify_audit(path: str | Path) -> int:
    """Number of lines of a log whose chain holds.

    Raises IntegrityError with the first line that does not follow, StoreError when the file cannot be read.
    """
    before, number = START, -1
    try:
        with Path(path).open("rb") as file:
            for place, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    raise _broken(Path(path), place)
                told, number_told, own = _parse(line, Path(path), place)
                if told != before or number_told != number + 1:
                    raise _broken(Path(path), place)
                before, number = own, number_told
    except OSError as error:
        reason = f"the audit log cannot be read ({type(error).__name__})"
        raise StoreError(reason, where=str(path), expected="a file of neurotwin serve") from None
    return number + 1


def _parse(line: bytes, path: Path, place: int) -> tuple[str, int, str]:
    """Hash of the line before, number, and hash of a line that is whole."""
    try:
        content = unchained(line)
        return str(content["before"]), int(content["n"]), str(content["hash"])
    except (ValueError, KeyError, TypeError):
        raise _broken(path, place) from None


def _broken(path: Path, place: int) -> IntegrityError:
    return IntegrityError(
        "the audit log's chain is broken",
        where=f"{path}, line {place}" if place else str(path),
        expected="lines as they were written",
        remedy="keep the file as evidence and begin a new one",
    )


def _last(file: int, path: Path) -> tuple[str, int]:
    """Hash and number of the last whole line; what a crash cut short is taken off, it was never answered."""
    size = os.fstat(file).st_size
    tail = os.pread(file, 2 * LONGEST, max(size - 2 * LONGEST, 0))
    whole, cut = tail.rsplit(b"\n", 1) if b"\n" in tail else (b"", tail)
    if cut:
        os.ftruncate(file, size - len(cut))
    _, number, own = _parse(whole.rsplit(b"\n", 1)[-1], path, 0)
    return own, number


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """The file's lock: between processes."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
