"""A Student-t head beside a Gaussian one, on the recipe of the real patients."""

from dataclasses import replace
from typing import Any

import numpy as np
from real_patients.folds import Question, split
from real_patients.intervals import Rows, Scaled
from real_patients.members import answers
from real_patients.recipe import GRID
from real_patients.tasks import TASKS, Task

from ablation_parts.tasks import Asked, quantiles, rotations, truths
from neurotwin.cohort import Cohort
from neurotwin.evaluation.metrics import coverage, crps, interval_score
from neurotwin.schema import Schema

LEVEL = 0.9
HEADS: dict[str, dict[str, Any]] = {"gaussian": {}, "student_t": {"head": "student_t", "degrees_of_freedom": 5.0}}


def with_head(cohort: Cohort, variable: str, head: dict[str, Any]) -> Cohort:
    """The same cohort with another head of one variable."""
    content = cohort.schema.model_dump(mode="json")
    content["variables"] = [one | head if one["name"] == variable else one for one in content["variables"]]
    return replace(cohort, schema=Schema.parse(content, "ablation"))


def row_of(task_name: str, head: str, choice: str, seed: int, *, steps: int | None = None) -> dict[str, Any]:
    """Errors and intervals of five rotations, before and after calibration on the fold that was left out for it."""
    task = TASKS[task_name]
    cohort = with_head(split(task), task.variable, HEADS[head])
    chosen = GRID[choice] if steps is None else replace(GRID[choice], steps=steps)
    asked = rotations(task, cohort, chosen, seed)
    told = [quantiles(one.model, one.test, task) for one in asked]
    levels, said = told[0][0], np.concatenate([one[1] for one in told])
    truth = truths([one.test for one in asked], task)
    low, middle, high = (int(np.argmin(np.abs(levels - end))) for end in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))
    missed = np.abs(said[:, middle] - truth)
    interval = said[:, [low, high]]
    calibrated = np.concatenate([_calibrated(task, one) for one in asked])
    return {
        "task": task_name,
        "variant": head,
        "choice": choice,
        "seed": seed,
        "n": len(truth),
        "mae": float(missed.mean()),
        "rmse": float(np.sqrt((missed**2).mean())),
        "crps": crps(truth, said, levels=levels),
        "coverage": coverage(truth, interval),
        "interval_score": interval_score(truth, interval, level=LEVEL),
        "calibrated_coverage": coverage(truth, calibrated),
        "calibrated_interval_score": interval_score(truth, calibrated, level=LEVEL),
    }


def _calibrated(task: Task, one: Asked) -> Any:
    """``[row, 2]`` the interval with the widths that the inner fold asks for, as in `benchmarks/real`."""

    def rows(question: Question) -> Rows:
        said = answers(task, one.model, question)
        return Rows(said, question.horizon, question.level, question.subject)

    corrected = Scaled.fit(rows(one.inner), one.inner.modelled_truth)(rows(one.test))
    variable = one.test.variable
    return task.on_scale(variable.inverse(corrected[:, [0, 2]]), variable)
