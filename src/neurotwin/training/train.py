"""Train one surrogate and leave a run folder."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

from neurotwin import __version__
from neurotwin.cohort import read_manifest
from neurotwin.data import CohortData
from neurotwin.errors import ConfigError, SolverError
from neurotwin.models import Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training import run_folder
from neurotwin.training.callbacks import Checkpoints
from neurotwin.training.checkpoint import SafetensorsCheckpoints, read_checkpoint
from neurotwin.training.module import SurrogateTraining

ModelFactory = Callable[[Schema, Scaling], Surrogate]


@dataclass(frozen=True)
class Recipe:
    """Everything that a run is made of, as objects. ``config`` is the plain data that they were made from."""

    data: CohortData
    model: ModelFactory
    loss: torch.nn.Module
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[..., Any] | None
    trainer: Callable[..., pl.Trainer]
    callbacks: Sequence[pl.Callback]
    loggers: Sequence[Logger]
    output_dir: Path
    seed: int
    resume: bool
    config: dict[str, Any]


def train(recipe: Recipe) -> dict[str, Any]:
    """Train and return the run's metrics, which also stand in its folder.

    Raises:
        OutputInUseError: another run holds the folder.
        ConfigError: the folder holds a run and ``resume`` was not asked for, or a device is not there.
        SolverError: too many subjects cannot be solved, or the loss is not finite.
    """
    with run_folder.held(recipe.output_dir):
        last = recipe.output_dir / run_folder.CHECKPOINTS / run_folder.LAST
        if last.exists() and not recipe.resume:
            raise ConfigError("the output folder holds a run already", where=str(recipe.output_dir), remedy="add resume=true, or choose another paths.output_dir")
        return _train(recipe, last if recipe.resume and last.exists() else None)


def load_model(folder: Path, factory: ModelFactory, checkpoint: str = run_folder.BEST) -> Surrogate:
    """The trained model of a run, in evaluation mode."""
    schema, scaling, _ = run_folder.read_setting(folder)
    model = factory(schema, scaling)
    content = read_checkpoint(folder / run_folder.CHECKPOINTS / checkpoint)
    weights = {name.removeprefix("model."): value for name, value in content["state_dict"].items() if name.startswith("model.")}
    model.load_state_dict(weights)
    return model.eval()


def _train(recipe: Recipe, checkpoint: Path | None) -> dict[str, Any]:
    pl.seed_everything(recipe.seed, verbose=False)
    cohort = recipe.data.cohort
    scaling = recipe.data.scaling()
    model = recipe.model(cohort.schema, scaling)
    recipe.data.max_step = model.solver.max_step
    run_folder.write_setting(recipe.output_dir, recipe.config, cohort.schema, scaling, _data_card(recipe))
    module = SurrogateTraining(model, recipe.loss, recipe.optimizer, recipe.scheduler)
    trainer = recipe.trainer(
        callbacks=list(recipe.callbacks), logger=list(recipe.loggers) or False, plugins=[SafetensorsCheckpoints()],
        default_root_dir=str(recipe.output_dir), reload_dataloaders_every_n_epochs=1,
    )  # fmt: skip
    begun = time.monotonic()
    with warnings.catch_warnings():
        # Advice that does not apply: batches are made by numpy in the main process, which is fast enough.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*fewer than|.*smaller than the logging interval.*")
        trainer.fit(module, datamodule=recipe.data, ckpt_path=str(checkpoint) if checkpoint else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    metrics = _metrics(trainer, module, time.monotonic() - begun)
    if trainer.is_global_zero:
        run_folder.write_json(recipe.output_dir / run_folder.METRICS, metrics)
    if metrics["best_validation_loss"] is None and not trainer.fast_dev_run:
        raise SolverError("the validation loss was never finite", where=str(recipe.output_dir), remedy="lower the learning rate")
    return metrics


def _metrics(trainer: pl.Trainer, module: SurrogateTraining, seconds: float) -> dict[str, Any]:
    best = next((float(item.best_model_score) for item in trainer.callbacks
                 if isinstance(item, Checkpoints) and item.best_model_score is not None), None)  # fmt: skip
    return {
        "best_validation_loss": best, "epochs": trainer.current_epoch, "steps": trainer.global_step,
        "parameters": sum(item.numel() for item in module.model.parameters()), "failed_subjects": module.failed,
        "seconds": round(seconds, 2), "versions": {"neurotwin": __version__, "torch": torch.__version__, "lightning": pl.__version__},
    }  # fmt: skip


def _data_card(recipe: Recipe) -> dict[str, Any]:
    manifest = read_manifest(recipe.data.folder)
    parts = {name: recipe.data.cohort.part(name, recipe.data.rotation) for name in ("train", "validation", "test")}
    return {
        "cohort": str(recipe.data.folder.resolve()), "sha256": manifest["sha256"], "provenance": manifest["provenance"],
        "rotation": recipe.data.rotation, "subjects": {name: len(part) for name, part in parts.items()},
        "observations": {name: len(part.observations) for name, part in parts.items()},
    }  # fmt: skip
