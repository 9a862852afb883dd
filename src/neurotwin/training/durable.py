"""Files that are there whole or not at all, after a kill, a full disk or a power cut."""

import os
import re
from pathlib import Path

DRAFT = re.compile(r"\..+\.draft|\..+\.safetensors\.\d+")
"""Names of files that are not yet whole; earlier versions ended them in a process number."""


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of text."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Write a file at once: its bytes reach the disk first, its name last. A file that had the place goes to ``keep``.

    Raises OSError, with the earlier file whole.
    """
    # In the same folder, so that a rename is enough.
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        draft.replace(path)
        sync_folder(path.parent)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_drafts(*folders: Path) -> int:
    """Remove what killed processes left half written; returns how many. Only for who holds the folder."""
    stale = [item for folder in folders if folder.is_dir() for item in folder.iterdir() if DRAFT.fullmatch(item.name)]
    for item in stale:
        item.unlink(missing_ok=True)
    return len(stale)
