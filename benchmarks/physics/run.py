"""Surrogates of costly physics: python benchmarks/physics/run.py --task circulation|glucose|seizure|sepsis

Simulates the patients, trains the surrogate, judges it on 1,000 unseen ones, times it beside the solver and writes the
task's row into results.json. What is done already is not done again: a run that was stopped goes on where it was.
"""

import argparse
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from benchmarks.physics import results
from benchmarks.physics.clocks import clock
from benchmarks.physics.cohorts import cohort_of
from benchmarks.physics.plots import draw
from benchmarks.physics.questions import questions_of
from benchmarks.physics.scores import fitted_calibration, forecast_courses, judge, judged_part
from benchmarks.physics.tasks import TASKS, TEST_PATIENTS, Task
from benchmarks.physics.training import kept, trained

from neurotwin.cohort import Cohort
from neurotwin.errors import NeurotwinError
from neurotwin.models import Surrogate
from neurotwin.training import SurrogatePredictor

QUICK_PATIENTS, QUICK_STEPS, CLOCKED = 100, 50, 250


def measure(task: Task, model: Surrogate, told: dict[str, Any], test: Cohort, validation: Cohort) -> dict[str, Any]:
    """The task's row, and its figure."""
    predict = SurrogatePredictor(model)
    calibration = fitted_calibration(task, predict, validation)
    courses = forecast_courses(task, predict, calibration, test)
    row = {"task": task.name, "model": type(model).__name__} | judge(task, courses, test)
    mean = mean_course(task, validation)
    for index, one in enumerate(row["channels"].values()):
        truth = courses.truth[:, : len(mean), index]
        one["population_mean"] = float(np.median(np.abs(truth - mean[:, index]).mean(1)) / one["scale"])
    few = test.take(np.arange(min(len(test), CLOCKED)))
    quantiles = predict(questions_of(task, judged_part(task, few))[0]).quantiles
    row["clock"] = clock(task, model, few, quantiles)
    row |= {name: told[name] for name in ("parameters", "steps")}
    row |= {"patients_trained": told["patients"] - len(validation), "patients_calibrated": len(validation)}
    draw(task, courses, test.schema.time_unit, results.HERE / f"{task.name}.png")
    return row


def mean_course(task: Task, cohort: Cohort) -> np.ndarray:
    """Mean over patients at each judged visit, ``[visit, channel]``: what is known without covariates or plan."""
    seen = judged_part(task, cohort).observations
    order = np.lexsort((seen.variable, seen.time, seen.subject))
    table = seen.value[order].reshape(len(cohort), -1, len(task.variables))
    skipped = int(task.first_visit)
    last = -1 if np.isfinite(task.judged_until) else None
    return np.asarray(table[:, skipped:last].mean(0))


def main() -> None:
    """Read the command line and do one task, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--evaluate-only", action="store_true", help="use the weights in the repository; no training")
    parser.add_argument("--quick", action="store_true", help="few patients and steps, nothing is written: does it run?")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        for name in given.task:
            done = run(TASKS[name], evaluate_only=given.evaluate_only, quick=given.quick)
            print(name, {key: value for key, value in done.items() if key != "task"}, flush=True)
    except NeurotwinError as error:
        raise SystemExit(f"error: {error}") from None


def run(task: Task, *, evaluate_only: bool, quick: bool) -> dict[str, Any]:
    """One task from patients to row; a quick run keeps nothing."""
    if quick:
        task = replace(task, patients=QUICK_PATIENTS, steps=QUICK_STEPS, batch=64)
    model, told = kept(task) if evaluate_only else trained(task, task.patients, name="_quick" if quick else "")
    test = cohort_of(task, "test", QUICK_PATIENTS if quick else TEST_PATIENTS)
    known = cohort_of(task, "training", told["patients"])
    row = measure(task, model, told, test, known.take(known.fold == 3))
    if not quick:
        row["command"] = f"python benchmarks/physics/run.py --task {task.name}"
        row["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        results.put(row)
        results.write_page()
    return row


if __name__ == "__main__":
    main()
