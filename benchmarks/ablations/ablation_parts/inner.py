"""Why boosting led on `laleh`, asked of four folds alone: each is forecast from the three others, fold 4 plays no part.

Boosting without one group of its features at a time, with other losses and with more subjects; the neural ODE with one
change after the other that this suggests.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from real_patients.folds import Question, ask, split, without
from real_patients.members import answers
from real_patients.recipe import GRID, fit
from real_patients.tasks import TASKS, Task

from neurotwin.cohort import Cohort
from neurotwin.evaluation import gradient_boosting
from neurotwin.evaluation.gradient_boosting import GradientBoosting
from neurotwin.evaluation.history_features import feature_names

Array = NDArray[np.float64]
HELD_BACK = 4
INNER = range(4)
GROUPS = {
    "extremes": ("lowest", "highest", "from_lowest", "from_highest"),
    "trend": ("first", "previous", "mean", "spread", "slope", "step", "rise"),
    "counts": ("count", "visits", "span"),
    "clock": ("cut", "time"),
    "age": ("age", "since_visit"),
    "horizon": ("horizon",),
    "treatment": ("given", "level", "planned"),
    "covariates": ("=",),
}
"""Features by the last part of their names; a covariate's level has a ``=``."""


def _belongs(name: str, group: tuple[str, ...]) -> bool:
    return name.rpartition(".")[2] in group or ("=" in group and "=" in name)


def _without(group: tuple[str, ...]) -> Callable[[str, str], bool]:
    return lambda name, variable: not _belongs(name, group)


ALL_FOLDS = "all features, four folds to learn from"
BOOSTING: dict[str, Callable[[str, str], bool]] = {
    "all features": _without(()),
    ALL_FOLDS: _without(()),
    "last value and horizon alone": lambda name, variable: name in (f"{variable}.last", "horizon"),
    **{f"without {name}": _without(group) for name, group in GROUPS.items()},
}
"""Which features, by name and the variable asked for, each variant keeps."""
FAST = GRID["fast_extremes"]
VISITS = {
    "told the extremes": FAST,
    "and begun at the last value": replace(FAST, trust=8.0),
    "and moved by a step": replace(FAST, trust=8.0, step=True),
    "and nothing hidden": GRID["stepped"],
}


def boosting_row(task_name: str, variant: str) -> dict[str, Any]:
    """Boosting with all features or without some; a variant of `BOOSTING`."""
    task = TASKS[task_name]
    cohort = split(task)
    questions = [ask(task, cohort, fold) for fold in INNER]
    names = feature_names(questions[0].episodes)
    kept = np.array([BOOSTING[variant](name, task.variable) for name in names])
    spare = () if variant == ALL_FOLDS else (HELD_BACK,)
    return _row(task, variant, questions, _boosted(task, cohort, questions, kept, spare))


def visit_row(task_name: str, variant: str, seed: int, steps: int | None) -> dict[str, Any]:
    """The neural ODE with some of the changes to what a visit does; a variant of `VISITS`."""
    task = TASKS[task_name]
    cohort = split(task)
    questions = [ask(task, cohort, fold) for fold in INNER]
    chosen = VISITS[variant] if steps is None else replace(VISITS[variant], steps=steps)
    models = fit(task, [without(cohort, (fold, HELD_BACK)) for fold in INNER], chosen, seed=seed)
    said = [answers(task, model, one)[:, 1] for model, one in zip(models, questions, strict=True)]
    return {**_row(task, variant, questions, said), "seed": seed}


def _boosted(
    task: Task, cohort: Cohort, questions: list[Question], kept: NDArray[np.bool_], spare: tuple[int, ...]
) -> list[Array]:
    """Medians about each inner fold, of trees that see the ``kept`` features and no subject of the ``spare`` folds."""
    original = gradient_boosting.query_features
    # The last value stays, for the trees tell the change from it; a hidden feature is one that is never known.
    start = feature_names(questions[0].episodes).index(f"{task.variable}.last")
    hidden = np.flatnonzero(~kept & (np.arange(len(kept)) != start))

    def narrowed(episodes: Any) -> Array:
        table = original(episodes)
        table[:, hidden] = np.nan
        return table

    gradient_boosting.query_features = narrowed
    try:
        said = []
        for fold, question in enumerate(questions):
            train = cohort.take(~np.isin(cohort.fold, (fold, *spare)))
            trees = GradientBoosting.fit(train, variables=[task.variable], n_folds=2)
            said.append(answers(task, trees, question)[:, 1])
    finally:
        gradient_boosting.query_features = original
    return said


def _row(task: Task, variant: str, questions: list[Question], said: list[Array]) -> dict[str, Any]:
    missed, carried = [], []
    for question, median in zip(questions, said, strict=True):
        variable = question.variable
        truth = task.on_scale(question.truth, variable)
        missed.append(np.abs(task.on_scale(variable.inverse(median), variable) - truth))
        carried.append(np.abs(task.on_scale(variable.inverse(question.level), variable) - truth))
    error, last = np.concatenate(missed), np.concatenate(carried)
    row = {"task": task.name, "variant": variant, "n": len(error), "mae": float(error.mean())}
    return row | {"rmse": float(np.sqrt((error**2).mean())), "less_locf": float(error.mean() - np.nanmean(last))}
