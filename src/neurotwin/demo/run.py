"""Walk the road for every story, write the report, and keep the numbers."""

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from neurotwin import __version__
from neurotwin.demo.stories import STORIES, Story
from neurotwin.demo.telling import tell
from neurotwin.demo.trainings import train_all
from neurotwin.errors import ResourceError
from neurotwin.evaluation.report import write_report
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.sections import Task
from neurotwin.training.run_folder import write_json
from neurotwin.verbs.evaluate import evaluate_run
from neurotwin.verbs.reports import write_report as write_evaluation

MODELS = ("neural_ode", "gru")
GOAL_SECONDS = 360.0


def run_demo(out: Path, *, quick: bool = False) -> Path:
    """Walk the whole road into ``out`` and return the path of its report.

    What is there already (cohorts, finished runs, bundles) is kept, so a demonstration that was interrupted goes on.
    """
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cohorts = {story.name: _make_cohort(story, out, quick) for story in STORIES}
    trainings = {
        _run_folder(out, story, model): _overrides(story, model, cohorts[story.name], quick)
        for model in MODELS  # the slow ones first
        for story in STORIES
    }
    train_all(trainings, out / "logs")
    tasks = [_finish(story, out, quick) for story in STORIES]
    seconds = time.monotonic() - begun
    command = "neurotwin demo --quick" if quick else "make demo"
    page = write_report(
        out / "report.html",
        "neurotwin demonstration",
        tasks,
        created=date.today().isoformat(),
        command=command,
        summary="From records and simulators to a twin that is asked about plans.",
    )
    results = _results(tasks, seconds, command)
    write_json(out / "results.json", results)
    _print(results, seconds)
    return page


def _make_cohort(story: Story, out: Path, quick: bool) -> Path:
    folder = out / "cohorts" / story.name
    if not (folder / "cohort.json").exists():
        _verb([part.format(output=folder, subjects=200 if quick else 1000) for part in story.make_cohort])
    return folder


def _overrides(story: Story, model: str, cohort: Path, quick: bool) -> list[str]:
    more = story.quick if quick else ()
    return [f"experiment={story.name}", f"model={model}", f"data.cohort={cohort}", *more]


def _finish(story: Story, out: Path, quick: bool) -> Task:
    """Export, evaluate, and ask about the plans."""
    run, bundle = _run_folder(out, story, "neural_ode"), out / "bundles" / f"{story.name}@0.1.0"
    if not bundle.exists():
        _verb(["export", str(run), "-o", str(bundle), "--timelines", "100" if quick else "1000"])
    with Console(stderr=True).status(f"{story.name}: evaluate, and ask the twin"):
        others = [_run_folder(out, story, "gru")]
        report = evaluate_run(run, others, bundle=bundle, n_bootstrap=200 if quick else 1000)
        write_evaluation(report, out / f"{story.name}_evaluation.json")
        return tell(story, run, bundle, report, out / "examples" / story.name)


def _run_folder(out: Path, story: Story, model: str) -> Path:
    return out / "runs" / story.name / model


def _verb(arguments: Sequence[str]) -> None:
    """A verb in a process of its own, as a user would call it."""
    print(f"$ neurotwin {shlex.join(arguments)}", file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", "neurotwin", *arguments], check=False)
    if done.returncode:
        raise ResourceError(f"neurotwin {arguments[0]} ended with code {done.returncode}", where="demo")


def _results(tasks: Sequence[Task], seconds: float, command: str) -> dict[str, Any]:
    """The numbers in the form of every benchmark of this project."""
    rows = [row for task in tasks for row in _rows(task.cohort.name, task.evaluation, task.shown)]
    return {
        "machine": f"{platform.machine()}, {platform.system()}, {_cores()} cores",
        "versions": {
            "neurotwin": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "lightning", "onnxruntime", "numpy")},
        },
        "command": command,
        "date": date.today().isoformat(),
        "rows": rows,
        "goals": [
            {
                "name": "whole demonstration",
                "goal": GOAL_SECONDS,
                "direction": "<=",
                "measured": round(seconds, 1),
                "unit": "s",
                "cause": "",
            },
            *(_goal(task) for task in tasks),
        ],
    }


def _rows(name: str, report: EvaluationReport, shown: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for variable, scale in shown:
        for predictor in report.predictors:
            score = report.score(predictor, variable, scale)
            found = {
                key: score.metrics[key].pooled for key in ("mae", "rmse", "crps", "coverage") if key in score.metrics
            }
            rows.append(
                {"task": name, "variable": variable, "scale": scale, "predictor": predictor, "unit": score.unit}
                | {key: estimate.value for key, estimate in found.items()}
                | {
                    "mae_interval": [found["mae"].low, found["mae"].high],
                    "subjects": score.n_subjects,
                    "targets": score.n_targets,
                }
            )
    return rows


def _goal(task: Task) -> dict[str, Any]:
    """The surrogate's error against that of the GRU of the same run."""
    variable, scale = task.shown[0]
    ours, theirs = (
        task.evaluation.score(name, variable, scale).metrics["mae"].pooled.value for name in ("neural_ode", "gru")
    )
    name = f"{task.cohort.name}: MAE of {variable} ({scale}) at or below the GRU's"
    missed = ours is None or theirs is None or ours > theirs
    cause = _paired(task.evaluation, variable, scale) if missed else ""
    return {"name": name, "goal": theirs, "direction": "<=", "measured": ours, "unit": "", "cause": cause}


def _paired(evaluation: EvaluationReport, variable: str, scale: str) -> str:
    """How far the two are apart on the same patients."""
    found = next(
        one
        for one in evaluation.differences
        if (one.predictor, one.baseline, one.variable, one.scale, one.horizon)
        == ("neural_ode", "gru", variable, scale, None)
    )
    error = found.metrics["mae"].pooled
    if error.value is None or error.low is None or error.high is None:
        return "no patient was answered by both"
    return (
        f"paired difference {error.value:+.3f} ({error.low:+.3f} to {error.high:+.3f}) over {found.n_subjects} "
        "patients; the GRU is told what the neural ODE is told"
    )


def _cores() -> int:
    return os.cpu_count() or 1


def _print(results: dict[str, Any], seconds: float) -> None:
    console = Console(stderr=True)
    for row in results["rows"]:
        if row["scale"] == results["rows"][0]["scale"]:
            console.print(
                f"{row['task']}: {row['predictor']} MAE of {row['variable']} ({row['scale']} scale) {row['mae']:.3f}"
            )
    console.print(f"the whole road took {seconds:.0f} s")
