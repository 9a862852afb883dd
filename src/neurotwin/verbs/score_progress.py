"""How far a run is, on stderr: a bar where a person looks on, else a line now and then."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY = 30.0
"""Seconds between lines."""


class Progress:
    """Used with ``with``; `told` is called with what is done, and of how much."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar: Bar | None = Bar(*columns, console=console) if console.is_terminal else None
        self.begun = self.line = time.monotonic()
        self.task: Any = None

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def told(self, done: int, total: int) -> None:
        """Show it."""
        now = time.monotonic()
        if self.bar is not None:
            if self.task is None:
                self.task = self.bar.add_task("", total=total)
            self.bar.update(self.task, completed=done)
        elif now - self.line > EVERY:
            self.line = now
            print(f"{done} of {total} subjects", file=sys.stderr, flush=True)

    def rate(self, fresh: int) -> str:
        """How fast it was."""
        seconds = time.monotonic() - self.begun
        if not fresh:
            return "all of them had been scored before"
        return f"{fresh} scored now, {fresh / seconds:.0f} a second"
