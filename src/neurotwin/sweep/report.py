"""The report of a sweep: trials.parquet, report.html, best.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotwin.disk import disk_errors, write_whole
from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.sweep.best import write_best
from neurotwin.sweep.page import render
from neurotwin.sweep.results import Results, read_results, table_of
from neurotwin.sweep.run_sweep import read_card
from neurotwin.sweep.telling import counted

TABLE, PAGE = "trials.parquet", "report.html"


@dataclass(frozen=True)
class Report:
    """What was written: ``files``, the best trial as an ``experiment``, and the counts as ``told``."""

    files: tuple[Path, ...]
    experiment: Path | None
    told: str


def report_sweep(folder: Path, *, storage: str = "", best: int | None = None) -> Report:
    """Write the report into the folder of a sweep; the sweep may still run.

    Args:
        storage: where the trials are, if that is not what the folder says (a password is not kept there).
        best: number of the trial that ``best.yaml`` is to have; by default the best in the first objective.

    Raises:
        IntegrityError: no sweep in the folder.
        ConfigError: no such trial, no sweep of that name in the storage, or the folder cannot be written.
        ResourceError: the storage does not answer, or the disk is full.
        ExtraMissingError: matplotlib is not installed.
    """
    need("matplotlib", "viz")
    folder = folder.resolve()
    card = read_card(folder)
    results = read_results(storage or card["storage"], card["name"])
    chosen = results.best if best is None else _trial(results, best)
    with disk_errors(folder, ConfigError):
        experiment = write_best(folder, results.name, results.objectives, chosen) if chosen else None
        write_whole(folder / TABLE, table_of(results).to_parquet(index=False))
        write_whole(folder / PAGE, render(results, experiment))
    return Report((folder / TABLE, folder / PAGE), experiment, counted(results.trials))


def _trial(results: Results, wanted: int) -> Any:
    found = [trial for trial in results.complete if trial.number == wanted]
    if not found:
        known = ", ".join(str(trial.number) for trial in results.complete)
        raise ConfigError(f"no complete trial {wanted}", where="--best", expected=f"one of {known or 'none so far'}")
    return found[0]
