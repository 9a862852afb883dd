"""A batch of episodes as tensors: the past as rows, the plan as rows, and what came true at the plan's queries."""

from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Targets, make_episodes
from neurotwin.solvers import Rows


class Batch(NamedTuple):
    """Tensors of one batch.

    Attributes:
        start: ``[batch]`` clock before the first row of the history.
        static, static_mask: ``[batch, static column]``.
        history, plan: rows, see `Rows`; those of the plan begin where the history ends.
        value, mask, censor: ``[batch, row, obs]`` what was observed at the plan's queries.
        horizon: ``[batch, row]`` time from the cut to each query.
        subject: ``[batch]`` row of each subject in the cohort.
    """

    start: Tensor
    static: Tensor
    static_mask: Tensor
    history: Rows
    plan: Rows
    value: Tensor
    mask: Tensor
    censor: Tensor
    horizon: Tensor
    subject: Tensor

    @classmethod
    def of(cls, episodes: Episodes, targets: Targets, subject: NDArray[np.int64], max_step: float) -> Self:
        """Build from episodes whose solver takes steps of at most ``max_step``."""
        history, plan = episodes.history(max_step), episodes.plan(max_step)
        shape = (len(episodes), plan.n_rows, len(episodes.schema.variables))
        place = (episodes.queries.subject[targets.query], plan.query_row[targets.query], targets.variable)
        value, mask, censor = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        value[place], mask[place], censor[place] = targets.value, 1.0, targets.censor
        horizon = np.zeros(shape[:2])
        horizon[episodes.queries.subject, plan.query_row] = (
            episodes.queries.time - episodes.cut[episodes.queries.subject]
        )

        def tensor(array: NDArray[np.float64]) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32)

        return cls(
            tensor(history.start),
            tensor(episodes.static),
            tensor(episodes.static_mask),
            Rows.of(history),
            Rows.of(plan),
            tensor(value),
            tensor(mask),
            tensor(censor),
            tensor(horizon),
            torch.as_tensor(subject),
        )

    def take(self, chosen: Tensor) -> Self:
        """Some subjects of the batch."""
        parts: list[Any] = [
            Rows(*(column[chosen] for column in item)) if isinstance(item, Rows) else item[chosen] for item in self
        ]
        return type(self)(*parts)


def random_cuts(cohort: Cohort, rng: np.random.Generator, min_visits: int) -> NDArray[np.float64]:
    """For each subject one of its own visits as the cut: at least ``min_visits`` up to it and one after it.

    Subjects with too few visits get NaN, which leaves them out of every episode.
    """
    cuts = np.full(len(cohort), np.nan)
    seen = cohort.observations
    bounds = np.searchsorted(seen.subject, np.arange(len(cohort) + 1))
    chance = rng.random(len(cohort))
    for subject in range(len(cohort)):
        visits = np.unique(seen.time[bounds[subject] : bounds[subject + 1]])
        choices = visits[min_visits - 1 : -1]
        if len(choices):
            cuts[subject] = choices[int(chance[subject] * len(choices))]
    return cuts


def random_batch(
    cohort: Cohort,
    subjects: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    max_step: float,
    min_visits: int,
    max_horizon: float,
    forget: float = 0.0,
    late: float = 0.0,
) -> Batch:
    """Episodes of some subjects, each cut at a random one of its visits.

    Args:
        forget: share of the past's observations that are hidden, at random: fewer subjects then suffice, because each
            is seen in many ways.
        late: longest time, drawn uniformly, by which the cut comes after the visit: doses given meanwhile are past.
    """
    part = cohort.take(subjects)
    episodes, targets, kept = make_episodes(
        part,
        random_cuts(part, rng, min_visits) + late * rng.random(len(part)),
        min_visits=min_visits,
        max_horizon=max_horizon,
    )
    if forget:
        remembered = rng.random(len(episodes.observations)) >= forget
        episodes = replace(episodes, observations=episodes.observations.take(remembered))
    return Batch.of(episodes, targets, subjects[kept], max_step)
