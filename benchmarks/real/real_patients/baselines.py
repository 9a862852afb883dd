"""The forecasters that stand beside the model in every table, fitted on the four folds that are not tested."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.episodes import Predict
from neurotwin.evaluation.gradient_boosting import GradientBoosting
from neurotwin.evaluation.linear_mixed import LinearMixed
from neurotwin.evaluation.locf import Locf, PopulationMean
from neurotwin.events import Observations
from real_patients.folds import Question
from real_patients.members import answers
from real_patients.tasks import Task

Array = NDArray[np.float64]


N_PARTS = 2
"""Parts of the subjects that tell how wide the intervals of boosting are; more of them only cost time."""


def _boosting(task: Task, cohort: Cohort) -> Predict:
    return GradientBoosting.fit(cohort, variables=[task.variable], n_folds=N_PARTS)


def _boosting_of_target(task: Task, cohort: Cohort) -> Predict:
    """Boosting that sees no other variable."""
    number = [one.name for one in cohort.schema.variables].index(task.variable)

    def own(seen: Observations) -> Observations:
        return seen.take(seen.variable == number)

    narrow = replace(cohort, observations=own(cohort.observations))
    trees = GradientBoosting.fit(narrow, variables=[task.variable], n_folds=N_PARTS)
    return lambda episodes: trees(replace(episodes, observations=own(episodes.observations)))


BASELINES: dict[str, Callable[[Task, Cohort], Predict]] = {
    "locf": lambda task, cohort: Locf.fit(cohort),
    "population_mean": lambda task, cohort: PopulationMean.fit(cohort),
    "linear_mixed": lambda task, cohort: LinearMixed.fit(cohort, variables=[task.variable]),
    "gradient_boosting": _boosting,
    "gradient_boosting_target": _boosting_of_target,
}


def fitted(name: str, root: Path) -> bool:
    """Are its answers on disk?"""
    return (root / f"baseline-{name}.json").exists()


def baseline(task: Task, cohort: Cohort, questions: list[Question], name: str, root: Path) -> dict[int, Array]:
    """``[row, 3]`` low, median, high on the modelling scale by test fold; read where it is on disk."""
    path = root / f"baseline-{name}.json"
    if fitted(name, root):
        return {int(fold): np.array(rows, dtype=float) for fold, rows in json.loads(path.read_text()).items()}
    said = {
        fold: answers(task, BASELINES[name](task, cohort.take(cohort.fold != fold)), questions[fold])
        for fold in range(N_FOLDS)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps({str(fold): rows.tolist() for fold, rows in said.items()}))
    draft.replace(path)
    return said
