"""Models of the real patients' recipe for one test fold each, and what they say."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from real_patients.folds import Question, ask, without
from real_patients.recipe import Choice, fit
from real_patients.tasks import Task

from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.training import SurrogatePredictor

Array = NDArray[np.float64]


class Asked(NamedTuple):
    """A forecaster that has seen neither ``test`` nor ``inner``, the fold that calibrates it."""

    model: SurrogatePredictor
    test: Question
    inner: Question


def rotations(task: Task, cohort: Cohort, choice: Choice, seed: int) -> list[Asked]:
    """Five forecasters, each trained on three folds."""
    pairs = [(test, (test + 1) % N_FOLDS) for test in range(N_FOLDS)]
    models = fit(task, [without(cohort, pair) for pair in pairs], choice, seed=seed)
    questions = [ask(task, cohort, fold) for fold in range(N_FOLDS)]
    return [Asked(model, questions[test], questions[inner]) for model, (test, inner) in zip(models, pairs, strict=True)]


def quantiles(predict: SurrogatePredictor, question: Question, task: Task) -> tuple[Array, Array]:
    """``[quantile]`` levels and ``[row, quantile]`` on the scale of the errors."""
    number = question.episodes.schema.variables.index(question.variable)
    said = predict(question.episodes)
    return said.levels, task.on_scale(said.quantiles[question.query, number], question.variable)


def truths(questions: Sequence[Question], task: Task) -> Array:
    """``[row]`` on the scale of the errors."""
    return np.concatenate([task.on_scale(one.truth, one.variable) for one in questions])
