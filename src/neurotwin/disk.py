"""Files and folders: there whole or not at all, held by one process, and what the system refuses told in one line.

What is written gets a draft's name first, reaches the disk, and then gets its own name: whoever looks, after a kill, a
full disk or a power cut too, finds the earlier content or the new one. Drafts of one name may be written side by side.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurotwin.errors import ConfigError, InputError, OutputInUseError, ResourceError
from neurotwin.extras import need

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that room would help against."""
DRAFT = re.compile(r"\..+\.draft")
"""Names of files and folders that are not yet whole."""


@contextmanager
def disk_errors(where: object, refused: type[InputError], *, kept: str = "") -> Iterator[None]:
    """Turn an OSError of the block into one line about ``where``.

    Args:
        refused: what is raised for anything but a full disk.
        kept: what a full disk leaves whole, told with the remedy.

    Raises ResourceError when the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            remedy = "make room and start again" + (f": {kept}" if kept else "")
            raise ResourceError("the disk is full", where=str(where), remedy=remedy) from None
        what = (error.strerror or type(error).__name__).lower()
        raise refused(what, where=str(where), remedy="check the path and its permissions") from None


def write_whole(path: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Write a file at once; a link is followed, and the file's permissions stay what they were.

    Args:
        path: a file or where one is to be; a pipe or a device takes the bytes as they come.
        content: text is written as UTF-8.
        keep: where a file that has the place already goes.

    Raises OSError, with the earlier file whole.
    """
    raw = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(raw)
        return
    place = Path(os.path.realpath(path))
    draft = draft_path(place)
    try:
        with draft.open("xb") as file:
            if place.exists():
                draft.chmod(place.stat().st_mode & 0o777)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and place.exists():
            place.replace(keep)
        draft.replace(place)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    sync_folder(place.parent)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill, which is ``target`` at the end of the block, and gone if the block raises.

    ``target`` must not be there, or be an empty folder. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_path(target)
    draft.mkdir()
    try:
        yield draft
        for item in (*draft.rglob("*"), draft):
            if item.is_dir():
                sync_folder(item)
            else:
                _sync(item)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(target.parent)


def draft_path(path: Path) -> Path:
    """A name beside ``path`` that nobody else takes: in the same folder, so that a rename is enough."""
    return path.with_name(f".{path.name[:40]}.{os.getpid()}.{os.urandom(4).hex()}.draft")


def remove_drafts(*folders: Path) -> int:
    """Remove what killed processes left half written; returns how many. Only for who holds the folders."""
    stale = [item for folder in folders if folder.is_dir() for item in folder.iterdir() if DRAFT.fullmatch(item.name)]
    for item in stale:
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
    return len(stale)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such call for folders
            raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def held(folder: Path, busy: str, *, remedy: str) -> Iterator[None]:
    """Hold an output folder, created if needed, until the end of the block.

    Args:
        busy, remedy: what is told when another process holds it.

    Raises:
        OutputInUseError: another process holds it.
        ConfigError: it cannot be written.
        ResourceError: the disk is full.
    """
    filelock = need("filelock", "simulate")
    with disk_errors(f"the output folder {folder}", ConfigError):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise OutputInUseError(busy, where=str(folder), remedy=remedy) from None
    try:
        yield
    finally:
        lock.release()
