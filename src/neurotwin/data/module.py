"""The Lightning data module over a cohort: split by subject, cut at random visits, the same for the same seed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from neurotwin.cohort import Cohort
from neurotwin.data.batch import Batch, random_batch, random_cuts
from neurotwin.data.bucketing import batches_alike, row_counts
from neurotwin.errors import CohortError, ConfigError
from neurotwin.scaling import Scaling


class EpisodeBatches(Dataset[Batch]):
    """The batches of one epoch, each made from its own random stream: whatever worker asks, the batch is the same.

    Args:
        cohort: the part of the cohort to draw from.
        seed: of the stream, usually ``(seed, epoch)``.
        repeats: how often each subject is visited, each time with another cut.
        events: also ask how follow-up ended.
        window: batches among which subjects with records of like length are put together and cut at like places
            (`neurotwin.data.bucketing`); 1 leaves them as they come.
        share: which of how many processes this one is; it gets every n-th subject of each batch, maybe none. Batches
            and cuts are those of a single process.
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        seed: tuple[int, ...],
        batch_size: int,
        max_step: float,
        min_visits: int,
        max_horizon: float,
        repeats: int = 1,
        shuffle: bool = True,
        forget: float = 0.0,
        events: bool = False,
        window: int = 1,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.cohort, self.seed, self.mine = cohort, seed, share
        self.how: dict[str, Any] = {
            "max_step": max_step,
            "min_visits": min_visits,
            "max_horizon": max_horizon,
            "forget": forget,
            "events": events,
        }
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(cohort)) if shuffle else np.arange(len(cohort)) for _ in range(repeats)]
        order = np.concatenate(orders).astype(np.int64)
        if window == 1:
            self.chosen = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
            self.share: list[float | None] = [None] * len(self.chosen)
            return
        middle = random_cuts(cohort, rng, min_visits, events=events, share=0.5)
        found = [*batches_alike(order, row_counts(cohort, middle, max_step), batch_size, window, rng)]
        self.chosen, self.share = [chosen for chosen, _ in found], [share for _, share in found]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((*self.seed, index))
        batch = random_batch(self.cohort, self.chosen[index], rng, share=self.share[index], **self.how)
        first, n = self.mine
        return batch if n == 1 else batch.take(torch.arange(len(batch.start))[first::n])


class From(Sampler[int]):
    """The batches of an epoch from one of them on; its length is that of the whole epoch, of which Lightning keeps
    count."""

    def __init__(self, first: int, n: int) -> None:
        self.first, self.n = first, n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.n))

    def __len__(self) -> int:
        return self.n


class CohortData(pl.LightningDataModule):
    """Training and validation batches of a cohort on disk.

    Args:
        cohort: folder of the cohort.
        batch_size: subjects per batch and process; several processes share the batches that one with as many more
            subjects per batch would have.
        min_visits: visits that a subject needs up to its cut.
        max_horizon: longest time ahead that is asked for, in the schema's time unit; None for no limit.
        repeats: cuts per subject and epoch.
        forget: share of the past's observations hidden at random in training, see `random_batch`.
        rotation: which folds are train, validation and test, see `Cohort.part`.
        window: in training, batches among which subjects with records of like length are put together and cut at like
            places, so that less padding is computed; 1 leaves them as they come.
        limit: use only so many training subjects; None for all.
        num_workers: of the loader; 0 works in the main process.
        seed: of shuffling and cuts.

    Training sets ``max_step`` to the model's, and ``events`` where the model has hazards.

    Raises:
        ConfigError: a number out of its range.
        CohortError: no cohort, or an empty part.
    """

    def __init__(
        self,
        cohort: str | Path,
        *,
        batch_size: int = 64,
        min_visits: int = 2,
        max_horizon: float | None = None,
        repeats: int = 1,
        forget: float = 0.0,
        rotation: int = 0,
        window: int = 1,
        limit: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("min_visits", min_visits, 1),
            ("repeats", repeats, 1),
            ("window", window, 1),
            ("num_workers", num_workers, 0),
            ("limit", limit, 1),
        ):
            if value is not None and (type(value) is not int or value < least):
                raise ConfigError(
                    f"{name} is {value!r}", where=f"data.{name}", expected=f"a whole number of at least {least}"
                )
        if max_horizon is not None and not max_horizon > 0:
            raise ConfigError(
                f"max_horizon is {max_horizon!r}", where="data.max_horizon", expected="a positive time, or null"
            )
        if not 0 <= forget < 1:
            raise ConfigError(f"forget is {forget!r}", where="data.forget", expected="a share from 0 to below 1")
        self.folder, self.forget = Path(cohort), forget
        horizon = np.inf if max_horizon is None else max_horizon
        self.how: dict[str, Any] = {"batch_size": batch_size, "min_visits": min_visits, "max_horizon": horizon}
        self.repeats, self.rotation, self.limit = repeats, rotation, limit
        self.num_workers, self.seed, self.window = num_workers, seed, window
        self.max_step, self.events = 1.0, False
        self._whole: Cohort | None = None
        self._resumed = (0, 0)

    @property
    def cohort(self) -> Cohort:
        """The whole cohort, read once."""
        if self._whole is None:
            self._whole = Cohort.load(self.folder)
        return self._whole

    def train_part(self) -> Cohort:
        """Subjects to train on: those with enough visits."""
        part = self.cohort.part("train", self.rotation)
        if self.limit is not None:
            part = part.take(np.arange(min(self.limit, len(part))))
        return _with_visits(part, self.how["min_visits"], events=self.events)

    def validation_part(self) -> Cohort:
        """Subjects to validate on: those with enough visits."""
        part = self.cohort.part("validation", self.rotation)
        return _with_visits(part, self.how["min_visits"], events=self.events)

    def scaling(self) -> Scaling:
        """Scales of the training part; no other subject touches them."""
        return Scaling.fit(self.cohort.part("train", self.rotation))

    def state_dict(self) -> dict[str, Any]:
        """The epoch and how many of its batches are done."""
        if self.trainer is None:
            return {}
        done = self.trainer.fit_loop.epoch_loop.batch_progress
        epoch = self.trainer.current_epoch
        return {"place": [epoch + 1, 0] if done.is_last_batch else [epoch, done.current.ready]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were done."""
        epoch, done = state["place"]
        self._resumed = (epoch, done)

    def place(self) -> tuple[int, int]:
        """The epoch, and how many of its batches were done before this process began. Lightning asks for batches before
        it knows that it goes on."""
        epoch = max(self.trainer.current_epoch if self.trainer else 0, self._resumed[0])
        return epoch, self._resumed[1] if epoch == self._resumed[0] else 0

    def train_dataloader(self) -> DataLoader[Batch]:
        epoch, done = self.place()
        data = EpisodeBatches(
            self.train_part(),
            seed=(self.seed, 0, epoch),
            max_step=self.max_step,
            repeats=self.repeats,
            forget=self.forget,
            events=self.events,
            window=self.window,
            **self._shared(),
        )
        return self._loader(data, From(done, len(data)) if done else None)

    def val_dataloader(self) -> DataLoader[Batch]:
        part = self.validation_part()
        # The same cuts in every epoch, several per subject.
        return self._loader(
            EpisodeBatches(
                part,
                seed=(self.seed, 1),
                max_step=self.max_step,
                repeats=2,
                shuffle=False,
                events=self.events,
                **self._shared(),
            )
        )

    def _shared(self) -> dict[str, Any]:
        """How batches are made when each process takes its share of them."""
        rank, n = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return {**self.how, "batch_size": self.how["batch_size"] * n, "share": (rank, n)}

    def _loader(self, data: EpisodeBatches, sampler: From | None = None) -> DataLoader[Batch]:
        return DataLoader(
            data, batch_size=None, sampler=sampler, num_workers=self.num_workers, persistent_workers=False
        )


def _with_visits(part: Cohort, min_visits: int, *, events: bool) -> Cohort:
    usable = np.isfinite(random_cuts(part, np.random.default_rng(0), min_visits, events=events))
    if not usable.any():
        raise CohortError(
            "no subject has enough visits",
            where=f"a part of {len(part)} subjects",
            expected=f"{min_visits} and one more",
        )
    return part.take(usable)
