"""Training of a task's surrogate by the project's own trainer, and its weights."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cancer.models import read_weights, write_weights
from benchmarks.physics.cohorts import WORK, cohort_of
from benchmarks.physics.questions import STEPS_PER_EPOCH, WholeCourses
from benchmarks.physics.tasks import Refinement, Task
from torch import nn

from neurotwin import compose
from neurotwin.errors import ConfigError
from neurotwin.models import Surrogate
from neurotwin.recipes import load_run, recipe_of
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training import train
from neurotwin.training.run_folder import CHECKPOINTS, LAST, METRICS, read_setting
from neurotwin.training.train import ModelFactory

BELIEF = 7.0
"""Logit of the share of a surprise that is taken over at first."""
WEIGHTS = Path(__file__).resolve().parent / "weights"
NO_BARS = ("callbacks.progress=null", "callbacks.early_stopping=null", "+trainer.check_val_every_n_epoch=2")


def trained(task: Task, patients: int, *, name: str = "", more: Sequence[str] = ()) -> tuple[Surrogate, dict[str, Any]]:
    """The task's surrogate and what to tell of its training: trained, gone on with, or read if it is done.

    Args:
        patients: to train and validate on.
        name: of the run, beside that of the task.
        more: settings, in Hydra's syntax.
    """
    folder = WORK / "models" / f"{task.name}{name}"
    cohort = WORK / "cohorts" / f"{task.name}_{patients}"
    if not (cohort / "cohort.json").exists():
        cohort_of(task, "training", patients).save(cohort)
    _train(task, cohort, folder, more, None)
    if task.refined is not None:
        refined = folder.with_name(f"{folder.name}_refined")
        _train(refined_task(task, task.refined), cohort, refined, more, folder)
        folder = refined
    model, config = load_run(folder)
    _, scaling, _ = read_setting(folder)
    metrics = json.loads((folder / METRICS).read_text())
    told = {key: metrics[key] for key in ("parameters", "best_validation_loss")}
    told |= {"steps": [task.steps, *([task.refined.steps] if task.refined else [])], "patients": patients}
    told["model_config"] = config["model"]
    if not (name or more):
        write_weights(weights_path(task), model, scaling, told)
    return model, told


def refined_task(task: Task, how: Refinement) -> Task:
    """The task as the second training sees it."""
    settings = (*task.settings, f"optimizer.lr={how.rate}")
    return replace(
        task, segment=how.segment, early=how.early, batch=how.batch, steps=how.steps, settings=settings, refined=None
    )


def _train(task: Task, cohort: Path, folder: Path, more: Sequence[str], begun: Path | None) -> None:
    """Train, or go on, unless it is done; from the model of the run ``begun``, or from nothing."""
    if (folder / METRICS).exists():
        return
    resume = (folder / CHECKPOINTS / LAST).exists()
    recipe = recipe_of(compose.compose("train", settings_of(task, cohort, folder, more, resume=resume)))
    data, model = WholeCourses(task, str(cohort)), trusting(recipe.model)
    if begun is not None:
        first, _ = load_run(begun)
        data.known_scaling, model = read_setting(begun)[1], lambda schema, scaling: first
    train(replace(recipe, data=data, model=model))


def trusting(factory: ModelFactory) -> ModelFactory:
    """The same models, which begin by believing the visit at time 0: it is exact."""

    def make(schema: Schema, scaling: Scaling) -> Surrogate:
        model = factory(schema, scaling)
        nn.init.constant_(model.gain.bias, BELIEF)
        return model

    return make


def settings_of(task: Task, cohort: Path, folder: Path, more: Sequence[str], *, resume: bool) -> list[str]:
    """Overrides of ``conf/train.yaml``."""
    return [
        *task.settings,
        f"trainer.max_epochs={task.steps // STEPS_PER_EPOCH}",
        f"data.cohort={cohort}",
        f"paths.output_dir={folder}",
        f"name=physics_{task.name}",
        f"resume={str(resume).lower()}",
        *NO_BARS,
        *more,
    ]


def weights_path(task: Task) -> Path:
    """Where the repository keeps the weights of a task."""
    return WEIGHTS / f"{task.name}.safetensors"


def kept(task: Task) -> tuple[Surrogate, dict[str, Any]]:
    """The kept model in evaluation mode, and what was told of its training. Raises ConfigError where none is kept."""
    path = weights_path(task)
    if not path.exists():
        raise ConfigError("no weights are kept", where=str(path), remedy="train without --evaluate-only")
    return read_weights(path)
