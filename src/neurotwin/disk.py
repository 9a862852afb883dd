"""What the system refuses of files and folders, told in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from neurotwin.errors import InputError, ResourceError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that room would help against."""


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
