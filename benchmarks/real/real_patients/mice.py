"""Leave one mouse out, and leave one arm out, for the xenografts under erlotinib.

Thirty mice are too few for folds of folds: one configuration, fixed beforehand, is trained without each mouse. Arms are
no input of the model, which is driven by each mouse's own doses; they only serve the arm's mean growth, the yardstick.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from real_patients.folds import Question, ask_subjects
from real_patients.members import answers
from real_patients.recipe import Choice, fit
from real_patients.scores import Answered, differences, row_of
from real_patients.tasks import Task

Array = NDArray[np.float64]
Index = NDArray[np.int64]

CHOICE = Choice(steps=150, batch=16, rate=5e-3, dropout=0.1, others=0.1, trust=3.0, memory=4, hidden=16)
ARMS = ("none", "6.25 mg/kg", "25 mg/kg", "100 mg/kg")
BOUNDS = (0.0, 0.4, 1.5)
"""Upper bounds of a mouse's first dose in mg in all arms but the last; a mouse weighs 25 to 30 g."""
UNSEEN = 2
SEEDS = 5


def arm_of(cohort: Cohort) -> Index:
    """``[subject]`` position in `ARMS`, from the first dose."""
    first = np.zeros(len(cohort))
    first[cohort.doses.subject[::-1]] = cohort.doses.amount[::-1]
    return np.searchsorted(BOUNDS, first, side="left")


def run_mice(task: Task, root: Path, *, train: bool = True) -> dict[str, Any]:
    """Rows of all forecasters; what stands in ``root`` is not made again, and without ``train`` nothing is made."""
    begun = time.monotonic()
    cohort = task.cohort()
    question, arm = ask_subjects(task, cohort, np.arange(len(cohort))), arm_of(cohort)
    named = {"locf": _flat(question.level), "arm_mean": _flat(arm_mean(task, cohort, question, arm))}
    kept = root / "left_out.json"
    if train or kept.exists():
        named["neural_ode"] = _kept(kept, lambda: left_out(task, cohort, question))
    answered = {name: _answered(task, question, said) for name, said in named.items()}
    rows = [
        {"task": task.name, "model": name} | row_of(one) | differences(answered, name, ("locf", "arm_mean"))
        for name, one in answered.items()
    ]
    rows += _unseen_rows(task, cohort, arm, root / "unseen_arm.json", train)
    files = [path for path in (kept, root / "unseen_arm.json") if path.exists()]
    return {
        "task": task.name,
        "rows": rows,
        "grid": ["fixed"] * bool(files),
        "seeds": [0] * bool(files),
        "wall_seconds": time.monotonic() - begun,
        "training_processor_seconds": sum(json.loads(path.read_text())["processor_seconds"] for path in files),
    }


def _unseen_rows(task: Task, cohort: Cohort, arm: Index, path: Path, train: bool) -> list[dict[str, Any]]:
    """Forecasts of one arm by what was learned of the others; growth as in the control arm beside them."""
    asked = ask_subjects(task, cohort, np.flatnonzero(arm == UNSEEN))
    control = arm_mean(task, cohort, asked, arm, of=0)
    named = {"locf": _flat(asked.level), "control_arm_mean": _flat(control)}
    if train or path.exists():
        named["neural_ode"] = _kept(path, lambda: unseen_arm(task, cohort, asked, arm))
    return [
        {"task": task.name, "model": f"{name}, {ARMS[UNSEEN]} unseen"} | row_of(_answered(task, asked, said))
        for name, said in named.items()
    ]


def left_out(task: Task, cohort: Cohort, question: Question) -> Array:
    """``[row, 3]``: every mouse by models that were trained on the 29 others, the mean of several seeds."""
    everyone = np.arange(len(cohort))
    said = np.zeros((len(question), 3))
    for seed in range(SEEDS):
        models = fit(task, [cohort.take(everyone != one) for one in everyone], CHOICE, seed=seed)
        for one in np.unique(question.subject):
            asked = ask_subjects(task, cohort, np.array([one]))
            said[question.subject == one] += answers(task, models[one], asked) / SEEDS
    return said


def unseen_arm(task: Task, cohort: Cohort, asked: Question, arm: Index) -> Array:
    """``[row, 3]``: the mice of one arm by models of the other arms, the mean of several seeds."""
    models = fit(task, [cohort.take(arm != UNSEEN)] * SEEDS, CHOICE, seed=1)
    return np.mean([answers(task, model, asked) for model in models], axis=0)


def arm_mean(task: Task, cohort: Cohort, question: Question, arm: Index, of: int | None = None) -> Array:
    """``[row]`` last value plus the mean growth since then of the other mice of the arm, on the modelling scale.

    A mouse counts at the times that it was followed to, straight lines between its visits. ``of`` names another arm
    whose growth is taken for everybody's.
    """
    number = [one.name for one in cohort.schema.variables].index(task.variable)
    seen = cohort.observations.take(cohort.observations.variable == number)
    value = modelled(cohort.schema.variables[number], seen.value)
    said = question.level.copy()
    for row, (subject, asked) in enumerate(zip(question.subject, question.horizon + task.cut, strict=True)):
        growth = []
        for other in np.flatnonzero((arm == (arm[subject] if of is None else of)) & (np.arange(len(arm)) != subject)):
            mine = seen.subject == other
            known = mine & (seen.time <= task.cut)
            if known.any() and seen.time[mine][0] <= asked <= seen.time[mine][-1]:
                growth.append(np.interp(asked, seen.time[mine], value[mine]) - value[known][-1])
        said[row] += np.mean(growth) if growth else 0.0
    return said


def _flat(median: Array) -> Array:
    """A forecast without an interval."""
    return np.column_stack([np.full(len(median), np.nan), median, np.full(len(median), np.nan)])


def _answered(task: Task, question: Question, said: Array) -> Answered:
    variable = question.variable
    return Answered(
        task.on_scale(variable.inverse(said), variable),
        task.on_scale(question.truth, variable),
        question.subject,
        np.zeros(len(question), np.int64),
        question.horizon,
        question.level,
    )


def _kept(path: Path, make: Any) -> Array:
    """An answer on disk, else made and written."""
    if not path.exists():
        begun = time.process_time()
        said = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"said": said.tolist(), "processor_seconds": time.process_time() - begun}))
    return np.array(json.loads(path.read_text())["said"])
