"""What the system refuses becomes one line."""

import errno

import pytest

from neurotwin.disk import FULL, disk_errors
from neurotwin.errors import CohortError, ResourceError


@pytest.mark.parametrize("number", sorted(FULL))
def test_a_full_disk(number):
    with (
        pytest.raises(ResourceError, match="the disk is full; at here.*whole shards"),
        disk_errors("here", CohortError, kept="whole shards"),
    ):
        raise OSError(number, "words of the system")


def test_anything_else():
    with pytest.raises(CohortError, match="permission denied; at here"), disk_errors("here", CohortError):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_other_errors_pass():
    with pytest.raises(ValueError, match="mine"), disk_errors("here", CohortError):
        raise ValueError("mine")
