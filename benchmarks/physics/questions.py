"""Training batches that ask for whole courses: nothing is cut at random, unlike in `neurotwin.data.CohortData`."""

from dataclasses import replace

import numpy as np
import torch
from benchmarks.physics.cohorts import pieces_of
from benchmarks.physics.tasks import TRAINING_SEED, Task
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from neurotwin.cohort import Cohort
from neurotwin.data import Batch, CohortData
from neurotwin.episodes import Episodes, Targets, make_episodes
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows

KNOWN_UNTIL = 0.0
"""Cut of every course: at most the visit at time 0 is known."""
PIECES = 12
"""Pieces of each course that are trained on, where a task trains on pieces."""
STEPS_PER_EPOCH = 50
VIEWS = 8
"""Tables of training patients, each with other visits asked, made once."""
ROWS_SHARE = 0.9
CHECKED = 400
"""Validation patients whose loss is followed in training; all of them calibrate."""


def questions_of(task: Task, cohort: Cohort) -> tuple[Episodes, Targets]:
    """Every patient's whole course from time 0, from covariates, plan and (where the task says so) the first visit."""
    episodes, targets, _ = make_episodes(cohort, KNOWN_UNTIL, min_visits=int(task.first_visit))
    return episodes, targets


def fewer_questions(cohort: Cohort, count: int, rng: np.random.Generator) -> Cohort:
    """The cohort with ``count`` visits of each patient, drawn at random; every variable is seen at every visit."""
    seen = cohort.observations
    visit = np.stack([seen.subject, seen.time], axis=1)
    different, which = np.unique(visit, axis=0, return_inverse=True)
    order = np.lexsort((rng.random(len(different)), different[:, 0]))
    first = np.searchsorted(different[:, 0], np.arange(len(cohort)))
    rank = np.empty(len(different), dtype=np.int64)
    rank[order] = np.arange(len(different)) - first[different[order, 0].astype(np.int64)]
    return replace(cohort, observations=seen.take(rank[which.ravel()] < count))


class Steps(Dataset[Batch]):
    """The batches of one epoch, each from its own random stream: whatever is asked first, the batch is the same."""

    def __init__(self, data: "WholeCourses", epoch: int) -> None:
        self.data, self.epoch = data, epoch

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def __getitem__(self, index: int) -> Batch:
        data, rng = self.data, np.random.default_rng((self.data.seed, self.epoch, index))
        chosen = rng.choice(data.n_train, min(data.task.batch, data.n_train), replace=False)
        return data.table(f"train {self.epoch % data.views}").take(torch.as_tensor(chosen))


class WholeCourses(CohortData):
    """The task's training patients, of whom fold 3 validates and calibrates. Tensors are built once, unless each step
    asks for other visits."""

    def __init__(self, task: Task, folder: str) -> None:
        super().__init__(folder, batch_size=task.batch, seed=TRAINING_SEED)
        self.task = task
        self.known_scaling: Scaling | None = None
        self._tables: dict[str, Batch] = {}
        self._parts: dict[str, Cohort] = {}

    def train_part(self) -> Cohort:
        """All but fold 3, in pieces where the task says so."""
        return self._part("train", self.cohort.fold != 3)

    def validation_part(self) -> Cohort:
        """The first of fold 3, in pieces where the task says so."""
        return self._part("validation", np.flatnonzero(self.cohort.fold == 3)[:CHECKED])

    def _part(self, name: str, chosen: NDArray[np.generic]) -> Cohort:
        if name not in self._parts:
            part = self.cohort.take(chosen)
            if self.task.segment:
                part = pieces_of(self.task, part, np.random.default_rng((self.seed, len(part))), PIECES)
            self._parts[name] = part
        return self._parts[name]

    def scaling(self) -> Scaling:
        """Those of the training that this one goes on from, or else those of the training patients."""
        return self.known_scaling or Scaling.fit(self.train_part())

    @property
    def n_train(self) -> int:
        """Patients, or pieces, to train on."""
        return len(self.table("train 0").start)

    @property
    def views(self) -> int:
        """How many tables there are, each with other questions to the same patients."""
        return VIEWS if self.task.questions else 1

    def table(self, name: str) -> Batch:
        """All patients of a part as tensors: ``validation``, or ``train`` and the number of the view."""
        if name not in self._tables:
            part, _, view = name.partition(" ")
            cohort = self.train_part() if part == "train" else self.validation_part()
            if view and self.task.questions:
                cohort = fewer_questions(cohort, self.task.questions, np.random.default_rng((self.seed, int(view))))
            episodes, targets = questions_of(self.task, cohort)
            whole = Batch.of(episodes, targets, np.arange(len(cohort)), self.max_step)
            self._tables[name] = _short(whole) if self.task.segment else whole
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
