"""What one configuration, trained without each pair of folds, says about either fold of the pair; kept on disk."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.episodes import Predict
from real_patients.folds import PAIRS, Pair, Question
from real_patients.recipe import GRID, Choice, fit_pairs
from real_patients.tasks import Task

Array = NDArray[np.float64]
Said = dict[tuple[Pair, int], Array]
"""``[row, (low, median, high)]`` on the modelling scale by pair left out and fold asked."""

ENDS = (0.05, 0.5, 0.95)


def answers(task: Task, predict: Predict, question: Question) -> Array:
    """``[row, 3]`` low, median and high of a forecaster on the modelling scale."""
    schema = question.episodes.schema
    number = [one.name for one in schema.variables].index(task.variable)
    forecast = predict(question.episodes)
    at = [int(np.argmin(np.abs(forecast.levels - end))) for end in ENDS]
    return modelled(schema.variables[number], forecast.quantiles[question.query, number][:, at])


def member(task: Task, cohort: Cohort, questions: list[Question], name: str, seed: int, root: Path) -> Said:
    """One configuration and seed: read where it is on disk, else trained and written."""
    choice, path = GRID[name], _path(name, seed, root)
    if at_hand(name, seed, root):
        return _read(json.loads(path.read_text())["said"])
    begun = time.process_time()
    models = fit_pairs(task, cohort, PAIRS, choice, seed=seed)
    said = {(pair, fold): answers(task, models[pair], questions[fold]) for pair in PAIRS for fold in pair}
    content = {"choice": asdict(choice), "seed": seed, "processor_seconds": time.process_time() - begun}
    _write(path, content | {"said": {f"{p[0]}{p[1]}.{fold}": one.tolist() for (p, fold), one in said.items()}})
    return said


def at_hand(name: str, seed: int, root: Path) -> bool:
    """Is the member on disk, made with the settings that its name stands for now?

    What could not be set yet when it was made counts as the default, which leaves a model as it was.
    """
    path = _path(name, seed, root)
    if not path.exists():
        return False
    made = asdict(Choice()) | json.loads(path.read_text())["choice"]
    return bool(made == asdict(GRID[name]))


def processor_seconds(root: Path) -> float:
    """Of all members on disk."""
    return sum(json.loads(path.read_text())["processor_seconds"] for path in root.glob("*-[0-9].json"))


def pair_of(one: int, other: int) -> Pair:
    """Two folds in order."""
    return (min(one, other), max(one, other))


def inner_folds(test: int) -> list[int]:
    """All folds but the test fold."""
    return [fold for fold in range(N_FOLDS) if fold != test]


def _path(name: str, seed: int, root: Path) -> Path:
    return root / f"{name}-{seed}.json"


def _read(said: dict[str, Any]) -> Said:
    return {((int(key[0]), int(key[1])), int(key[3])): np.array(rows, dtype=float) for key, rows in said.items()}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps(content))
    draft.replace(path)
