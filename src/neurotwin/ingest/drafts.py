"""Where a cohort is made: a folder beside its place, renamed at the end: whoever looks sees all of it or none."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neurotwin.disk import disk_errors, sync_folder
from neurotwin.errors import IngestError

SCRATCH = ".scratch"


def check_output(output: Path) -> None:
    """Refuse a folder that holds anything. Raises IngestError."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise IngestError("the output is there already", where=str(output), remedy="choose another or remove it")


@contextmanager
def draft_of(output: Path) -> Iterator[Path]:
    """A folder ``.NAME.PID.partial`` beside the output, gone at the end unless `publish` made it the output.

    Its folder `SCRATCH` can be read by its owner only. What killed processes left behind is removed first.
    """
    draft = output.parent / f".{output.name}.{os.getpid()}.partial"
    with disk_errors(output, IngestError):
        output.parent.mkdir(parents=True, exist_ok=True)
        for left in output.parent.iterdir():
            pid = left.name.removeprefix(f".{output.name}.").removesuffix(".partial")
            if left.name == f".{output.name}.{pid}.partial" and (left == draft or not _alive(pid)):
                shutil.rmtree(left, ignore_errors=True)
        (draft / SCRATCH).mkdir(parents=True)
        (draft / SCRATCH).chmod(0o700)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish(draft: Path, output: Path) -> None:
    """Make the draft the output."""
    shutil.rmtree(draft / SCRATCH)
    check_output(output)
    if output.exists():
        output.rmdir()
    draft.rename(output)
    sync_folder(output.parent)


def _alive(pid: str) -> bool:
    """Whether a process of this number runs; what is no number is not ours to remove."""
    if not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
