"""Many processes, one list of jobs; a worker never outlives the process that started it."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from neurotwin.errors import ResourceError


def run_all(work: Callable[[int], None], jobs: Sequence[int], workers: int) -> Iterator[int]:
    """Do ``work(job)`` for all jobs, yielding each when it is done, in any order.

    Processes are spawned, not forked, so ``work`` must be picklable; one worker means this process.

    Raises:
        ResourceError: a worker was killed, most likely for want of memory.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            work(job)
            yield job
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_die_with_parent)
    try:
        futures = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool:
        raise ResourceError(
            "a worker process was killed", where="simulate", remedy="use fewer workers or smaller shards"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
