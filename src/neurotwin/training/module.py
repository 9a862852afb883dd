"""The Lightning module: one step of training a surrogate."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from neurotwin.data import Batch
from neurotwin.errors import SolverError
from neurotwin.models import Prediction, Surrogate
from neurotwin.training.balance import Balance

MEASURES = "validation/measures/"
"""Before the names of what a model tells of itself."""


def probe_parameters() -> list[nn.Parameter]:
    """Parameters that an optimizer's constructor can be tried on."""
    return [nn.Parameter(torch.zeros(1))]


class SurrogateTraining(pl.LightningModule):
    """Trains a surrogate on episodes: assimilate the past, forecast the plan, score the whole future jointly.

    Subjects whose loss is not finite are left out of the step and counted; when they exceed ``max_failed`` of the
    subjects seen, the run stops and names them by their row in the cohort.

    Args:
        model: the surrogate.
        loss: maps a prediction and its targets to a loss per subject; with a ``balance`` above 0, states are balanced.
        optimizer: takes the parameters.
        scheduler: takes the optimizer and the number of steps; None keeps the rate.
        max_failed: fraction.
        seed: of what a step draws at random (dropout).
    """

    def __init__(
        self,
        model: Surrogate,
        loss: nn.Module,
        optimizer: Callable[[Iterable[Any]], torch.optim.Optimizer],
        scheduler: Callable[..., Any] | None = None,
        max_failed: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.make_optimizer, self.make_scheduler, self.max_failed = optimizer, scheduler, max_failed
        self.seen, self.failed, self.seed = 0, 0, seed
        weight = float(getattr(loss, "balance", 0.0))
        self.balance = Balance(model, weight) if weight else None

    def forward(self, batch: Batch) -> tuple[Prediction, Tensor | None]:
        """The forecast of a batch, and what the model adds to the loss of each subject ``[batch]``, or None."""
        state, past = self._followed(batch)
        prediction = self.model.forecast(state, batch.plan)
        told = None
        if self.balance is not None and self.training:
            told = self.balance(self.model.unpack(state)["core"], batch.plan)
        costs = [cost for cost in (past, prediction.cost, told) if cost is not None]
        return prediction, sum(costs[1:], start=costs[0]) if costs else None

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        # A random stream for each step, so that a resumed run draws what an uninterrupted one does.
        stream = np.random.SeedSequence((self.seed, self.current_epoch, index))
        torch.manual_seed(int(stream.generate_state(1)[0]))
        per_subject, _ = self._score(batch)
        self.seen += len(per_subject)
        while not (finite := torch.isfinite(per_subject)).all():
            # A subject that blew up poisons the gradient of shared weights even with weight 0: solve without it.
            self._count_failures(batch.subject[~finite])
            if not finite.any():
                return None
            batch = batch.take(finite)
            per_subject, _ = self._score(batch)
        size = _size(batch)
        loss = per_subject.sum() / size
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        per_subject, prediction = self._score(batch)
        size = _size(batch)
        value = self.model.scaler.value(batch.value, batch.mask)
        error = (prediction.mean - value).abs() * batch.mask
        self.log("validation/loss", per_subject.sum() / size, batch_size=size, prog_bar=True)
        self.log("validation/absolute_error", error.sum() / size, batch_size=size)

        if type(self.model).measures is not Surrogate.measures:
            for name, measured in self.model.measures(self._followed(batch)[0], batch.plan).items():
                self.log(f"{MEASURES}{name}", measured, batch_size=len(batch.start))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["subjects"] = {"seen": self.seen, "failed": self.failed}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seen, self.failed = (checkpoint.get("subjects", {}).get(name, 0) for name in ("seen", "failed"))

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        if self.make_scheduler is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_scheduler(optimizer, steps), "interval": "step"},
        }

    def _followed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """State after the past, and what the past costs."""
        fresh = torch.ones_like(batch.start)
        blank = torch.zeros(
            len(batch.start), self.model.state_size, dtype=batch.static.dtype, device=batch.static.device
        )
        return self.model.follow(blank, fresh, batch.start, batch.static, batch.static_mask, batch.history)

    def _score(self, batch: Batch) -> tuple[Tensor, Prediction]:
        prediction, cost = self(batch)
        loss = self.loss(prediction, batch.value, batch.mask, batch.censor, self.model.scaler, batch.events)
        return loss if cost is None else loss + cost, prediction

    def _count_failures(self, subjects: Tensor) -> None:
        self.failed += len(subjects)
        self.log("train/failed_subjects", float(self.failed), reduce_fx="max")
        if self.failed > max(1, self.max_failed * self.seen):
            raise SolverError(
                f"{self.failed} of {self.seen} subjects had a loss that is not finite",
                where=f"cohort rows {subjects.tolist()[:10]}",
                expected=f"at most {self.max_failed:.0%}",
                remedy="lower the learning rate or the solver's max_step",
            )


def _size(batch: Batch) -> int:
    """Values to be foretold; a batch may tell ends of follow-up alone."""
    return max(int(batch.mask.sum()), 1)
