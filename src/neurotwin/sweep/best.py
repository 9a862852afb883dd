"""The best trial as an experiment that `neurotwin train experiment=FILE` takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neurotwin.disk import write_whole
from neurotwin.overrides import experiment_file

BEST = "best.yaml"


def best_trial(trials: Sequence[Any], objectives: Mapping[str, str]) -> Any | None:
    """The complete trial with the best first objective; None where there is none."""
    sign = 1 if next(iter(objectives.values())) == "minimize" else -1
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    return min(complete, key=lambda trial: sign * trial.values[0], default=None)


def write_best(folder: Path, name: str, objectives: Mapping[str, str], trial: Any) -> Path:
    """Write a trial's configuration as ``best.yaml``; of several seeds it has the first."""
    runs = trial.user_attrs["runs"]
    seeds = [run["seed"] for run in runs if run["seed"] is not None]
    overrides = [*trial.user_attrs["overrides"], *(f"seed={seed}" for seed in seeds[:1]), f"name={name}_best"]
    reached = ", ".join(f"{what} {value:.6g}" for what, value in zip(objectives, trial.values, strict=True))
    mean = f", the mean over the seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    path = folder / BEST
    comments = [f"Trial {trial.number} of the sweep {name}: {reached}{mean}.", f"neurotwin train experiment={path}"]
    text, left = experiment_file(overrides, comments)
    if left:
        text = text.replace("\n", f"\n# A file cannot say: {' '.join(left)}\n", 1)
    write_whole(path, text)
    return path
