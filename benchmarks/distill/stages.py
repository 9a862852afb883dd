"""From nothing to two bundles, the neural ODE's and its flow map's; what stands already is kept."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotwin.export import export_bundle
from neurotwin.recipes import export_source
from neurotwin.verbs.evaluate import compare_runs


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained; the model has 8 states and 64 units, as the floor has."""

    subjects: int = 1000
    epochs: int = 20
    steps: int = 4000
    timelines: int = 300
    hidden: int = 48
    rates: int = 4


QUICK = Size(subjects=120, epochs=1, steps=48, timelines=100)


def prepare(folder: Path, size: Size) -> dict[str, Path]:
    """Cohort, teacher, student and both bundles below ``folder``."""
    cohort, teacher, student = (folder / name for name in ("cohort", "teacher", "student"))
    if not (cohort / "cohort.json").is_file():
        _neurotwin("simulate", f"n_subjects={size.subjects}", "seed=1", f"output={cohort}")
    if not (teacher / "metrics.json").is_file():
        _neurotwin(
            "train", "experiment=lung_tumour", f"data.cohort={cohort}", "model.memory=7", "model.hidden=64",
            "model.draws=1", f"trainer.max_epochs={size.epochs}", "callbacks.progress=null",
            f"paths.output_dir={teacher}", "resume=true",
        )  # fmt: skip
    if "distilled" not in _metrics(student):
        more = ["--resume"] if (student / "config.yaml").is_file() else []
        shape = "--steps", str(size.steps), "--hidden", str(size.hidden), "--rates", str(size.rates)
        _neurotwin("distill", str(teacher), "-o", str(student), *shape, *more)
    bundles = {name: folder / f"{name}_bundle" / "lung@0.1.0" for name in ("teacher", "student")}
    for name, path in bundles.items():
        if not path.exists():
            export_bundle(export_source(folder / name), path, timelines=size.timelines)
    return bundles


def told(folder: Path) -> dict[str, Any]:
    """What the distillation measured of itself, and how long it took."""
    metrics = _metrics(folder / "student")
    return metrics["distilled"] | {"seconds": metrics["seconds"], "steps": metrics["steps"]}


def accuracy(folder: Path, n_bootstrap: int) -> list[dict[str, Any]]:
    """Teacher and student against what came true on test subjects, and their paired difference."""
    report = compare_runs([folder / "teacher", folder / "student"], n_bootstrap=n_bootstrap)
    rows = []
    for one in (*report.scores, *report.differences):
        if one.horizon is not None or one.predictor not in ("neural_ode", "distilled_flow"):
            continue
        difference = hasattr(one, "baseline")
        if difference and one.baseline != "neural_ode":
            continue
        name = "distilled less solved" if difference else {"neural_ode": "solved"}.get(one.predictor, "distilled")
        row: dict[str, Any] = {"forecast": name, "variable": one.variable, "scale": one.scale, "targets": one.n_targets}
        for metric in ("mae", "crps", "coverage"):
            if metric in one.metrics:
                found = one.metrics[metric].pooled
                row[metric] = found.value
                row |= {f"{metric}_low": found.low, f"{metric}_high": found.high} if difference else {}
        rows.append(row)
    return rows


def _metrics(run: Path) -> dict[str, Any]:
    path = run / "metrics.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _neurotwin(*arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "neurotwin", *arguments], check=True, env=environment)
