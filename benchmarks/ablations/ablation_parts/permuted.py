"""Label permutation: trained again on outcomes that belong to somebody else, a model has no skill."""

from dataclasses import replace
from typing import Any

import numpy as np
from real_patients.folds import split
from real_patients.recipe import GRID
from real_patients.tasks import TASKS, Task

from ablation_parts.tasks import quantiles, rotations, truths
from neurotwin.cohort import N_FOLDS, Cohort


def permuted(cohort: Cohort, task: Task, seed: int) -> Cohort:
    """All values after the cut, of each variable, shuffled over subjects and visits; pasts and times stay."""
    seen, random = cohort.observations, np.random.default_rng(seed)
    value = seen.value.copy()
    for number in range(len(cohort.schema.variables)):
        rows = np.flatnonzero((seen.variable == number) & (seen.time > task.cut) & (seen.censor == 0))
        value[rows] = value[random.permutation(rows)]
    return replace(cohort, observations=replace(seen, value=value))


def row_of(task_name: str, variant: str, choice: str, seed: int, *, steps: int | None = None) -> dict[str, Any]:
    """Error of five rotations beside that of one constant, the median of later values of the other folds."""
    task = TASKS[task_name]
    cohort = split(task)
    if variant == "permuted":
        cohort = permuted(cohort, task, seed)
    chosen = GRID[choice] if steps is None else replace(GRID[choice], steps=steps)
    asked = rotations(task, cohort, chosen, seed)
    missed, plain = [], []
    for test, one in enumerate(asked):
        levels, said = quantiles(one.model, one.test, task)
        truth = truths([one.test], task)
        others = truths([asked[fold].test for fold in range(N_FOLDS) if fold != test], task)
        missed.append(np.abs(said[:, int(np.argmin(np.abs(levels - 0.5)))] - truth))
        plain.append(np.abs(np.median(others) - truth))
    mae, constant = float(np.concatenate(missed).mean()), float(np.concatenate(plain).mean())
    row = {"task": task_name, "variant": variant, "choice": choice, "seed": seed}
    n = sum(len(one) for one in missed)
    return row | {"n": n, "mae": mae, "constant_mae": constant, "skill": 1 - mae / constant}
