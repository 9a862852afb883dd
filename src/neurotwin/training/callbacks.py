"""Callbacks that Lightning does not bring in the form we need."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoints(ModelCheckpoint):
    """ModelCheckpoint whose files say what they are: safetensors."""

    FILE_EXTENSION = ".safetensors"


class StopWhenBadNumbers(pl.Callback):
    """Stop at the first validation loss that is not finite: what follows would only repeat it."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("validation/loss")
        if loss is not None and not bool(loss.isfinite()) and not trainer.sanity_checking:
            trainer.should_stop = True
