"""Folds, pairs of folds, and the questions of a fold.

A model is trained without two folds. For either of them it is an honest forecaster, and for either of them the other
one is a fold to choose configurations and to calibrate on: ten models per configuration serve all five rotations.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import N_FOLDS, Cohort, fold_of
from neurotwin.episodes import Episodes, make_episodes
from neurotwin.schema import Variable
from real_patients.tasks import Task

Array = NDArray[np.float64]
Pair = tuple[int, int]

PAIRS: tuple[Pair, ...] = tuple(combinations(range(N_FOLDS), 2))


def split(task: Task) -> Cohort:
    """The task's cohort; with a key of the task's own, the folds are those of that key."""
    cohort = task.cohort()
    if task.key is None or task.key == cohort.provenance.get("split_key"):
        return cohort
    fold = np.array([fold_of(task.key, str(one)) for one in cohort.ids], dtype=np.int8)
    return replace(cohort, fold=fold, provenance={**cohort.provenance, "split_key": task.key})


def without(cohort: Cohort, pair: Pair) -> Cohort:
    """The subjects of the three other folds."""
    return cohort.take(~np.isin(cohort.fold, pair))


@dataclass(frozen=True)
class Question:
    """What is asked about one fold, and what came true: one row per scored measurement.

    Attributes:
        episodes: the subjects' pasts and the times asked.
        query: ``[row]`` position in the episodes' queries.
        subject: ``[row]`` subject in the whole cohort.
        truth: ``[row]`` in the variable's unit.
        modelled_truth: ``[row]`` on the scale that the variable is modelled on.
        horizon: ``[row]`` time from the cut.
        level: ``[row]`` last known value on the modelling scale, NaN where there is none.
        variable: what is asked.
    """

    episodes: Episodes
    query: NDArray[np.int64]
    subject: NDArray[np.int64]
    truth: Array
    modelled_truth: Array
    horizon: Array
    level: Array
    variable: Variable

    def __len__(self) -> int:
        return len(self.query)


def ask(task: Task, cohort: Cohort, fold: int) -> Question:
    """Subjects of a fold with two visits up to the cut and one later; every later value of the variable is asked."""
    return ask_subjects(task, cohort, np.flatnonzero(cohort.fold == fold))


def ask_subjects(task: Task, cohort: Cohort, rows: NDArray[np.int64]) -> Question:
    """The same of some subjects, by their rows in the cohort."""
    episodes, targets, kept = make_episodes(cohort.take(rows), task.cut)
    number = [one.name for one in cohort.schema.variables].index(task.variable)
    variable = cohort.schema.variables[number]
    mine = (targets.variable == number) & (targets.censor == 0)
    query, truth = targets.query[mine], targets.value[mine]
    owner = episodes.queries.subject[query]
    return Question(
        episodes,
        query,
        rows[kept[owner]],
        truth,
        modelled(variable, truth),
        episodes.queries.time[query] - episodes.cut[owner],
        last_value(episodes, number)[owner],
        variable,
    )


def last_value(episodes: Episodes, number: int) -> Array:
    """``[subject]`` last value of a variable on its modelling scale, NaN where there is none."""
    last = np.full(len(episodes), np.nan)
    seen = episodes.observations.take(episodes.observations.variable == number)
    seen = seen.take(np.lexsort((seen.post_dose, seen.time)))
    # Where a place is assigned more than once, the last assignment stays.
    last[seen.subject] = modelled(episodes.schema.variables[number], seen.value)
    return last
