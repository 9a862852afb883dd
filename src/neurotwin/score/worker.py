"""A worker process of the local engine."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from neurotwin.errors import NeurotwinError
from neurotwin.score.job import Job
from neurotwin.score.performing import Prepare, perform
from neurotwin.score.schedule import Task

READY, DONE, FAILED, REFUSED = "ready", "done", "failed", "refused"
_PR_SET_PDEATHSIG = 1


class Marks:
    """Memory shared with the coordinator: a count that rises with every sign of life, and who is worked on.

    The coordinator watches the count by its own monotonic clock, so no clock of a worker counts.
    """

    def __init__(self, shared: Any) -> None:
        self.shared = shared

    def __call__(self, members: Sequence[int]) -> None:
        """A sign of life."""
        shared, members = self.shared, members[: len(self.shared) - 2]
        shared[1] = 0
        shared[2 : 2 + len(members)] = list(members)
        shared[1] = len(members)
        shared[0] += 1

    @property
    def beats(self) -> int:
        """Signs of life so far."""
        return int(self.shared[0])

    @property
    def members(self) -> list[int]:
        """Who was being worked on at the last of them."""
        return list(self.shared[2 : 2 + self.shared[1]])


def work(connection: Connection, lifeline: Connection, shared: Any, job: Job, folder: Path, prepare: Prepare) -> None:
    """Take tasks until there are none. What is not an error of the program's own is told as the failure of a task."""
    _die_with_parent(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator sees to it
    mark = Marks(shared)
    try:
        scorer = prepare(job)
    except NeurotwinError as error:
        connection.send((REFUSED, error))
        return
    connection.send((READY, None))
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send((DONE, perform(scorer, task, folder, mark)))
        except NeurotwinError as error:
            connection.send((REFUSED, error))
            return
        except MemoryError:
            os._exit(1)  # as if the kernel had ended it
        except Exception as error:
            connection.send((FAILED, type(error).__name__))


def _die_with_parent(lifeline: Connection) -> None:
    """However the coordinator ends, its workers end too: by the kernel where it can, or when the lifeline closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()


def _wait_for_end(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
