"""The local engine: supervised processes on this machine, each with a lease on the task that it works on.

A worker that dies is replaced, and its task is given out again. A lease is renewed by progress: when a worker has shown
no sign of life for that long (it hangs, or was stopped), it is killed and replaced alike.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from neurotwin.errors import NeurotwinError, ResourceError
from neurotwin.score.folder import Outcome
from neurotwin.score.job import Job
from neurotwin.score.performing import Prepare
from neurotwin.score.schedule import Schedule, Task
from neurotwin.score.worker import DONE, FAILED, READY, Marks, work

START = 30.0
"""Seconds that a worker has to come up, where leases are shorter."""
FALSE_STARTS = 5
"""So many workers in a row that never came up end the run."""
KILLED, HUNG = "killed its worker", "hung its worker"


@dataclass(eq=False)
class _Worker:
    """One process. ``seen``: when it last showed a sign of life, by the coordinator's clock."""

    process: SpawnProcess
    connection: Connection
    lifeline: Connection
    marks: Marks
    seen: float
    beats: int = -1
    ready: bool = False
    task: Task | None = None
    shard: str = ""

    @property
    def lease_counts(self) -> bool:
        return not self.ready or self.task is not None


class LocalEngine:
    """Supervises ``workers`` processes.

    Args:
        lease: seconds without a sign of life after which a worker is given up.
        prepare: how a worker comes to its scorer.
    """

    def __init__(self, job: Job, folder: Path, workers: int, lease: float, prepare: Prepare) -> None:
        self.job, self.folder, self.n_workers, self.lease, self.prepare = job, folder, workers, lease, prepare
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def run(self, schedule: Schedule, keep: Callable[[Outcome], None]) -> None:
        """Have all tasks done; ``keep`` is told of each part that is whole.

        Raises:
            ResourceError: workers do not come up, or a part cannot be scored.
            NeurotwinError: what a worker says about the bundle, the cohort or the disk.
        """
        try:
            looked = time.monotonic()
            while not schedule.finished:
                self._fill(schedule)
                sources = {worker.connection: worker for worker in self._workers}
                sources |= {worker.process.sentinel: worker for worker in self._workers}  # type: ignore[misc]
                heard = wait(list(sources), timeout=min(self.lease / 4, 0.5))
                for worker in {id(sources[one]): sources[one] for one in heard}.values():  # type: ignore[index]
                    self._hear(worker, schedule, keep)
                now = time.monotonic()
                # Where the coordinator itself was held up, the silence was its own.
                self._look_after_leases(schedule, now, forgive=now - looked > self.lease / 2)
                looked = now
        finally:
            for worker in list(self._workers):
                self._end(worker)

    def _fill(self, schedule: Schedule) -> None:
        while len(self._workers) < self.n_workers:
            self._workers.append(self._start())
        for worker in self._workers:
            if worker.ready and worker.task is None and (task := schedule.next(worker.shard)) is not None:
                worker.task, worker.shard, worker.seen = task, task.part.shard, time.monotonic()
                with contextlib.suppress(OSError):  # it has just died, which is heard of next
                    worker.connection.send(task)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        lifeline, end = self._context.Pipe()
        shared = self._context.RawArray("q", self.job.batch + 2)
        arguments = (theirs, end, shared, self.job, self.folder, self.prepare)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        end.close()
        return _Worker(process, ours, lifeline, Marks(shared), time.monotonic())

    def _hear(self, worker: _Worker, schedule: Schedule, keep: Callable[[Outcome], None]) -> None:
        what = told = None
        with contextlib.suppress(EOFError, OSError):  # it died while it spoke
            if worker.connection.poll():
                what, told = worker.connection.recv()
        if what == READY:
            worker.ready, self._false_starts = True, 0
        elif isinstance(told, NeurotwinError):
            raise told
        elif what in (DONE, FAILED) and (task := worker.task) is not None:
            worker.task = None
            if what == FAILED:
                schedule.lost(task, worker.marks.members, f"failed with {told}")
                return
            if told is not None:
                keep(told)
            schedule.done(task)
        elif what is None and not worker.process.is_alive():
            self._lose(worker, schedule, KILLED)

    def _look_after_leases(self, schedule: Schedule, now: float, *, forgive: bool) -> None:
        for worker in list(self._workers):
            beats = worker.marks.beats
            if beats != worker.beats or forgive or not worker.lease_counts:
                worker.beats, worker.seen = beats, now
            elif now - worker.seen > (self.lease if worker.ready else max(self.lease, START)):
                self._lose(worker, schedule, HUNG)

    def _lose(self, worker: _Worker, schedule: Schedule, how: str) -> None:
        self._end(worker)
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS:
                raise ResourceError(
                    f"{FALSE_STARTS} workers in a row did not come up",
                    where="score",
                    remedy="give them more memory, or ask for fewer of them with --workers",
                )
        if worker.task is not None:
            schedule.lost(worker.task, worker.marks.members, how)

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
        worker.lifeline.close()
