"""What scoring costs beside the graphs alone: CPU time of one worker, of its steps, and its memory."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq

from neurotwin.runtime.graph import Graph
from neurotwin.score import Job, Scorer, Task, parts_of, performing, scorer
from neurotwin.score.slices import CohortReader

STEPS = {
    "reading": ((CohortReader, "read"),),
    "records": ((scorer, "read_records"),),
    "rows": ((scorer, "build_timeline"),),
    "graphs": ((Graph, "run"),),
    "answers": ((scorer, "settle"), (performing, "columns_of")),
    "writing": ((performing, "write_part"),),
}
"""What is done with a part, by the functions that do it."""


def score_parts(job: Job, own: Scorer, folder: Path) -> Iterator[int]:
    """Score all parts as a worker does that has not seen the cohort before; yields after each."""
    own.reader = CohortReader(Path(job.cohort), job.cohort_sha256)
    for part in parts_of(Path(job.cohort), job.part_size):
        performing.perform(own, Task(part), folder, lambda members: None)
        yield part.number


def prepared(job: Job, own: Scorer, folder: Path) -> list[list[tuple[Any, dict[str, Any]]]]:
    """By part, the sessions that are run for a cohort and the arrays that they are given."""
    parts: list[list[tuple[Any, dict[str, Any]]]] = [[]]
    run = Graph.run

    def recording(self: Graph, given: Any) -> Any:
        arrays = {name: np.ascontiguousarray(given[name], dtype=np.float32) for name in self.inputs}
        parts[-1].append((self.session, arrays))
        return run(self, given)

    with mock.patch.object(Graph, "run", recording):
        for _ in score_parts(job, own, folder):
            parts.append([])
    return parts[:-1]


def run_parts(parts: list[list[tuple[Any, dict[str, Any]]]]) -> Iterator[int]:
    """Run the graphs alone; yields after each part."""
    for number, calls in enumerate(parts):
        for session, arrays in calls:
            session.run(None, arrays)
        yield number


def seconds_of(parts: Iterator[int]) -> list[float]:
    """CPU seconds of each part."""
    found, begun = [], time.process_time()
    for _ in parts:
        now = time.process_time()
        found.append(now - begun)
        begun = now
    return found


def measure(job: Job, repeats: int) -> dict[str, Any]:
    """A row: microseconds of CPU for each patient. The two take turns, and of each part the least of all repeats
    counts, so that what runs beside them counts little."""
    own = Scorer.load(job)
    n = sum(map(len, parts_of(Path(job.cohort), job.part_size)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        calls = prepared(job, own, folder)
        pairs = [(seconds_of(run_parts(calls)), seconds_of(score_parts(job, own, folder))) for _ in range(repeats)]
        bare, scored = (float(np.min([pair[side] for pair in pairs], axis=0).sum()) for side in (0, 1))
        runs = [steps_of(lambda: list(score_parts(job, own, folder))) for _ in range(2)]
        spent = min(runs, key=lambda one: sum(one.values()))
        size = sum(path.stat().st_size for path in folder.glob("part-*"))
    return {
        "patients": n,
        "bare_us": 1e6 * bare / n,
        "scored_us": 1e6 * scored / n,
        "share": bare / scored,
        "per_second": n / scored,
        "bytes_out": size / n,
        "events": _events(job) / n,
        "bytes_in": sum(path.stat().st_size for path in Path(job.cohort).rglob("*.parquet")) / n,
        "repeats": repeats,
        **{f"{name}_us": 1e6 * seconds / n for name, seconds in spent.items()},
    }


def _events(job: Job) -> int:
    """Rows of a cohort's longest table."""
    tables = (Path(job.cohort).rglob(f"{name}.parquet") for name in ("observations", "doses"))
    return max(sum(pq.read_metadata(path).num_rows for path in table) for table in tables)


def steps_of(do: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds of each of `STEPS`, and of what is between them (``other``)."""
    spent = dict.fromkeys((*STEPS, "other"), 0.0)
    with ExitStack() as stack:
        for name, places in STEPS.items():
            for holder, attribute in places:
                stack.enter_context(_timed(holder, attribute, name, spent))
        begun = time.process_time()
        do()
        spent["other"] = time.process_time() - begun - sum(spent.values())
    return spent


@contextmanager
def _timed(holder: Any, attribute: str, name: str, spent: dict[str, float]) -> Iterator[None]:
    inner = getattr(holder, attribute)

    def timed(*given: Any, **named: Any) -> Any:
        begun = time.process_time()
        try:
            return inner(*given, **named)
        finally:
            spent[name] += time.process_time() - begun

    with mock.patch.object(holder, attribute, timed):
        yield


def memory_of(job: Job) -> float:
    """Peak memory in MiB of a worker of its own that scores a cohort once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_tell_memory, args=(job, theirs))
    process.start()
    theirs.close()
    peak = float(ours.recv())
    process.join()
    return peak


def _tell_memory(job: Job, connection: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        list(score_parts(job, Scorer.load(job), Path(folder)))
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    connection.send(int(told["VmHWM"].split()[0]) / 1024)
