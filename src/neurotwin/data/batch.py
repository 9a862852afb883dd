"""A batch of episodes as tensors: the past as rows, the plan as rows, and what came true at the plan's queries."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Targets, make_episodes
from neurotwin.landmarks import EventTargets, ask_ends
from neurotwin.solvers import Rows


class Events(NamedTuple):
    """What ended each subject's follow-up, as tensors ``[batch]``: ``start`` and ``end`` are rows of the plan that ask
    at the cut and at the end of follow-up; ``event`` is the outcome, negative where censored; ``weight`` is how much
    the subject counts, 1 on average."""

    start: Tensor
    end: Tensor
    event: Tensor
    weight: Tensor


class Batch(NamedTuple):
    """Tensors of one batch.

    Attributes:
        start: ``[batch]`` clock before the first row of the history.
        static, static_mask: ``[batch, static column]``.
        history, plan: rows, see `Rows`; those of the plan begin where the history ends.
        value, mask, censor: ``[batch, row, obs]`` what was observed at the plan's queries.
        horizon: ``[batch, row]`` time from the cut to each query.
        subject: ``[batch]`` row of each subject in the cohort.
        events: how each subject's follow-up ended, or None where that was not asked.
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
    events: Events | None = None

    @classmethod
    def of(
        cls,
        episodes: Episodes,
        targets: Targets,
        subject: NDArray[np.int64],
        max_step: float,
        ends: EventTargets | None = None,
    ) -> Self:
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
            None if ends is None else _events(ends, plan.query_row),
        )

    def take(self, chosen: Tensor) -> Self:
        """Some subjects of the batch."""
        parts: list[Any] = [
            type(item)(*(column[chosen] for column in item))
            if isinstance(item, Rows | Events)
            else None
            if item is None
            else item[chosen]
            for item in self
        ]
        return type(self)(*parts)


def _events(ends: EventTargets, query_row: NDArray[np.int64]) -> Events:
    rows = (torch.as_tensor(query_row[ends.start]), torch.as_tensor(query_row[ends.end]))
    return Events(*rows, torch.as_tensor(ends.event), torch.ones(len(ends.event)))


def random_cuts(
    cohort: Cohort, rng: np.random.Generator, min_visits: int, *, events: bool = False, share: float | None = None
) -> NDArray[np.float64]:
    """For each subject one of its own visits as the cut: at least ``min_visits`` up to it and one after it.

    With ``events`` its last visit may be the cut too, where the follow-up is known to go on. With ``share`` all are cut
    after that share of the visits that may be. Subjects with too few visits get NaN, which leaves them out of every
    episode.
    """
    cuts = np.full(len(cohort), np.nan)
    chance = rng.random(len(cohort)) if share is None else np.full(len(cohort), share)
    for subject, choices in enumerate(_choices(cohort, min_visits, events)):
        if len(choices):
            cuts[subject] = choices[int(chance[subject] * len(choices))]
    return cuts


def _choices(cohort: Cohort, min_visits: int, events: bool) -> Iterator[NDArray[np.float64]]:
    """Of each subject the visits at which it may be cut."""
    ends = cohort.follow_up.time if events and cohort.follow_up is not None else np.full(len(cohort), np.nan)
    seen = cohort.observations
    bounds = np.searchsorted(seen.subject, np.arange(len(cohort) + 1))
    for subject in range(len(cohort)):
        visits = np.unique(seen.time[bounds[subject] : bounds[subject + 1]])
        goes_on = len(visits) >= min_visits and visits[-1] < ends[subject]
        yield visits[min_visits - 1 :] if goes_on else visits[min_visits - 1 : -1]


def _shares(cohort: Cohort, min_visits: int) -> NDArray[np.float64]:
    """``[subject]`` in how many places each could have been cut, over their mean.

    Whoever is followed for long can be cut in many places and is so at each of them less often than whoever left early:
    unweighted, hazards would be those of people who leave early.
    """
    counts = np.array([len(choices) for choices in _choices(cohort, min_visits, True)], dtype=np.float64)
    return np.asarray(counts / counts.mean())


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
    events: bool = False,
    share: float | None = None,
) -> Batch:
    """Episodes of some subjects, each cut at a random one of its visits.

    Args:
        forget: share of the past's observations that are hidden, at random: fewer subjects then suffice, because each
            is seen in many ways.
        late: longest time, drawn uniformly, by which the cut comes after the visit: doses given meanwhile are past.
        events: also ask how each subject's follow-up ended, see `neurotwin.landmarks`.
        share: of each subject's possible cuts those before the one that is taken; None draws it for each.
    """
    part = cohort.take(subjects)
    episodes, targets, kept = make_episodes(
        part,
        random_cuts(part, rng, min_visits, events=events, share=share) + late * rng.random(len(part)),
        min_visits=min_visits,
        max_horizon=max_horizon,
        events=events,
    )
    if forget:
        remembered = rng.random(len(episodes.observations)) >= forget
        episodes = replace(episodes, observations=episodes.observations.take(remembered))
    if not events or part.follow_up is None:
        return Batch.of(episodes, targets, subjects[kept], max_step)
    episodes, targets, ends = ask_ends(episodes, targets, part.follow_up.take(kept), max_horizon)
    batch = Batch.of(episodes, targets, subjects[kept], max_step, ends)
    weight = torch.as_tensor(_shares(part.take(kept), min_visits), dtype=torch.float32)
    return batch if batch.events is None else batch._replace(events=batch.events._replace(weight=weight))
