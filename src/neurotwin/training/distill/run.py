"""Distil a run: from a trained neural ODE to the folder of a run whose model is its flow map."""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from neurotwin.errors import ConfigError
from neurotwin.models import Surrogate
from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.training import run_folder
from neurotwin.training.callbacks import Checkpoints, StopWhenBadNumbers
from neurotwin.training.distill.data import CourseData
from neurotwin.training.distill.loss import CourseLoss
from neurotwin.training.distill.measure import measure
from neurotwin.training.distill.module import Distillation
from neurotwin.training.resume import ResumePoints
from neurotwin.training.schedule import warmup_cosine
from neurotwin.training.train import ModelFactory, Recipe, load_model, train

PARTS_OF_TRAINING = ("loss", "optimizer", "scheduler", "trainer", "callbacks", "logger", "debug", "resume")


@dataclass(frozen=True)
class DistillOptions:
    """How a run is distilled.

    Attributes:
        steps: of training, 128 subjects' courses each.
        hidden: width of the flow map.
        rates: at which a plan is remembered.
        seed: of weights and courses.
        learning_rate: highest of the schedule.
    """

    steps: int = 6000
    hidden: int = 64
    rates: int = 6
    seed: int = 1
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("hidden", 1), ("rates", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}", where="distill", expected=f"at least {least}")


def check_folders(run: Path, output: Path, resume: bool) -> None:
    """Raises ConfigError unless there is a run and the output may be written to."""
    run_folder.read_config(run)
    if not (best := run / run_folder.CHECKPOINTS / run_folder.BEST).is_file():
        raise ConfigError("the run has no checkpoint", where=str(best), remedy="train it: neurotwin train")
    if resume and not (output / run_folder.CONFIG).is_file():
        raise ConfigError("no distillation to go on with", where=str(output), remedy="drop --resume")
    if not resume and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(
            "the output folder exists already", where=str(output), remedy="add --resume, or choose another folder"
        )


def distilled_config(run: Path, output: Path, options: DistillOptions) -> dict[str, Any]:
    """The resolved configuration of the run to be: the teacher's data and questions, and the flow map around its model.

    Raises:
        ConfigError: the output was distilled from other weights.
    """
    config = copy.deepcopy(run_folder.read_config(run))
    weights = hashlib.sha256((run / run_folder.CHECKPOINTS / run_folder.BEST).read_bytes()).hexdigest()
    if (output / run_folder.CONFIG).is_file():
        before = run_folder.read_config(output).get("distill", {}).get("teacher", {}).get("sha256")
        if before != weights:
            raise ConfigError("the folder was not distilled from this run", where=str(output), expected=str(run))
    teacher = config["model"]
    for name in PARTS_OF_TRAINING:
        config.pop(name, None)
    return {
        **config,
        "name": f"{config.get('name', 'run')}_distilled",
        "seed": options.seed,
        "model": {
            "_target_": "neurotwin.models.DistilledFlow",
            "_partial_": True,
            "teacher": teacher,
            "hidden": options.hidden,
            "rates": options.rates,
        },
        "distill": {**asdict(options), "teacher": {"run": run.name, "sha256": weights, "seed": config["seed"]}},
        "paths": {**config.get("paths", {}), "output_dir": str(output)},
    }


def distill(
    config: dict[str, Any],
    teacher: Surrogate,
    factory: ModelFactory,
    options: DistillOptions,
    *,
    resume: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the flow map, measure it on test subjects, and leave a run's folder.

    Args:
        config: of `distilled_config`.
        teacher: trained.
        factory: what makes the `DistilledFlow` of the configuration.
        resume: go on from the last checkpoint.
        progress: show a bar on stderr.

    Returns the run's metrics, with ``distilled`` among them (`neurotwin.training.distill.measure`).

    Raises:
        The errors of `neurotwin.training.train`; ConfigError for a model that cannot be distilled, or a cohort that is
        no longer what the teacher was trained on.
    """
    output, how = Path(config["paths"]["output_dir"]), dict(config["data"])
    how.pop("_target_")
    data = CourseData(**{**how, "seed": options.seed})

    def student(schema: Any, scaling: Any) -> Surrogate:
        made = factory(schema, scaling)
        if isinstance(made, DistilledFlow):
            made.teacher.load_state_dict(teacher.state_dict())
        return made

    train(_recipe(config, data, student, options, output, resume=resume, progress=progress))
    model = load_model(output, factory)
    if not isinstance(model, DistilledFlow):
        raise ConfigError(f"a {type(model).__name__} is no flow map", where="distill")
    part = data.cohort.part("test", data.rotation)
    found = measure(model, data, part, list(config.get("evaluation", {}).get("horizons", [])))
    return add_to_metrics(output, {"teacher": config["distill"]["teacher"], **found})


def _recipe(
    config: dict[str, Any],
    data: CourseData,
    model: ModelFactory,
    options: DistillOptions,
    output: Path,
    *,
    resume: bool,
    progress: bool,
) -> Recipe:
    checkpoints = Checkpoints(
        dirpath=output / run_folder.CHECKPOINTS,
        filename="best",
        monitor="validation/loss",
        save_top_k=1,
        enable_version_counter=False,
    )
    bar: Sequence[pl.Callback] = [RichProgressBar(console_kwargs={"stderr": True})] if progress else []
    return Recipe(
        data=data,
        model=model,
        loss=CourseLoss(),
        optimizer=partial(torch.optim.AdamW, lr=options.learning_rate, weight_decay=1e-4),
        scheduler=warmup_cosine,
        trainer=partial(
            pl.Trainer,
            accelerator="cpu",  # courses are drawn in the main process, and the networks are small
            max_epochs=-(-options.steps // data.steps),
            gradient_clip_val=1.0,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_model_summary=False,
        ),
        callbacks=[checkpoints, ResumePoints(output / run_folder.CHECKPOINTS), StopWhenBadNumbers(), *bar],
        loggers=[CSVLogger(save_dir=output, name="", version="")],
        output_dir=output,
        seed=options.seed,
        resume=resume,
        config=config,
        training=Distillation,
    )


def add_to_metrics(folder: Path, distilled: dict[str, Any]) -> dict[str, Any]:
    """Write what was measured into the run's metrics, and return them."""
    path = folder / run_folder.METRICS
    metrics = {**json.loads(path.read_text()), "distilled": distilled}
    run_folder.write_json(path, metrics)
    return metrics
