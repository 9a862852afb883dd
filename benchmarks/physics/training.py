"""Training of a task's surrogate by the project's own trainer, stage by stage, and its weights."""

import ctypes
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.physics.cohorts import WORK, cohort_of
from benchmarks.physics.questions import STEPS_PER_EPOCH, WholeCourses
from benchmarks.physics.tasks import Stage, Task
from benchmarks.weights import read_weights, write_weights
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

BELIEF = 14.0
"""Logit of the share of a surprise that is taken over at first: all of it, to a millionth."""
WEIGHTS = Path(__file__).resolve().parent / "weights"
NO_BARS = ("callbacks.progress=null", "callbacks.early_stopping=null", "+trainer.check_val_every_n_epoch=2")
MMAP_THRESHOLD, TRIM_THRESHOLD, LARGE = -3, -1, 2**30


def trained(task: Task, *, name: str = "", more: Sequence[str] = ()) -> tuple[Surrogate, dict[str, Any]]:
    """The task's surrogate and what to tell of its training: trained, gone on with, or read if it is done.

    Args:
        name: of the run, beside that of the task; the weights of a named run are not kept in the repository.
        more: settings, in Hydra's syntax.
    """
    cohort = WORK / "cohorts" / f"{task.name}_{task.patients}_{task.training_schedule.interval:g}"
    if not (cohort / "cohort.json").exists():
        cohort_of(task, "training", task.patients).save(cohort)
    reuse_memory()
    folder: Path | None = None
    for number, stage in enumerate(task.stages, 1):
        folder, begun = WORK / "models" / f"{task.name}{name}_stage{number}", folder
        _train(task, stage, cohort, folder, more, begun)
    if folder is None:
        raise ConfigError("there is nothing to train", where=task.name, expected="at least one stage")
    model, config = load_run(folder)
    _, scaling, _ = read_setting(folder)
    metrics = json.loads((folder / METRICS).read_text())
    told = {key: metrics[key] for key in ("parameters", "best_validation_loss")}
    told |= {"steps": [stage.steps for stage in task.stages], "patients": task.patients}
    told["seconds"] = [
        json.loads((folder.with_name(f"{task.name}{name}_stage{number}") / METRICS).read_text())["seconds"]
        for number in range(1, len(task.stages) + 1)
    ]
    told["model_config"] = config["model"]
    if not (name or more):
        write_weights(weights_path(task), model, scaling, told)
    return model, told


def _train(task: Task, stage: Stage, cohort: Path, folder: Path, more: Sequence[str], begun: Path | None) -> None:
    """Train, or go on, unless it is done; from the model of the run ``begun``, or from nothing."""
    if (folder / METRICS).exists():
        return
    resume = (folder / CHECKPOINTS / LAST).exists()
    recipe = recipe_of(compose.compose("train", settings_of(task, stage, cohort, folder, more, resume=resume)))
    data, model = WholeCourses(task, stage, str(cohort)), trusting(recipe.model)
    if begun is not None:
        first, _ = load_run(begun)
        data.known_scaling, model = read_setting(begun)[1], lambda schema, scaling: first.train()
    train(replace(recipe, data=data, model=model))


def reuse_memory() -> None:
    """Ask glibc to keep freed memory, where there is one to ask.

    A training step frees and asks for the same tensors again and again. Those above 128 KiB would go back to the
    system each time, and clearing their pages takes longer than the arithmetic on them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGE)
        mallopt(TRIM_THRESHOLD, LARGE)


def trusting(factory: ModelFactory) -> ModelFactory:
    """The same models, which begin by believing the visit at time 0: it is exact."""

    def make(schema: Schema, scaling: Scaling) -> Surrogate:
        model = factory(schema, scaling)
        nn.init.constant_(model.gain.bias, BELIEF)
        return model

    return make


def settings_of(
    task: Task, stage: Stage, cohort: Path, folder: Path, more: Sequence[str], *, resume: bool
) -> list[str]:
    """Overrides of ``conf/train.yaml``."""
    return [
        *task.model,
        f"optimizer.lr={stage.rate}",
        f"trainer.max_epochs={stage.steps // STEPS_PER_EPOCH}",
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
