"""From answers about all five test folds to the rows of the table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import N_FOLDS
from real_patients.folds import Question
from real_patients.intervals import Rows, Scaled, constant_half_width
from real_patients.members import Said, inner_folds
from real_patients.scores import Answered, differences, interval_score, row_of
from real_patients.selection import Forecasts, Name, forecasts, shrunk
from real_patients.tasks import Task

Array = NDArray[np.float64]

BEST = 3
"""Configurations that the mean is taken over."""
AGAINST = ("locf", "gradient_boosting")


def judge(
    task: Task,
    questions: Sequence[Question],
    baselines: Mapping[str, Mapping[int, Array]],
    members: Mapping[Name, Said],
) -> list[dict[str, Any]]:
    """One row per forecaster: the baselines, the nested pick, the mean of the `BEST` configurations, that shrunk."""
    answered = {name: _gathered(task, questions, said) for name, said in baselines.items()}
    told: dict[str, dict[str, Any]] = {}
    if members:
        means = [forecasts(task, members, questions, test, best=BEST) for test in range(N_FOLDS)]
        made = {
            "neural_ode_pick": [forecasts(task, members, questions, test, best=1) for test in range(N_FOLDS)],
            f"neural_ode_mean_of_{BEST}": means,
            "neural_ode": [shrunk(task, part, questions, test) for test, part in enumerate(means)],
        }
        for name, parts in made.items():
            corrected = {test: _calibrated(questions, parts[test], test) for test in range(N_FOLDS)}
            answered[name] = _gathered(task, questions, corrected)
            told[name] = {"chosen": [part.chosen for part in parts], "shares": [part.share for part in parts]}
            told[name] |= _constant_width(task, questions, parts)
    return [
        {"task": task.name, "model": name} | row_of(one) | differences(answered, name, AGAINST) | told.get(name, {})
        for name, one in answered.items()
    ]


def _rows(question: Question, said: Array) -> Rows:
    return Rows(said, question.horizon, question.level, question.subject)


def _inner(questions: Sequence[Question], part: Forecasts, test: int) -> tuple[Rows, Array]:
    """Rows and truths (modelling scale) of all inner folds."""
    folds = inner_folds(test)
    each = [_rows(questions[fold], part.inner[fold]) for fold in folds]
    truth = np.concatenate([questions[fold].modelled_truth for fold in folds])
    return Rows(*map(np.concatenate, zip(*each, strict=True))), truth


def _calibrated(questions: Sequence[Question], part: Forecasts, test: int) -> Array:
    return Scaled.fit(*_inner(questions, part, test))(_rows(questions[test], part.test))


def _constant_width(task: Task, questions: Sequence[Question], parts: Sequence[Forecasts]) -> dict[str, Any]:
    """What an interval of constant width on the scale of the errors, fitted on the same patients, would score."""
    scores, covered = [], []
    for test, part in enumerate(parts):
        rows, truth = _inner(questions, part, test)
        variable = questions[test].variable
        missed = np.abs(_on_scale(task, rows.said[:, 1], variable) - _on_scale(task, truth, variable))
        half = constant_half_width(missed, rows.subject)
        median = _on_scale(task, part.test[:, 1], variable)
        said = np.column_stack([median - half, median, median + half])
        came = task.on_scale(questions[test].truth, variable)
        scores.append(interval_score(said, came))
        covered.append((said[:, 0] <= came) & (came <= said[:, 2]))
    return {
        "constant_width_interval_score": float(np.concatenate(scores).mean()),
        "constant_width_coverage": float(np.concatenate(covered).mean()),
    }


def _on_scale(task: Task, modelled: Array, variable: Any) -> Array:
    return task.on_scale(variable.inverse(modelled), variable)


def _gathered(task: Task, questions: Sequence[Question], said: Mapping[int, Array]) -> Answered:
    whole = [questions[fold] for fold in range(N_FOLDS)]
    variable = whole[0].variable
    return Answered(
        _on_scale(task, np.concatenate([said[fold] for fold in range(N_FOLDS)]), variable),
        np.concatenate([task.on_scale(one.truth, variable) for one in whole]),
        np.concatenate([one.subject for one in whole]),
        np.concatenate([np.full(len(one), fold) for fold, one in enumerate(whole)]),
        np.concatenate([one.horizon for one in whole]),
        np.concatenate([one.level for one in whole]),
    )
