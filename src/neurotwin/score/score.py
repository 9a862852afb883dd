"""Score a cohort: every subject is answered exactly once, or is in quarantine with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurotwin.errors import ConfigError
from neurotwin.score.folder import Outcome, RunFolder
from neurotwin.score.job import Job, parts_of
from neurotwin.score.local import LocalEngine
from neurotwin.score.performing import Prepare
from neurotwin.score.schedule import Schedule
from neurotwin.score.scorer import Scorer

Told = Callable[[int, int], None]
"""Told how many subjects are done, and of how many."""


@dataclass(frozen=True)
class Summary:
    """Attributes:
    subjects: by status, ``quarantined`` included.
    fresh: subjects of this call; the others were done before.
    ignored: variables and covariates of the cohort that the bundle does not know.
    """

    subjects: dict[str, int]
    fresh: int
    ignored: tuple[str, ...] = ()


def score_cohort(
    job: Job,
    output: Path,
    *,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    lease: float = 60.0,
    tries: int = 3,
    address: str = "auto",
    prepare: Prepare = Scorer.load,
    told: Told = lambda done, total: None,
) -> Summary:
    """Score all parts that are not done yet.

    Args:
        workers: processes; by default one per core (of the cluster, with Ray).
        lease: seconds without a sign of life after which a worker is given up.
        tries: how many workers may be lost to a part before its subjects are tried alone, and to a subject alone
            before it is quarantined.
        address: of a Ray cluster.
        prepare: how a worker comes to its scorer.

    Raises:
        ConfigError: the folder holds another run.
        OutputInUseError: another run holds the folder.
        ArtefactError: a worker's bundle is damaged, or another one.
        CohortError: the cohort is damaged, or does not fit the bundle.
        ResourceError: the disk is full, workers do not come up, or a cluster cannot be reached.
    """
    if (workers is not None and workers < 1) or tries < 1 or not lease > 0:
        raise ConfigError("a number below 1", where="workers, tries or lease", expected="1 or more")
    parts = parts_of(Path(job.cohort), job.part_size)
    ignored = prepare(job).matching.ignored  # what is wrong for all is told before anything is begun
    with RunFolder.hold(output, job) as folder:
        done = folder.done()
        total, ready = sum(map(len, parts)), sum(one.n_subjects for one in done.values())
        before = ready
        told(ready, total)

        def keep(outcome: Outcome) -> None:
            nonlocal ready
            if outcome.number not in done:  # told twice is told once
                folder.add(outcome)
                done[outcome.number] = outcome
                ready += outcome.n_subjects
                told(ready, total)

        waiting = [part for part in parts if part.number not in done]
        if waiting:
            _engine(engine, job, output, workers, lease, prepare, address).run(Schedule(waiting, tries), keep)
        if folder.manifest.get("complete") and not waiting:
            return Summary(dict(folder.manifest["subjects"]), 0, ignored)
        manifest = folder.finish([done[part.number] for part in parts], ignored)
        return Summary(dict(manifest["subjects"]), ready - before, ignored)


def _engine(
    name: str, job: Job, output: Path, workers: int | None, lease: float, prepare: Prepare, address: str
) -> Any:
    if name == "local":
        return LocalEngine(job, output, workers or os.cpu_count() or 1, lease, prepare)
    if name == "ray":
        from neurotwin.score.ray_engine import RayEngine

        return RayEngine(job, output.resolve(), workers or 0, lease, prepare, address)
    raise ConfigError(f"engine {name!r}", where="--engine", expected="local or ray")
