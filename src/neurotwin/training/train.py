"""Train one surrogate and leave a run folder."""

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.loggers import Logger

from neurotwin import __version__
from neurotwin.cohort import read_manifest
from neurotwin.data import CohortData
from neurotwin.disk import FULL
from neurotwin.errors import ConfigError, IntegrityError, ResourceError, SolverError
from neurotwin.models import Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training import run_folder
from neurotwin.training.branch import Parent
from neurotwin.training.callbacks import Checkpoints
from neurotwin.training.checkpoint import SafetensorsCheckpoints, read_checkpoint
from neurotwin.training.compiling import compile_networks, refusal
from neurotwin.training.devices import check_devices
from neurotwin.training.module import MEASURES, SurrogateTraining
from neurotwin.training.resume import ResumePoints, newest
from neurotwin.training.tracking import guarded

log = logging.getLogger(__name__)
ModelFactory = Callable[[Schema, Scaling], Surrogate]


@dataclass(frozen=True)
class Recipe:
    """Everything that a run is made of, as objects. ``config`` is the plain data that they were made from, ``training``
    what goes through its steps, ``branch_from`` the folder of a run whose weights it begins with, ``compiled`` whether
    torch compiles the model's networks."""

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
    training: type[SurrogateTraining] = SurrogateTraining
    branch_from: Path | None = None
    compiled: bool = False


def train(recipe: Recipe) -> dict[str, Any]:
    """Train and return the run's metrics, which also stand in its folder.

    Raises:
        OutputInUseError: another run holds the folder.
        ConfigError: the folder holds a run and ``resume`` was not asked for, or one of other data or another model, or
            a device is not there.
        IntegrityError: no checkpoint to resume from is whole.
        SolverError: too many subjects cannot be solved, or the loss is not finite.
        ResourceError: the disk is full; what was written before is whole.
        PreemptedError: a signal ended the run, which can be resumed.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # devices found, tips, reasons to stop
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    try:
        # Whatever can be refused is refused before anything is written.
        module, trainer, scaling, parent = _prepare(recipe)
        with run_folder.held(recipe.output_dir) if trainer.is_global_zero else nullcontext():
            checkpoint = newest(recipe.output_dir, trainer.is_global_zero) if recipe.resume else None
            if not recipe.resume and run_folder.is_begun(recipe.output_dir):
                raise ConfigError(
                    "the output folder holds a run already",
                    where=str(recipe.output_dir),
                    remedy="add resume=true, or choose another paths.output_dir",
                )
            if recipe.resume and checkpoint is None and trainer.is_global_zero:
                log.warning("no checkpoint to resume from in %s: the run begins anew", recipe.output_dir)
            return _train(recipe, module, trainer, scaling, checkpoint, parent)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ResourceError(
            f"the disk is full ({os.strerror(error.errno or 0)})",
            where=str(recipe.output_dir),
            remedy="make room and add resume=true; the last checkpoint is whole",
        ) from None


def load_model(folder: Path, factory: ModelFactory, checkpoint: str = run_folder.BEST) -> Surrogate:
    """The trained model of a run, in evaluation mode.

    Raises:
        IntegrityError: its weights do not fit or are not finite.
    """
    schema, scaling, _ = run_folder.read_setting(folder)
    model = factory(schema, scaling)
    path = folder / run_folder.CHECKPOINTS / checkpoint
    content = read_checkpoint(path)
    try:
        weights = {
            name.removeprefix("model."): value
            for name, value in content["state_dict"].items()
            if name.startswith("model.")
        }
        model.load_state_dict(weights)
    except (KeyError, AttributeError, RuntimeError):
        raise IntegrityError(
            "the checkpoint's weights do not fit the run's model", where=str(path), remedy="train again"
        ) from None
    if not all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
        raise IntegrityError(
            "the checkpoint holds weights that are not finite", where=str(path), remedy="train again"
        ) from None
    return model.eval()


def _prepare(recipe: Recipe) -> tuple[SurrogateTraining, pl.Trainer, Scaling, Parent | None]:
    """Everything up to the fit, in memory."""
    pl.seed_everything(recipe.seed, verbose=False)
    cohort = recipe.data.cohort
    parent = None if recipe.branch_from is None else Parent.read(recipe.branch_from, cohort.schema)
    scaling = recipe.data.scaling() if parent is None else parent.scaling
    for part in (recipe.data.train_part, recipe.data.validation_part):
        part()
    model = recipe.model(cohort.schema, scaling)
    recipe.data.max_step, recipe.data.events = model.solver.max_step, model.tells_risk
    if parent is not None:
        parent.give(model)
    if recipe.compiled:
        compile_networks(model)
    module = recipe.training(model, recipe.loss, recipe.optimizer, recipe.scheduler, seed=recipe.seed)
    trainer = recipe.trainer(
        callbacks=sorted(recipe.callbacks, key=lambda item: isinstance(item, ResumePoints)),  # they hold the others
        logger=[guarded(item) for item in recipe.loggers] or False,
        plugins=[SafetensorsCheckpoints()],
        default_root_dir=str(recipe.output_dir),
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,  # each process takes its share of every batch, see `CohortData`
        enable_progress_bar=any(isinstance(item, ProgressBar) for item in recipe.callbacks),
    )
    check_devices(recipe.config.get("trainer") or {}, trainer)
    return module, trainer, scaling, parent


def _train(
    recipe: Recipe,
    module: SurrogateTraining,
    trainer: pl.Trainer,
    scaling: Scaling,
    checkpoint: Path | None,
    parent: Parent | None,
) -> dict[str, Any]:
    card = _data_card(recipe, trainer.world_size, parent)
    if checkpoint:
        run_folder.check_same_run(recipe.output_dir, recipe.config, scaling, card)
    if trainer.is_global_zero:
        if checkpoint:
            run_folder.keep_log(recipe.output_dir)
        run_folder.write_setting(recipe.output_dir, recipe.config, recipe.data.cohort.schema, scaling, card)
    begun = time.monotonic()
    with warnings.catch_warnings():
        # Advice that does not apply: batches are made by numpy in the main process, which is fast enough.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        # The run folder holds the configuration before the loggers open it.
        warnings.filterwarnings("ignore", message=".* directory .* exists and is not empty.*")
        # What is logged has been summed over all processes before.
        warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
        # The data module goes on after the batches that were done.
        warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before the epoch ended.*")
        try:
            trainer.fit(module, datamodule=recipe.data, ckpt_path=str(checkpoint) if checkpoint else None)
        except MisconfigurationException as error:
            raise ConfigError(str(error).strip().splitlines()[0], where="trainer or callbacks") from None
        except RuntimeError as error:
            if (told := refusal(error)) is not None:
                raise told from None
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt
    metrics = _metrics(trainer, module, time.monotonic() - begun)
    if trainer.is_global_zero:
        run_folder.write_json(recipe.output_dir / run_folder.METRICS, metrics)
    if metrics["best_validation_loss"] is None and not getattr(trainer, "fast_dev_run", False):
        raise SolverError(
            "the validation loss was never finite", where=str(recipe.output_dir), remedy="lower the learning rate"
        )
    return metrics


def _metrics(trainer: pl.Trainer, module: SurrogateTraining, seconds: float) -> dict[str, Any]:
    best = next(
        (
            float(item.best_model_score)
            for item in trainer.checkpoint_callbacks
            if isinstance(item, Checkpoints) and item.best_model_score is not None
        ),
        None,
    )
    return {
        "best_validation_loss": best,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "parameters": sum(item.numel() for item in module.model.parameters()),
        "failed_subjects": module.failed,
        "measures": {name.removeprefix(MEASURES): value for name, value in module.measures.items()},
        "seconds": round(seconds, 2),
        "versions": {"neurotwin": __version__, "torch": torch.__version__, "lightning": version("lightning")},
    }


def _data_card(recipe: Recipe, processes: int, parent: Parent | None) -> dict[str, Any]:
    manifest = read_manifest(recipe.data.folder)
    parts = {name: recipe.data.cohort.part(name, recipe.data.rotation) for name in ("train", "validation", "test")}
    return {
        "cohort": str(recipe.data.folder.resolve()),
        "sha256": manifest["sha256"],
        "provenance": manifest["provenance"],
        "rotation": recipe.data.rotation,
        "subjects": {name: len(part) for name, part in parts.items()},
        "observations": {name: len(part.observations) for name, part in parts.items()},
        "step": recipe.data.how["batch_size"] * processes,
        **({} if parent is None else {"parent": parent.card}),
    }
