"""The Ray engine: tasks on a cluster that runs already.

Each task reads its part from the cohort and writes its file, so cohort, bundle and output lie in a folder that all
nodes see by the same path. A node whose bundle is another one is refused. Ray brings no sign of life from within a
task: a worker that is lost tells no suspects, and suspicion falls on halves of a part until one subject is left.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurotwin.errors import NeurotwinError, ResourceError
from neurotwin.extras import need
from neurotwin.score.folder import Outcome
from neurotwin.score.job import Job
from neurotwin.score.local import HUNG, KILLED
from neurotwin.score.performing import Prepare, perform
from neurotwin.score.schedule import Schedule, Task
from neurotwin.score.scorer import Scorer

REACH = 6.0
"""Seconds in which a cluster has to answer."""


class RayEngine:
    """Keeps up to ``workers`` tasks on the cluster at ``address``; 0 takes its number of cores.

    Args:
        lease: seconds that a task may take for each batch of its part, and at least for ten of them.
    """

    def __init__(self, job: Job, folder: Path, workers: int, lease: float, prepare: Prepare, address: str) -> None:
        self.job, self.folder, self.n_workers, self.lease, self.prepare = job, folder, workers, lease, prepare
        self.address = address

    def run(self, schedule: Schedule, keep: Callable[[Outcome], None]) -> None:
        """Have all tasks done; ``keep`` is told of each part that is whole.

        Raises:
            ResourceError: the cluster cannot be reached, or a part cannot be scored.
            NeurotwinError: what a worker says about the bundle, the cohort or the disk.
        """
        ray = connect(self.address)
        try:
            self._run(ray, schedule, keep)
        finally:
            ray.shutdown()

    def _run(self, ray: Any, schedule: Schedule, keep: Callable[[Outcome], None]) -> None:
        # Tasks are given out again by the schedule, which knows how often each of them was lost.
        remote = ray.remote(max_retries=0, num_cpus=1, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}})(_perform)
        most = self.n_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        given: dict[Any, tuple[Task, float]] = {}
        while not schedule.finished:
            while len(given) < most and (task := schedule.next()) is not None:
                given[remote.remote(self.job, task, self.folder, self.prepare)] = (task, time.monotonic())
            ready, _ = ray.wait(list(given), timeout=1.0)
            for reference in ready:
                task, _ = given.pop(reference)
                self._hear(ray, reference, task, schedule, keep)
            for reference, (task, since) in list(given.items()):
                batches = max(10, len(task.part) // self.job.batch)
                if time.monotonic() - since > self.lease * batches:
                    ray.cancel(reference, force=True)
                    given.pop(reference)
                    schedule.lost(task, (), HUNG)

    def _hear(self, ray: Any, reference: Any, task: Task, schedule: Schedule, keep: Callable[[Outcome], None]) -> None:
        try:
            error, outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as failure:
            schedule.lost(task, (), f"failed with {type(failure.cause).__name__}")
            return
        except ray.exceptions.RayError:
            schedule.lost(task, (), KILLED)
            return
        if error is not None:
            raise error
        if outcome is not None:
            if not (self.folder / task.part.name).exists():
                raise ResourceError(
                    "a part that a node wrote is not here",
                    where=str(self.folder),
                    expected="a folder that all nodes see by the same path",
                )
            keep(outcome)
        schedule.done(task)


def connect(address: str) -> Any:
    """Ray, connected to a cluster that runs. Raises ResourceError, within ten seconds, where none answers there."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    begun = time.monotonic()
    if address not in ("", "auto"):
        _check_door(address)
    ray = need("ray", "ray")
    failure: list[BaseException] = []

    def join() -> None:
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(max(1.0, REACH - (time.monotonic() - begun)))
    if thread.is_alive() or failure:
        raise _unreachable(address, type(failure[0]).__name__ if failure else "no answer")
    return ray


def _check_door(address: str) -> None:
    """Somebody listens there: asked first, because Ray itself goes on asking for much longer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, type(error).__name__) from None


def _unreachable(address: str, why: str) -> ResourceError:
    return ResourceError(
        f"no Ray cluster can be reached ({why})",
        where=f"--address {address or 'auto'}",
        expected="the address of a running cluster, HOST:PORT",
        remedy="start one with: ray start --head",
    )


@lru_cache(maxsize=1)
def _scorer(job: str, prepare: Prepare) -> Scorer:
    told = json.loads(job)
    return prepare(Job(**told | {"after": tuple(told["after"])}))


def _perform(job: Job, task: Task, folder: Path, prepare: Prepare) -> tuple[NeurotwinError | None, Outcome | None]:
    """On a node. Errors that concern the run are told, not raised: Ray would wrap them."""
    try:
        return None, perform(_scorer(json.dumps(asdict(job)), prepare), task, folder, lambda members: None)
    except NeurotwinError as error:
        return error, None
