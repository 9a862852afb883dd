"""The amortised twins: one for each conf/experiment/personalise_TASK_MODEL.yaml, trained by the project's own command
on a cohort of the same simulator, exported as a bundle. Weights are kept: a bundle can be made without training.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.personalise.personal_forecasts.tasks import WORK, Task
from benchmarks.weights import read_weights, write_weights

from neurotwin.cohort import Cohort
from neurotwin.demo.trainings import train_all
from neurotwin.errors import ConfigError
from neurotwin.export import Source, export_bundle
from neurotwin.export.graphs import Precision
from neurotwin.models import Surrogate
from neurotwin.paths import conf_dir
from neurotwin.recipes import load_run
from neurotwin.runtime import Predictor
from neurotwin.scaling import Scaling
from neurotwin.training.checkpoint import read_checkpoint
from neurotwin.training.run_folder import METRICS, read_setting

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
KNOWS = {
    "bayes_ode": "{n} simulated patients; no equation",
    "hybrid_ode": "{n} simulated patients; the equations, not the population or the noise",
}
TIMELINES = 200
PLAN: dict[str, Precision] = {"neural_mixed": "float64"}
"""Precision of plans: its course is a sum of large terms on the far plans that an export proves."""


def models_of(task: Task) -> list[str]:
    """Those with a YAML."""
    prefix = f"personalise_{task.name}_"
    return sorted(path.stem.removeprefix(prefix) for path in (conf_dir() / "experiment").glob(f"{prefix}*.yaml"))


def weights_path(task: Task, model: str) -> Path:
    """Where the repository keeps the weights."""
    return WEIGHTS / f"{task.name}_{model}.safetensors"


def trained(task: Task, model: str, *, evaluate_only: bool, work: Path = WORK) -> Source:
    """Train, go on, or read what was trained before; the source of a bundle.

    Args:
        evaluate_only: from the weights in the repository.

    Raises:
        ConfigError: ``evaluate_only``, and there are no weights.
    """
    kept, cohort = weights_path(task, model), task.training_folder(model, work)
    if not evaluate_only:
        folder = work / "models" / f"{task.name}_{model}"
        train_all({folder: [f"experiment=personalise_{task.name}_{model}", f"data.cohort={cohort}"]}, work / "logs")
        surrogate, config = load_run(folder)
        keep(kept, surrogate, folder, config)
    if not kept.exists():
        raise ConfigError(f"no weights of {model}", where=str(kept), remedy="train without --evaluate-only")
    surrogate, told = read_weights(kept)
    scaling = Scaling.from_dict(read_checkpoint(kept)["scaling"])
    config = {**told["config"], "model": told["model_config"]}
    return Source(surrogate, scaling, Cohort.load(cohort), told["data"], config, told["metrics"])


def keep(path: Path, surrogate: Surrogate, folder: Path, config: dict[str, Any]) -> None:
    """Weights and all that an export asks of a run, but for paths of this machine."""
    _, scaling, data = read_setting(folder)
    shown = {name: config[name] for name in ("name", "seed", "evaluation", "data")}
    shown["data"] = {**shown["data"], "cohort": Path(shown["data"]["cohort"]).name}
    told = {"model_config": config["model"], "config": shown, "metrics": json.loads((folder / METRICS).read_text())}
    write_weights(path, surrogate, scaling, told | {"data": {**data, "cohort": Path(data["cohort"]).name}})


def bundle_of(task: Task, model: str, source: Source, work: Path = WORK) -> Predictor:
    """The exported bundle, loaded with one thread and its golden cases answered. Its history is in double precision:
    a patient's measurements are far more exact than what the population leaves open."""
    folder = bundle_path(task, model, work)
    shutil.rmtree(folder, ignore_errors=True)
    export_bundle(source, folder, timelines=TIMELINES, history="float64", plan=PLAN.get(model, "float32"))
    return Predictor.load(folder, threads=1)


def bundle_path(task: Task, model: str, work: Path = WORK) -> Path:
    """Where a run leaves the bundle."""
    return work / "bundles" / f"{task.name}_{model}@0.1.0"


def knows(task: Task, model: str) -> str:
    """What a twin is given beside the record, in words."""
    return KNOWS.get(model, KNOWS["bayes_ode"]).format(n=int(0.6 * task.training_size(model)))
