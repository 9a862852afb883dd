"""Surrogates of costly physics: python benchmarks/physics/run.py --task circulation|glucose|seizure|sepsis

Simulates the patients, trains the surrogate, judges it on 1,000 unseen ones, times it beside the solver and writes the
task's row into results.json. What is done already is not done again: a run that was stopped goes on where it was.
"""

import argparse
import os
import shutil
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
from benchmarks.physics.cohorts import WORK, cohort_of
from benchmarks.physics.limits import CHANGE, error_without_beats, turned_fates
from benchmarks.physics.plots import draw
from benchmarks.physics.questions import STEPS_PER_EPOCH, questions_of
from benchmarks.physics.scores import Courses, fitted_calibration, forecast_courses, judge, judged_part, wrong_fates
from benchmarks.physics.tasks import CALIBRATION_PATIENTS, TASKS, TEST_PATIENTS, Task
from benchmarks.physics.training import kept, trained

from neurotwin.cohort import Cohort
from neurotwin.errors import NeurotwinError
from neurotwin.models import Surrogate
from neurotwin.training import SurrogatePredictor

QUICK_PATIENTS, CLOCKED = 100, 250


def measure(
    task: Task, model: Surrogate, told: dict[str, Any], test: Cohort, calibration: Cohort
) -> tuple[dict[str, Any], Courses]:
    """The task's row, and the courses that its figure shows."""
    predict = SurrogatePredictor(model)
    courses = forecast_courses(task, predict, fitted_calibration(task, predict, calibration), test)
    row = {"task": task.name, "model": type(model).__name__} | judge(task, courses, test)
    mean = mean_course(task, calibration)
    for index, one in enumerate(row["channels"].values()):
        truth = courses.truth[:, : len(mean), index]
        one["population_mean"] = float(np.median(np.abs(truth - mean[:, index]).mean(1)) / one["scale"])
    few = test.take(np.arange(min(len(test), CLOCKED)))
    quantiles = predict(questions_of(task, judged_part(task, few))[0]).quantiles
    row["clock"] = clock(task, model, few, quantiles)
    row |= {name: told[name] for name in ("parameters", "steps", "seconds")}
    row |= {"patients_trained": told["patients"], "patients_calibrated": len(calibration)}
    return row, courses


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
    """One task from patients to row; a quick run keeps no result."""
    if quick:
        few = tuple(replace(stage, steps=2 * STEPS_PER_EPOCH, batch=16, each=2) for stage in task.stages)
        task = replace(task, patients=QUICK_PATIENTS, stages=few)
        for folder in (WORK / "models").glob(f"{task.name}_quick_*"):
            shutil.rmtree(folder)
    model, told = kept(task) if evaluate_only else trained(task, name="_quick" if quick else "")
    test = cohort_of(task, "test", QUICK_PATIENTS if quick else TEST_PATIENTS)
    calibration = cohort_of(task, "calibration", QUICK_PATIENTS if quick else CALIBRATION_PATIENTS)
    row, courses = measure(task, model, told, test, calibration)
    if not quick:
        if task.name == "circulation":
            scale = np.array([one["scale"] for one in row["channels"].values()])
            row["without_beats"] = error_without_beats(task, test, scale)
        if task.name == "sepsis":
            turned, wrong = turned_fates(task, test), wrong_fates(courses)
            row["fates"]["turned"] = {"change": CHANGE, "all": float(turned.mean()), "wrong": int(turned[wrong].sum())}
        row["command"] = f"python benchmarks/physics/run.py --task {task.name}"
        row["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        draw(task, courses, test.schema.time_unit, results.HERE / f"{task.name}.png")
        results.put(row)
        results.write_page()
    return row


if __name__ == "__main__":
    main()
