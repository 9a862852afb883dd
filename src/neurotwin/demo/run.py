"""neurotwin demo: the whole road, on real and on simulated patients, in one go."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from neurotwin.cohort import Cohort
from neurotwin.errors import ResourceError
from neurotwin.evaluation.report import write_report
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.sections import CohortFacts, Curve, PlanComparison, Points, Task
from neurotwin.evaluation.trajectories import draw_trajectories
from neurotwin.recipes import data_of
from neurotwin.runtime import Predictor, Twin
from neurotwin.training.run_folder import read_config, read_setting, write_json
from neurotwin.verbs.evaluate import evaluate_run
from neurotwin.verbs.evaluate import write_report as write_evaluation
from neurotwin.verbs.examples import patient_document


@dataclass(frozen=True)
class Story:
    """One task of the demonstration."""

    name: str
    title: str
    question: str
    make_cohort: tuple[str, ...]
    quick: tuple[str, ...]
    cut: float
    variable: str
    until: float
    every: float
    plans: tuple[dict[str, Any], dict[str, Any]]
    kind: Any
    description: str
    notes: tuple[str, ...] = ()


def _doses(treatment: str, days: Sequence[float], amount: float, unit: str) -> list[dict[str, Any]]:
    return [{"t": day, "treatment": treatment, "amount": amount, "unit": unit} for day in days]


WEEKDAYS = tuple(float(day) for day in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11))
STORIES = (
    Story(
        "pbc_liver", "Liver: primary biliary cirrhosis", "From the visits of the first 400 days, how do bilirubin and ten other signs go on?",
        ("ingest", "csv", "dataset:pbcseq", "--mapping", "pbcseq", "-o"), ("trainer.max_epochs=3",), 400.0, "bilirubin", 1095.0, 91.25,
        ({"name": "D-penicillamine", "treatments": [{"t": 0, "treatment": "d_penicillamine", "level": 1, "unit": "1"}]},
         {"name": "no treatment", "treatments": []}),
        "real", "Mayo Clinic trial, 1974-1988: D-penicillamine against placebo",
        ("Visits end at death or transplantation: only observed visits are scored.",
         "In this trial D-penicillamine had no effect on survival; a difference between the plans is what the model believes."),
    ),
    Story(
        "lung_tumour", "Lung tumour: chemotherapy and radiotherapy", "From 30 days of treatment, how does the tumour go on under a plan?",
        ("simulate", "seed=1", "output="), ("trainer.max_epochs=2", "data.limit=64"), 30.0, "tumour_volume", 28.0, 1.0,
        ({"name": "radiotherapy", "treatments": _doses("radiotherapy", WEEKDAYS, 2.0, "Gy")},
         {"name": "chemotherapy", "treatments": _doses("chemotherapy", (0.0, 7.0, 14.0, 21.0), 5.0, "mg/m3")}),
        "simulated", "Virtual patients of Geng et al. 2017, treated by a policy that looks at the tumour",
    ),
)  # fmt: skip


def run_demo(out: Path, *, quick: bool = False) -> Path:
    """Walk the road for every story and write ``out/report.html``; returns its path."""
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    cohorts = {story.name: _make_cohort(story, out, quick) for story in STORIES}
    jobs = [(story, model) for story in STORIES for model in ("neural_ode", "gru")]
    _train_all([_train_command(story, model, cohorts[story.name], out, quick) for story, model in jobs], [f"{s.name} {m}" for s, m in jobs], out)
    tasks = []
    for story in STORIES:
        with _step(f"{story.name}: export, evaluate and ask the twin"):
            tasks.append(_tell(story, out, quick))
    command = "make demo" if not quick else "neurotwin demo --quick"
    page = write_report(out / "report.html", "neurotwin demonstration", tasks, created=date.today().isoformat(), command=command,
                        summary="The road from records and simulators to a twin that is asked about plans.")  # fmt: skip
    write_json(out / "summary.json", _summary(tasks, time.monotonic() - begun))
    _print_summary(tasks, time.monotonic() - begun)
    return page


def _make_cohort(story: Story, out: Path, quick: bool) -> Path:
    folder = out / "cohorts" / story.name
    if (folder / "cohort.json").exists():
        return folder
    *first, last = story.make_cohort
    target = [*first, last, str(folder)] if last == "-o" else [*first, f"{last}{folder}", f"n_subjects={200 if quick else 1000}"]
    _run(["-m", "neurotwin", *target])
    return folder


def _train_command(story: Story, model: str, cohort: Path, out: Path, quick: bool) -> list[str]:
    more = list(story.quick) if quick else []
    return ["-m", "neurotwin.train", f"experiment={story.name}", f"model={model}", f"data.cohort={cohort}", "callbacks.progress=null",
            f"paths.output_dir={out / 'runs' / story.name / model}", *more]  # fmt: skip


def _train_all(commands: Sequence[list[str]], names: Sequence[str], out: Path) -> None:
    """Train in as many processes as there are cores, one thread each; a bar per run tells its epochs."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} epochs"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars, ThreadPoolExecutor(max(1, min(len(commands), os.cpu_count() or 1))) as pool:
        jobs = [pool.submit(_train, command, name, out, bars) for command, name in zip(commands, names, strict=True)]
        for job in jobs:
            job.result()


def _train(command: list[str], name: str, out: Path, bars: Progress) -> None:
    folder = Path(next(item.split("=", 1)[1] for item in command if item.startswith("paths.output_dir=")))
    if (folder / "metrics.json").exists():
        return
    bar = bars.add_task(f"train {name}", total=None)
    log = out / "logs" / f"{name.replace(' ', '_')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as output, subprocess.Popen([sys.executable, *command], stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
        while process.poll() is None:
            time.sleep(0.5)
            bars.update(bar, completed=_epochs(folder), total=_total(folder))
    if process.returncode:
        raise ResourceError(f"training of {name} ended with code {process.returncode}", where=str(log), remedy="see the last lines of the log")
    bars.update(bar, completed=_epochs(folder), total=_epochs(folder))


def _epochs(folder: Path) -> int:
    """Epochs in the run's metrics so far."""
    metrics = folder / "metrics.csv"
    if not metrics.exists():
        return 0
    rows = metrics.read_text().splitlines()
    if not rows or "epoch" not in rows[0].split(","):
        return 0
    column = rows[0].split(",").index("epoch")
    numbers = [cells[column] for cells in (row.split(",") for row in rows[1:]) if len(cells) > column and cells[column].isdigit()]
    return int(numbers[-1]) + 1 if numbers else 0


def _total(folder: Path) -> int | None:
    return int(read_config(folder)["trainer"]["max_epochs"]) if (folder / "config.yaml").exists() else None


def _tell(story: Story, out: Path, quick: bool) -> Task:
    """Export, evaluate and ask; returns the story as a section of the report."""
    run, bundle = out / "runs" / story.name / "neural_ode", out / "bundles" / f"{story.name}@0.1.0"
    if not bundle.exists():
        _run(["-m", "neurotwin", "export", str(run), "-o", str(bundle), "--timelines", "100" if quick else "1000"])
    report = evaluate_run(run, [out / "runs" / story.name / "gru"], bundle=bundle, n_bootstrap=200 if quick else 1000)
    write_evaluation(report, out / f"{story.name}_evaluation.json")
    data = data_of(read_config(run))
    test, predictor = data.cohort.part("test"), Predictor.load(bundle)
    subject = _example(test, story)
    card = read_setting(run)[2]
    facts = CohortFacts(story.name, story.kind, story.description, **{f"n_{key}": card["subjects"][part] for key, part in _PARTS.items()},
                        n_observations=sum(card["observations"].values()), source=str(card["provenance"].get("source", "")))  # fmt: skip
    return Task(
        title=story.title, question=story.question, cohort=facts, evaluation=report, main="neural_ode", shown=_shown(report, story),
        labels={"neural_ode": "neural ODE (exported bundle)", "gru": "GRU", "locf": "last value carried forward", "population_mean": "population mean"},
        trajectories=_trajectories(test, predictor, story), comparison=_compare(test, subject, predictor, story, out), notes=story.notes,
    )  # fmt: skip


_PARTS = {"train": "train", "calibration": "validation", "test": "test"}


def _example(test: Cohort, story: Story) -> int:
    """The first test subject with a rich past and a value well above the detection limit at the cut."""
    seen, column = test.observations, [variable.name for variable in test.schema.variables].index(story.variable)
    for subject in range(len(test)):
        own = seen.take((seen.subject == subject) & (seen.variable == column))
        past = own.take(own.time <= story.cut)
        if len(past) >= 3 and len(own) > len(past) and past.value[-1] > 1.0:
            return subject
    return 0


def _shown(report: EvaluationReport, story: Story) -> tuple[tuple[str, Any], ...]:
    scored = list(dict.fromkeys((one.variable, one.scale) for one in report.scores))
    main = [one for one in scored if one[0] == story.variable]
    return (*sorted(main, key=lambda one: one[1] == "natural"), *[one for one in scored if one[0] == "albumin"])


def _trajectories(test: Cohort, predictor: Predictor, story: Story) -> tuple[Any, ...]:
    from neurotwin.evaluation.calibration import calibrated

    return draw_trajectories(calibrated(predictor, predictor.calibration), test, variable=story.variable, cut=story.cut)


def _compare(test: Cohort, subject: int, predictor: Predictor, story: Story, out: Path) -> PlanComparison | None:
    """Ask the twin of one subject about both plans, through documents, as an application does."""
    folder = out / "examples" / story.name
    folder.mkdir(parents=True, exist_ok=True)
    patient = patient_document(test, subject, story.cut)
    query = {"every": story.every, "until": story.until}
    plans = [{**plan, "time_unit": test.schema.time_unit, "query": query} for plan in story.plans]
    answer = Twin.of(predictor, patient).compare(plans)
    for name, content in (("patient", patient), ("plan_a", plans[0]), ("plan_b", plans[1]), ("answer", answer)):
        write_json(folder / f"{name}.json", content)
    if any(one["prediction"] is None for one in answer["plans"]):
        return None
    rows = [[row for row in one["prediction"] if row["channel"] == story.variable] for one in answer["plans"]]
    gaps = [row for row in answer["differences"] if row["channel"] == story.variable]
    variable = next(item for item in test.schema.variables if item.name == story.variable)
    past = [row for row in patient["observations"] if row["variable"] == story.variable]
    return PlanComparison(
        title="One patient, two plans", variable=story.variable, unit=variable.unit, time_unit=test.schema.time_unit,
        level=predictor.calibration.level, cut=story.cut, names=(plans[0]["name"], plans[1]["name"]), first=_curve(rows[0]), second=_curve(rows[1]),
        difference=_curve(gaps), counterfactual=answer["counterfactual"], history=Points.of([row["t"] for row in past], [row["value"] for row in past]),
        note="The band of the difference is the spread between the model's joint draws; it holds no doubt about the model itself.",
    )  # fmt: skip


def _curve(rows: Sequence[dict[str, Any]]) -> Curve:
    return Curve.of(*np.array([[row["t"], row["median"], row["interval"]["lo"], row["interval"]["hi"]] for row in rows]).T)


def _summary(tasks: Sequence[Task], seconds: float) -> dict[str, Any]:
    scores = {}
    for task in tasks:
        variable, scale = task.shown[0]
        scores[task.cohort.name] = {
            predictor: {"mae": task.evaluation.score(predictor, variable, scale).metrics["mae"].pooled.value} for predictor in task.evaluation.predictors
        } | {"variable": variable, "scale": scale}  # fmt: skip
    return {"seconds": round(seconds, 1), "scores": scores}


def _print_summary(tasks: Sequence[Task], seconds: float) -> None:
    console = Console(stderr=True)
    for name, found in _summary(tasks, seconds)["scores"].items():
        numbers = ", ".join(f"{key} {value['mae']:.3f}" for key, value in found.items() if isinstance(value, dict))
        console.print(f"{name}: MAE of {found['variable']} ({found['scale']}) on held-out patients: {numbers}")
    console.print(f"the whole road took {seconds:.0f} s")


def _run(arguments: Sequence[str]) -> None:
    """A verb in a process of its own, as a user would call it."""
    print(f"$ neurotwin {shlex.join(arguments[2:])}", file=sys.stderr)
    done = subprocess.run([sys.executable, *arguments], check=False)
    if done.returncode:
        raise ResourceError(f"neurotwin {arguments[2]} ended with code {done.returncode}", where="demo")


@contextmanager
def _step(text: str) -> Iterator[None]:
    with Console(stderr=True).status(text):
        yield
