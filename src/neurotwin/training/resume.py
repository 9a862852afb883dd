"""From where a run goes on: checkpoints in the middle of epochs, and which of them is taken."""

import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from neurotwin.errors import ConfigError, IntegrityError, PreemptedError
from neurotwin.training.checkpoint import read_checkpoint
from neurotwin.training.ranks import summed
from neurotwin.training.run_folder import CHECKPOINTS, LAST, PREVIOUS

log = logging.getLogger(__name__)
SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__)
"""What schedulers send before they take a machine away."""


class ResumePoints(Checkpoint):
    """Keeps the last two points from which training can go on: at the end of each epoch, and in between.

    What follows a point is the same, bit for bit on the CPU, whether the process lived on or a new one read the
    point: weights, optimizer, schedule, batches, random streams, means of the epoch, early stopping. A point is taken
    where all of that is at rest: not between the parts of an accumulated step, nor just before a validation.

    On SIGTERM or SIGUSR1 the step is finished, a point is written and `PreemptedError` raised; a validation is left at
    once, for its results can be had again from the point before.

    Args:
        dirpath: folder of the points.
        every_seconds: time after which the next point is due; 0 takes one after each step.
        every_steps: steps of the optimizer after which a point is due too; None for none.

    Raises:
        ConfigError: a number out of its range.
        ResourceError: a point could not be written; the one before is whole.
    """

    def __init__(self, dirpath: str | Path, every_seconds: float = 60.0, every_steps: int | None = None) -> None:
        super().__init__()
        if not every_seconds >= 0:
            raise ConfigError(f"every_seconds is {every_seconds!r}", where="callbacks.resume_points", expected=">= 0")
        if every_steps is not None and every_steps < 1:
            raise ConfigError(f"every_steps is {every_steps!r}", where="callbacks.resume_points", expected=">= 1")
        self.folder, self.every_seconds, self.every_steps = Path(dirpath), every_seconds, every_steps
        self.taken, self.asked = 0.0, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Runs of several processes write where the first of them does."""
        self.folder = trainer.strategy.broadcast(self.folder)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to signals; what had stopped early stays so."""
        self.taken, self.asked = time.monotonic(), 0
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:  # Lightning puts the earlier ones back
                signal.signal(number, self._ask)
        if any(isinstance(item, EarlyStopping) and item.wait_count >= item.patience for item in trainer.callbacks):  # type: ignore[attr-defined]
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take a point if one is due and may be taken here."""
        if not _at_rest(trainer, batch_idx):
            return
        due = time.monotonic() - self.taken >= self.every_seconds
        due |= self.every_steps is not None and trainer.global_step % self.every_steps == 0
        due_at, asked_at = summed([float(due), float(bool(self.asked))], pl_module.device)
        if due_at or asked_at:
            self._take(trainer)
        if asked_at:
            self._leave(f"epoch {trainer.current_epoch}, step {trainer.global_step}")

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Leave a validation when asked to; with several processes the end of the epoch is waited for."""
        if self.asked and trainer.world_size == 1 and not trainer.sanity_checking:
            self._leave(f"the last point before the validation of epoch {trainer.current_epoch}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take a point; callbacks that look at the validation have done so by now."""
        self._take(trainer)
        if summed([float(bool(self.asked))], pl_module.device)[0]:
            self._leave(f"the end of epoch {trainer.current_epoch}")

    def _take(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            keep = {"previous": self.folder / PREVIOUS}
            for logger in trainer.loggers:  # what was logged up to here will not be logged again
                logger.save()
            trainer.save_checkpoint(self.folder / LAST, storage_options=keep)
        self.taken = time.monotonic()

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = number

    def _leave(self, place: str) -> None:
        name = signal.Signals(self.asked).name if self.asked else "a signal to another process"
        raise PreemptedError(
            f"stopped by {name}, to go on from {place}",
            where=str(self.folder.parent),
            remedy="run the same command with resume=true",
        )


def _at_rest(trainer: pl.Trainer, batch_idx: int) -> bool:
    """After this batch, is nothing under way that a checkpoint does not hold?"""
    done, apart = batch_idx + 1, trainer.val_check_batch
    progress = trainer.fit_loop.epoch_loop.batch_progress
    if progress.is_last_batch or done % trainer.accumulate_grad_batches or trainer.should_stop:
        return False
    return not apart or apart == float("inf") or done % int(apart) != 0


def newest(folder: Path, lead: bool = True) -> Path | None:
    """The point that a run goes on from: the last, or, where that is damaged, the one before, which one line in the log
    tells. None where there is none. The ``lead`` of several processes puts a damaged one aside.

    Raises:
        IntegrityError: none of those there are is whole.
    """
    last, previous = (folder / CHECKPOINTS / name for name in (LAST, PREVIOUS))
    if not last.exists():  # a kill between two renames leaves the one before alone
        return _whole(previous) if previous.exists() else None
    try:
        return _whole(last)
    except IntegrityError as error:
        if not previous.exists():
            raise
        found = _whole(previous)
        if lead:
            last.replace(last.with_name(f"damaged.{LAST}"))
            log.warning("%s; at %s; going on from %s", error.what, last, PREVIOUS)
        return found


def _whole(path: Path) -> Path:
    read_checkpoint(path)
    return path
