"""Training batches that ask for whole courses: nothing is cut at random, unlike in `neurotwin.data.CohortData`."""

from dataclasses import replace

import numpy as np
import torch
from benchmarks.physics.cohorts import SEEDS, pieces_of
from benchmarks.physics.tasks import Stage, Task
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from neurotwin.cohort import Cohort
from neurotwin.data import Batch, CohortData
from neurotwin.episodes import Episodes, Targets, make_episodes
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows

KNOWN_UNTIL = 0.0
"""Cut of every course: at most the visit at time 0 is known."""
STEPS_PER_EPOCH = 100
ROWS_SHARE = 0.9
CHECKED = 400
"""Validation patients whose loss is followed in training."""


def questions_of(task: Task, cohort: Cohort) -> tuple[Episodes, Targets]:
    """Every patient's whole course from time 0, from covariates, plan and (where the task says so) the first visit."""
    episodes, targets, _ = make_episodes(cohort, KNOWN_UNTIL, min_visits=int(task.first_visit))
    return episodes, targets


class Steps(Dataset[Batch]):
    """The batches of one epoch, each from its own random stream: whatever is asked first, the batch is the same."""

    def __init__(self, data: "WholeCourses", epoch: int) -> None:
        self.data, self.epoch = data, epoch

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def __getitem__(self, index: int) -> Batch:
        data, rng = self.data, np.random.default_rng((self.data.seed, self.epoch, index))
        chosen = rng.integers(data.n_train, size=min(data.stage.batch, data.n_train))
        return data.table("train").take(torch.as_tensor(chosen))


class WholeCourses(CohortData):
    """The task's training patients, of whom some of fold 3 validate. Tensors are built once."""

    def __init__(self, task: Task, stage: Stage, folder: str) -> None:
        super().__init__(folder, batch_size=stage.batch, seed=SEEDS["training"])
        self.task, self.stage = task, stage
        self.known_scaling: Scaling | None = None
        self._tables: dict[str, Batch] = {}
        self._parts: dict[str, Cohort] = {}

    def train_part(self) -> Cohort:
        """All but the validation patients, in pieces where the stage says so."""
        return self._part("train", np.setdiff1d(np.arange(len(self.cohort)), self._checked))

    def validation_part(self) -> Cohort:
        """The first of fold 3, in pieces where the stage says so."""
        return self._part("validation", self._checked)

    @property
    def _checked(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.cohort.fold == 3)[:CHECKED]

    def _part(self, name: str, chosen: NDArray[np.generic]) -> Cohort:
        if name not in self._parts:
            part = self.cohort.take(chosen)
            if self.stage.segment:
                rng = np.random.default_rng((self.seed, len(part)))
                part = pieces_of(self.task.training_schedule, self.stage, part, rng)
            self._parts[name] = part
        return self._parts[name]

    def scaling(self) -> Scaling:
        """Those of the training that this one goes on from, or else those of the training patients, at the task's
        pace."""
        return self.known_scaling or replace(Scaling.fit(self.train_part()), time=self.task.pace)

    @property
    def n_train(self) -> int:
        """Patients, or pieces, to train on."""
        return len(self.table("train").start)

    def table(self, name: str) -> Batch:
        """All patients (or pieces) of a part, ``train`` or ``validation``, as tensors."""
        if name not in self._tables:
            cohort = self.train_part() if name == "train" else self.validation_part()
            episodes, targets = questions_of(self.task, cohort)
            whole = Batch.of(episodes, targets, np.arange(len(cohort)), self.max_step)
            self._tables[name] = _short(whole) if self.stage.segment else whole
        return self._tables[name]

    def train_dataloader(self) -> DataLoader[Batch]:
        """The steps of the trainer's present epoch."""
        return DataLoader(Steps(self, self.trainer.current_epoch if self.trainer else 0), batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """One batch."""
        return DataLoader([self.table("validation")], batch_size=None, collate_fn=None)  # type: ignore[arg-type]


def _short(table: Batch) -> Batch:
    """Without the few subjects whose courses are cut into the most rows: everyone else would be padded to theirs."""
    used = (table.plan.dt > 0) | (table.mask > 0).any(-1)
    count = (used * torch.arange(1, used.shape[1] + 1)).amax(1)
    most = int(torch.quantile(count.float(), ROWS_SHARE))
    part = table.take(count <= most)
    cut = {name: getattr(part, name)[:, :most] for name in ("value", "mask", "censor", "horizon")}
    return part._replace(plan=Rows(*(field[:, :most] for field in part.plan)), **cut)
