"""A cohort folder from a simulator, a population and a protocol: parallel, restartable, the same bytes every time."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from neurotwin.cohort import read_manifest
from neurotwin.simulators.checks import require_whole
from neurotwin.simulators.engine import NUMPY, Engine, Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.provenance import provenance
from neurotwin.simulators.records import rejected_error
from neurotwin.simulators.simulate import check_request, simulate
from neurotwin.simulators.simulator import Simulator
from neurotwin.simulators.unfinished import Unfinished, hold
from neurotwin.simulators.workers import run_all
from neurotwin.solution import REASONS


class Report(NamedTuple):
    """What a run came to: the ``folder``, the hash of its content, subjects in it and rejected by reason, and how many
    shards were made now (the others were there from a run that was interrupted)."""

    folder: Path
    sha256: str
    n_subjects: int
    rejected: dict[str, int]
    shards_made: int


def run_simulation(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    *,
    n_subjects: int,
    seed: int,
    output: Path | str,
    shard_size: int = 1000,
    workers: int = 1,
    method: Method = "auto",
    engine: Engine = NUMPY,
    max_rejected: float = 0.01,
    progress: bool = True,
) -> Report:
    """Simulate into the folder ``output``.

    The same arguments leave the same bytes, whatever ``workers``. A run that was interrupted is completed by starting
    it again: whole shards of the same settings are kept. A finished cohort of the same settings is left as it is.

    Args:
        shard_size: subjects per shard.
        workers: processes.
        method, engine, max_rejected: as in `simulate`.
        progress: a progress bar on stderr.

    Raises:
        SimulationError: as `simulate`.
        CohortError: the folder holds something else or cannot be written.
        OutputInUseError: another run writes there.
        ResourceError: the disk is full, or a worker was killed.
    """
    require_whole("simulate", 1, shard_size=shard_size, workers=workers)
    check_request(protocol, simulator, n_subjects, seed, 0)
    folder = Path(output)
    about = provenance(simulator, population, protocol, n_subjects, seed, method, engine)
    about |= {"shard_size": shard_size}
    unfinished = Unfinished(folder, about)
    with hold(folder):
        made = (
            0
            if unfinished.is_done()
            else _complete(simulator, population, protocol, engine, unfinished, workers, max_rejected, progress)
        )
        manifest = read_manifest(folder)
    n_kept = sum(shard["subjects"] for shard in manifest["shards"])
    return Report(folder, manifest["sha256"], n_kept, manifest["provenance"]["rejected"], made)


def _complete(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    engine: Engine,
    unfinished: Unfinished,
    workers: int,
    max_rejected: float,
    progress: bool,
) -> int:
    """Make the shards that are missing and the manifest; returns how many were made."""
    unfinished.begin()
    n_subjects, about = unfinished.about["n_subjects"], unfinished.about
    numbers = range(-(-n_subjects // about["shard_size"]))
    notes = {number: note for number in numbers if (note := unfinished.note_of(number)) is not None}
    missing = [number for number in numbers if number not in notes]
    make = partial(_make_shard, unfinished, simulator, population, protocol, engine)
    for number in _shown(run_all(make, missing, workers), len(missing), progress):
        notes[number] = unfinished.read_note(number)
        if error := rejected_error(_rejected(notes), n_subjects, max_rejected):
            raise error
    provenance = about | {"split_key": simulator.name, "rejected": _rejected(notes)}
    unfinished.finish(simulator.schema, [notes[number] for number in numbers], provenance)
    return len(missing)


def _make_shard(
    unfinished: Unfinished,
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    engine: Engine,
    number: int,
) -> None:
    about = unfinished.about
    first = number * about["shard_size"]
    part = simulate(
        simulator,
        population,
        protocol,
        n_subjects=min(about["shard_size"], about["n_subjects"] - first),
        seed=about["seed"],
        first_subject=first,
        method=about["method"],
        engine=engine,
        max_rejected=1.0,  # judged for the whole run
    )
    unfinished.add(number, part)


def _rejected(notes: dict[int, dict[str, Any]]) -> dict[str, int]:
    return {reason: sum(note["rejected"][reason] for note in notes.values()) for reason in REASONS.values()}


def _shown(done: Iterator[int], total: int, progress: bool) -> Iterator[int]:
    """Pass on what is done, with a progress bar on stderr."""
    console = Console(stderr=True)
    yield from track(done, description="Simulating", total=total, console=console, disable=not progress or not total)
