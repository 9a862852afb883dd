"""Callbacks that Lightning does not bring in the form we need."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoints(ModelCheckpoint):
    """ModelCheckpoint whose files say what they are: safetensors. What was best so far is known in a folder that was
    moved, too."""

    FILE_EXTENSION = ".safetensors"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning's, with the paths of where the folder is now."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {name: here(value) for name, value in state_dict.items() if name.endswith("_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class StopWhenBadNumbers(pl.Callback):
    """Stop at the first validation loss that is not finite: what follows would only repeat it."""

    stopped = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What had stopped stays so."""
        trainer.should_stop |= self.stopped

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the loss."""
        loss = trainer.callback_metrics.get("validation/loss")
        if loss is not None and not bool(loss.isfinite()) and not trainer.sanity_checking:
            trainer.should_stop = self.stopped = True

    def state_dict(self) -> dict[str, Any]:
        """Whether it stopped the run."""
        return {"stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Back from `state_dict`."""
        self.stopped = state_dict["stopped"]
