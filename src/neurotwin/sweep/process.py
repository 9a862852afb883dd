"""One process of a trial: in a group of its own, its words in a log, its processor time counted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

GRACE = 30.0
"""Seconds that a process has between the wish to stop and the kill: a training writes its checkpoint in them."""


class Process:
    """`python -m MODULE ARGUMENTS`, which dies with this process.

    Attributes:
        code: exit code, negative for a signal; None while it runs.
        cpu: processor time in s, with that of its children, once it has ended.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "neurotwin.sweep.bound", str(os.getpid()), module, *arguments]
        self.log, self.code, self.cpu = log, None, 0.0
        self._kill_at: float | None = None
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as words:
            # In a session of its own: Ctrl-C reaches the driver alone, and the whole group can be stopped.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    code: int | None

    def poll(self) -> int | None:
        """The exit code, or None; kills what was asked to stop and has not."""
        if self.code is None:
            if self._kill_at is not None and time.monotonic() > self._kill_at:
                self._signal(signal.SIGKILL)
            done, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if done:
                self.code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
                self._signal(signal.SIGKILL)  # what its group may have left
        return self.code

    def stop(self, grace: float = GRACE) -> None:
        """Ask the group to stop; it is killed after ``grace`` seconds."""
        if self._kill_at is None:
            self._signal(signal.SIGTERM)
        until = time.monotonic() + grace
        self._kill_at = until if self._kill_at is None else min(self._kill_at, until)

    def reason(self) -> str:
        """Why it ended: the last line that it said as an error, else its last line."""
        if self.code is not None and self.code < 0:
            hint = " (out of memory?)" if self.code == -signal.SIGKILL else ""
            return f"killed by {signal.Signals(-self.code).name}{hint}"
        with self.log.open("rb") as words:
            words.seek(max(self._start, self.log.stat().st_size - 65536))
            lines = [line.strip() for line in words.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("NT-")]
        return (errors or lines or ["it said nothing"])[-1][:500]

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
