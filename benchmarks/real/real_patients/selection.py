"""Nested selection and bagging: inner folds choose configurations, all models without the test fold answer for it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from real_patients.folds import Question
from real_patients.members import Said, inner_folds, pair_of
from real_patients.tasks import Task

Array = NDArray[np.float64]
Name = tuple[str, int]
"""Configuration and seed."""
SHARES = tuple(np.linspace(0, 1, 11).tolist())


class Forecasts(NamedTuple):
    """``[row, 3]`` low, median and high on the modelling scale.

    Attributes:
        test: about the test fold.
        inner: about each inner fold, from models that were trained without it and without the test fold.
        chosen: the configurations, best first.
        share: by which they are drawn towards the last known value.
    """

    test: Array
    inner: dict[int, Array]
    chosen: tuple[str, ...]
    share: float = 0.0


def choose(task: Task, members: Mapping[Name, Said], questions: Sequence[Question], test: int) -> list[str]:
    """Names of the configurations by their `_cost` on the inner folds, best first; the test fold is not looked at."""
    names = dict.fromkeys(one for one, _ in members)
    costs = {name: _cost(task, questions, _inner(members, [name], test)) for name in names}
    return sorted(costs, key=costs.__getitem__)


def forecasts(
    task: Task, members: Mapping[Name, Said], questions: Sequence[Question], test: int, *, best: int
) -> Forecasts:
    """The mean of the ``best`` configurations over seeds and over the models without each inner fold.

    Quantiles are averaged level by level on the modelling scale (Lichtendahl, Grushka-Cockayne & Winkler 2013, Is it
    better to average probabilities or quantiles?, Management Science 59:1594-1611).
    """
    chosen = choose(task, members, questions, test)[:best]
    every = [
        said[pair_of(test, fold), test]
        for (name, _), said in members.items()
        if name in chosen
        for fold in inner_folds(test)
    ]
    return Forecasts(np.mean(every, axis=0), _inner(members, chosen, test), tuple(chosen))


def shrunk(task: Task, part: Forecasts, questions: Sequence[Question], test: int) -> Forecasts:
    """The same drawn towards the last known value, by the share of `SHARES` with the least cost on the inner folds.

    Low, median and high move together; where no last value is known they stay.
    """
    costs = {
        share: _cost(task, questions, {fold: _drawn(said, questions[fold], share) for fold, said in part.inner.items()})
        for share in SHARES
    }
    share = min(costs, key=costs.__getitem__)
    inner = {fold: _drawn(said, questions[fold], share) for fold, said in part.inner.items()}
    return Forecasts(_drawn(part.test, questions[test], share), inner, part.chosen, share)


def _drawn(said: Array, question: Question, share: float) -> Array:
    move = share * (question.level - said[:, 1])
    return said + np.where(np.isfinite(move), move, 0.0)[:, None]


def _inner(members: Mapping[Name, Said], chosen: Sequence[str], test: int) -> dict[int, Array]:
    return {
        fold: np.mean(
            [said[pair_of(test, fold), fold] for (name, _), said in members.items() if name in chosen], axis=0
        )
        for fold in inner_folds(test)
    }


def _cost(task: Task, questions: Sequence[Question], said: Mapping[int, Array]) -> float:
    """Mean absolute and root mean squared error, each over that of the last value: both are asked for."""
    missed = np.concatenate([_error(task, questions[fold], rows[:, 1]) for fold, rows in said.items()])
    carried = np.concatenate([_error(task, questions[fold], questions[fold].level) for fold in said])
    carried = carried[np.isfinite(carried)]
    return float(missed.mean() / carried.mean() + np.sqrt((missed**2).mean() / (carried**2).mean()))


def _error(task: Task, question: Question, median: Array) -> Array:
    variable = question.variable
    return np.abs(task.on_scale(variable.inverse(median), variable) - task.on_scale(question.truth, variable))
