"""Files that are there whole or not at all, also after a crash: draft, fsync, rename, fsync of the folder."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurotwin.bundle import MANIFEST, Bundle
from neurotwin.errors import ConfigError, IntegrityError, ResourceError

DRAFT = ".draft."


@contextmanager
def told_errors(where: Path) -> Iterator[None]:
    """Turn what the system refuses into one line."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or "the system refused").lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(what, where=str(where), remedy="free some space; nothing was changed") from None
        raise ConfigError(what, where=str(where), remedy="check the registry's path and its permissions") from None


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file at once."""
    descriptor, name = tempfile.mkstemp(prefix=DRAFT, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def copy_bundle(bundle: Bundle, target: Path) -> None:
    """Copy the files that the manifest names, check the copy, and put it in its place, read-only.

    Raises IntegrityError when a file changed since the bundle was loaded.
    """
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=target.parent))
    try:
        for name in (*bundle.manifest["files"], MANIFEST):
            copy = draft / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            with copy.open("wb") as file:
                file.write((bundle.path / name).read_bytes())
                file.flush()
                os.fsync(file.fileno())
            copy.chmod(0o444)
        if Bundle.load(draft).sha256 != bundle.sha256:
            raise IntegrityError("the bundle changed while it was copied", where=str(bundle.path))
        for folder in (*(item for item in draft.rglob("*") if item.is_dir()), draft):
            sync_folder(folder)
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(target.parent)


def sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left behind; the registry's lock must be held."""
    for left in folder.rglob(f"{DRAFT}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
