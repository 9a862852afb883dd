"""The Lightning module: one step of training a surrogate."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from neurotwin.data import Batch
from neurotwin.errors import SolverError
from neurotwin.models import Prediction, Surrogate
from neurotwin.training.balance import Balance
from neurotwin.training.means import EpochMeans
from neurotwin.training.ranks import rank, several, summed

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
        self.means, self.validated = EpochMeans(), EpochMeans()
        self.measures: dict[str, float] = {}
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

    def on_train_epoch_start(self) -> None:
        self.means.clear()

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        self.draw_from_own_stream(index)
        seen = len(batch.start)
        batch, per_subject, bad = self._solved(batch)
        mine = (0.0, 0, 0) if per_subject is None else (float(per_subject.detach().sum()), _size(batch), 1)
        size, solved = self._count(*mine, seen, bad)
        mean = None if per_subject is None else per_subject.sum() / size
        return self._shared(mean) if several() and solved else mean

    def _shared(self, mean: Tensor | None) -> Tensor:
        """A process's part of a loss that several have: they are averaged, and what is wanted is their sum. Each of
        them waits for the gradient of every parameter, of those too that this one has not used."""
        nothing = torch.stack([item.sum() for item in self.parameters() if item.requires_grad]).sum() * 0
        return nothing if mean is None else mean * self.trainer.world_size + nothing

    def validation_step(self, batch: Batch, index: int) -> None:
        if not len(batch.start):
            return
        per_subject, prediction = self._score(batch)
        size = _size(batch) or (0 if several() else 1)
        value = self.model.scaler.value(batch.value, batch.mask)
        error = (prediction.mean - value).abs() * batch.mask
        self.validated.add("validation/loss", float(per_subject.sum()), size)
        self.validated.add("validation/absolute_error", float(error.sum()), size)

        if type(self.model).measures is not Surrogate.measures:
            for name, measured in self.model.measures(self._followed(batch)[0], batch.plan).items():
                self.validated.add(f"{MEASURES}{name}", float(measured) * len(batch.start), len(batch.start))

    def on_validation_epoch_start(self) -> None:
        self.validated.clear()

    def on_validation_epoch_end(self) -> None:
        found = self.validated.together().means()
        for name, value in found.items():
            self.log(name, value, prog_bar=name == "validation/loss")
        self.measures = {name: value for name, value in found.items() if name.startswith(MEASURES)}

    def on_train_epoch_end(self) -> None:
        """Logged here, for Lightning would only after the checkpoint: who resumed from it would miss the epoch."""
        told = self.means.means()
        if self.failed:
            told["train/failed_subjects"] = float(self.failed)
        for name, value in told.items():
            self.log(name, value, prog_bar=name == "train/loss", logger=False)
        for logger in self.loggers:
            logger.log_metrics({**told, "epoch": self.current_epoch}, step=self.global_step - 1)
            logger.save()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["subjects"] = {"seen": self.seen, "failed": self.failed}
        checkpoint["means"], checkpoint["measures"] = self.means.state_dict(), dict(self.measures)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seen, self.failed = (checkpoint.get("subjects", {}).get(name, 0) for name in ("seen", "failed"))
        self.means.load_state_dict(checkpoint.get("means", {}))
        self.measures = dict(checkpoint.get("measures", {}))

    def draw_from_own_stream(self, index: int) -> None:
        """A random stream for each step and process, so that a resumed run draws what an uninterrupted one does."""
        key = (self.seed, self.current_epoch, index, *((rank(),) if rank() else ()))
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

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

    def _solved(self, batch: Batch) -> tuple[Batch, Tensor | None, list[int]]:
        """The subjects with a finite loss and those losses, None where there are none; and who had none."""
        bad: list[int] = []
        while len(batch.start):
            per_subject, _ = self._score(batch)
            finite = torch.isfinite(per_subject)
            if finite.all():
                return batch, per_subject, bad
            # A subject that blew up poisons the gradient of shared weights even with weight 0: solve without it.
            bad += batch.subject[~finite].tolist()
            batch = batch.take(finite)
        return batch, None, bad

    def _count(self, loss: float, size: int, solved: int, seen: int, bad: Sequence[int]) -> tuple[int, int]:
        """Add what a step had in all processes: the summed loss, of how many values, whether there is one, of how many
        subjects, and who had none. Returns how many values the loss is to be divided by, and how many processes have
        one.

        Raises SolverError when too many subjects failed, in all processes at once.
        """
        total, values, solves, more, failed = summed([loss, size, solved, seen, len(bad)], self.device)
        self.seen, self.failed = self.seen + int(more), self.failed + int(failed)
        whole = max(int(values), 1)
        if solves:
            self.means.add("train/loss", total, whole)
        if failed and self.failed > max(1, self.max_failed * self.seen):
            raise SolverError(
                f"{self.failed} of {self.seen} subjects had a loss that is not finite",
                where=f"cohort rows {list(bad)[:10]}",
                expected=f"at most {self.max_failed:.0%}",
                remedy="lower the learning rate or the solver's max_step",
            )
        return whole, int(solves)


def _size(batch: Batch) -> int:
    """Values to be foretold; a batch may tell ends of follow-up alone."""
    return int(batch.mask.sum())
