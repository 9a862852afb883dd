"""The Lightning module: one step of distillation."""

from typing import Any, cast

import torch
from torch import Tensor

from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.training.distill.courses import Courses
from neurotwin.training.distill.data import SCALES, CourseData
from neurotwin.training.module import SurrogateTraining


class Distillation(SurrogateTraining):
    """Trains the flow map of a `DistilledFlow` on its teacher's courses; the teacher stays as it is.

    The arguments are those of `SurrogateTraining`, with a loss of (model, course found, courses).
    """

    def forward(self, batch: Courses) -> Any:  # type: ignore[override]
        """The student's course ``[batch, draw, query, learned]``."""
        model = self._student
        told = batch.told(model.flow.memory(batch.rows, model.scaler.time))
        return model.course(batch.core, batch.static, batch.clock, told)

    def on_fit_start(self) -> None:
        """Sizes of memories and changes, from a pool of their own; a resumed run has them."""
        if self.trainer.ckpt_path is not None:
            return
        data, model = cast(CourseData, cast(Any, self.trainer).datamodule), self._student
        pool = data.drawn(model, data.train_part(), (SCALES,), data.pool // 4)
        with torch.no_grad():
            told = pool.told(model.flow.memory(pool.rows, model.scaler.time))
            model.flow.memory.scale.copy_(_size(told))
            model.flow.change.copy_(_size(pool.target - pool.core[..., : model.n_learned].unsqueeze(2)))

    def training_step(self, batch: Courses, index: int) -> Tensor | None:  # type: ignore[override]
        loss, seen = self.loss(self._student, self(batch), batch), len(batch.core)
        finite = torch.isfinite(loss)
        if not finite.all():  # the teacher itself blew up there
            batch = batch.take(finite)
            loss = self.loss(self._student, self(batch), batch) if finite.any() else loss[:0]
        bad = (~finite).nonzero().squeeze(-1).tolist()
        self._count(float(loss.detach().sum()), len(loss), int(len(loss) > 0), seen, bad)
        return cast(Tensor, loss.mean()) if len(loss) else None

    def validation_step(self, batch: Courses, index: int) -> None:  # type: ignore[override]
        found, model = self(batch), self._student
        error = (model.head(found)[0] - model.head(batch.target)[0]).abs()
        for name, value in (
            ("validation/loss", self.loss(model, found, batch).mean()),
            ("validation/absolute_error", error.mean()),
        ):
            self.validated.add(name, float(value) * len(found), len(found))

    @property
    def _student(self) -> DistilledFlow:
        return cast(DistilledFlow, self.model)


def _size(values: Tensor) -> Tensor:
    """Root mean square of each column; 1 for a column that is nothing."""
    found = values.flatten(0, -2).square().mean(0).sqrt()
    return torch.where(found > 1e-4, found, torch.ones_like(found))
