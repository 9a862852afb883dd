"""Batches of the teacher's courses: a new pool in each epoch, walked through several times."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from neurotwin.cohort import Cohort
from neurotwin.data import CohortData
from neurotwin.data.module import From
from neurotwin.models.distilled_flow import DistilledFlow
from neurotwin.training.distill.courses import Courses, CourseSource, joined

VALIDATION, MEASURE, SCALES = 1, 2, 3
"""Random streams beside that of training, 0."""


class CourseBatches(Dataset[Courses]):
    """A pool in batches, ``passes`` times, each time in another order."""

    def __init__(self, pool: Courses, size: int, passes: int, rng: np.random.Generator) -> None:
        orders = [rng.permutation(len(pool.core)) for _ in range(passes)]
        self.pool = pool
        self.chosen = [order[first : first + size] for order in orders for first in range(0, len(order), size)]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Courses:
        return self.pool.take(torch.as_tensor(self.chosen[index]))


class CourseData(CohortData):
    """Courses that the trained model's teacher takes from states of a cohort's subjects.

    Args:
        cohort: folder of the cohort.
        pool: subjects' courses drawn for each epoch.
        passes: through the pool in an epoch.
        courses: per step.
        more: as `CohortData`, for the teacher's data.
    """

    def __init__(
        self, cohort: str | Path, *, pool: int = 1024, passes: int = 6, courses: int = 128, **more: Any
    ) -> None:
        super().__init__(cohort, **more)
        self.pool, self.passes, self.courses = pool, passes, courses
        self._validation: Courses | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch, as planned: a cut that leaves nothing to come makes a batch smaller, not fewer."""
        return self.passes * -(-self.pool // self.courses)

    def source(self, model: DistilledFlow, part: Cohort) -> CourseSource:
        """Courses of the model's teacher from subjects of a part."""
        scaling, limit = self.scaling(), float(self.how["max_horizon"])
        return CourseSource(model.teacher, part, scaling, min(scaling.longest, limit), self.how["min_visits"])

    def drawn(self, model: DistilledFlow, part: Cohort, stream: tuple[int, ...], n: int) -> Courses:
        """``n`` subjects' courses from a random stream of their own."""
        found = joined(self.source(model, part).draw(np.random.default_rng((self.seed, *stream)), n))
        return found.take(torch.arange(n))

    def train_dataloader(self) -> DataLoader[Any]:
        model, (epoch, done) = self._model(), self.place()
        pool = self.drawn(model, self.train_part(), (0, epoch), self.pool)
        batches = CourseBatches(pool, self.courses, self.passes, np.random.default_rng((self.seed, 0, epoch, 1)))
        return _loader(batches, From(done, len(batches)) if done else None)

    def val_dataloader(self) -> DataLoader[Any]:
        if self._validation is None:
            self._validation = self.drawn(self._model(), self.validation_part(), (VALIDATION,), self.pool // 2)
        return _loader(CourseBatches(self._validation, self.pool, 1, np.random.default_rng(0)))

    def _model(self) -> DistilledFlow:
        module: Any = None if self.trainer is None else self.trainer.lightning_module
        if module is None or not isinstance(module.model, DistilledFlow):
            raise TypeError("courses are drawn while a flow map is distilled")
        return module.model


def _loader(data: CourseBatches, sampler: From | None = None) -> DataLoader[Any]:
    return DataLoader(data, batch_size=None, sampler=sampler, num_workers=0)
