"""A time limit for answers: graphs that run in it are stopped from outside when it is up.

`time_limit` holds for the code in a ``with`` block and for what it calls in the same thread. One watching thread per
process looks after all graphs that run; without a limit there is none, and a run costs nothing more. What is written in
Python asks `check_time` itself, in loops whose length a question tells.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from neurotwin.errors import DeadlineError


@dataclass(eq=False)
class TimeLimit:
    """When the time is up, on the monotonic clock."""

    end: float

    def shorten(self, seconds: float) -> None:
        """So many seconds from now at most. A graph that runs already keeps the time that it began with."""
        self.end = min(self.end, time.monotonic() + seconds)


_LIMIT: ContextVar[TimeLimit | None] = ContextVar("neurotwin_time_limit", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[TimeLimit]:
    """What is asked in the block has so many seconds, or less where a limit holds already.

    Graphs raise DeadlineError when they are begun after it, and are stopped where they run into it.
    """
    limit, outer = TimeLimit(time.monotonic() + seconds), _LIMIT.get()
    if outer is not None:
        limit.end = min(limit.end, outer.end)
    token = _LIMIT.set(limit)
    try:
        yield limit
    finally:
        _LIMIT.reset(token)


def check_time() -> None:
    """Raises DeadlineError where a time limit holds and is up."""
    limit = _LIMIT.get()
    if limit is not None and time.monotonic() >= limit.end:
        raise _late()


@contextmanager
def watched() -> Iterator[ort.RunOptions | None]:
    """Options for one run of a session, which the watch ends in time. Raises DeadlineError."""
    limit = _LIMIT.get()
    if limit is None:
        yield None
        return
    check_time()
    options = ort.RunOptions()
    done = _WATCH.look_after(options, limit.end)
    try:
        yield options
    except Exception:
        if options.terminate:
            raise _late() from None
        raise
    finally:
        done.set()


def _late() -> DeadlineError:
    return DeadlineError(
        "the answer takes longer than it may", where="runtime", remedy="ask for fewer plans, times or events"
    )


class _Watch:
    """Ends runs whose time is up. Its thread begins with the first of them."""

    def __init__(self) -> None:
        self._runs: list[tuple[float, int, Any, threading.Event]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def look_after(self, options: ort.RunOptions, end: float) -> threading.Event:
        """Set the returned event when the run is over."""
        done = threading.Event()
        with self._changed:
            first = not self._runs or end < self._runs[0][0]
            heapq.heappush(self._runs, (end, next(self._numbers), options, done))
            if self._thread is None or not self._thread.is_alive():  # also in a process that was forked
                self._thread = threading.Thread(target=self._walk, name="time limits", daemon=True)
                self._thread.start()
            elif first:
                self._changed.notify()
        return done

    def _walk(self) -> None:
        with self._changed:
            while True:
                while self._runs and (self._runs[0][3].is_set() or self._runs[0][0] <= time.monotonic()):
                    _, _, options, done = heapq.heappop(self._runs)
                    if not done.is_set():
                        options.terminate = True
                self._changed.wait(self._runs[0][0] - time.monotonic() if self._runs else None)


_WATCH = _Watch()
