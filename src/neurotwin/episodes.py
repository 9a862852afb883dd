"""Episodes: each subject's past up to a cut, its treatments, and the times asked about after the cut.

This is the question that models, baselines and exported bundles answer alike; what came true is kept apart in
`Targets`, so that no answer can have seen it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import CohortError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.timeline import Timeline, build_timeline

if TYPE_CHECKING:  # the runtime builds forecasts without importing pydantic
    from neurotwin.cohort import Cohort
    from neurotwin.schema import Schema

Array = NDArray[np.float64]
NOTHING_SEEN, NOTHING_ASKED = Observations.of([], [], [], []), Queries.of()


@dataclass(frozen=True)
class Episodes:
    """One question per subject.

    Attributes:
        schema: what the columns mean.
        static, static_mask: ``[subject, static column]`` encoded covariates.
        start: ``[subject]`` clock of the first event.
        cut: ``[subject]`` time up to which the past is known.
        observations: what was observed at or before the cut.
        doses: treatments before the cut (history) and from the cut on (the plan).
        queries: times after the cut at which a forecast is asked.
    """

    schema: Schema
    static: Array
    static_mask: Array
    start: Array
    cut: Array
    observations: Observations
    doses: Doses
    queries: Queries

    def __len__(self) -> int:
        return len(self.cut)

    @property
    def past_doses(self) -> Doses:
        """Treatments before the cut; a period that runs past it has no known end yet."""
        before = self.doses.take(self.doses.time < self.cut[self.doses.subject])
        return replace(before, end=np.where(before.end > self.cut[before.subject], np.inf, before.end))

    @property
    def clock(self) -> Array:
        """``[subject]`` time of the last event of the past, where the assimilated state stands."""
        doses, last = self.doses, self.start.copy()
        np.maximum.at(last, self.observations.subject, self.observations.time)
        cut = self.cut[doses.subject]
        past = doses.time < cut
        ended = past & (doses.end <= cut)
        np.maximum.at(last, doses.subject[past], doses.time[past])
        np.maximum.at(last, doses.subject[ended], doses.end[ended])
        return last

    def history(self, max_step: float) -> Timeline:
        """The past as rows, for assimilation."""
        return self._timeline(self.start, self.observations, self.past_doses, NOTHING_ASKED, max_step)

    def plan(self, max_step: float) -> Timeline:
        """The treatments and queries after the assimilated state's clock as rows, for the forecast."""
        clock, doses = self.clock, self.doses
        ahead = np.where(doses.is_bolus, doses.time >= self.cut[doses.subject], doses.end > clock[doses.subject])
        # What is given after a subject's last question changes no answer, and would only make rows.
        last = np.full(len(self), -np.inf)
        np.maximum.at(last, self.queries.subject, self.queries.time)
        ahead &= doses.time <= last[doses.subject]
        return self._timeline(clock, NOTHING_SEEN, doses.take(ahead), self.queries, max_step)

    def take(self, subjects: NDArray[Any]) -> Self:
        """Some subjects, in the order given; queries keep their order within each subject."""
        index = np.arange(len(self))[np.asarray(subjects)]
        return replace(
            self,
            static=self.static[index],
            static_mask=self.static_mask[index],
            start=self.start[index],
            cut=self.cut[index],
            observations=self.observations.of_subjects(index),
            doses=self.doses.of_subjects(index),
            queries=self.queries.of_subjects(index),
        )

    def _timeline(
        self, start: Array, observations: Observations, doses: Doses, queries: Queries, max_step: float
    ) -> Timeline:
        return build_timeline(
            start=start,
            static=self.static,
            static_mask=self.static_mask,
            n_variables=len(self.schema.variables),
            n_treatments=len(self.schema.treatments),
            observations=observations,
            doses=doses,
            queries=queries,
            max_step=max_step,
        )


@dataclass(frozen=True)
class Targets:
    """What was observed at the queries. ``query`` is the row in `Episodes.queries`."""

    query: NDArray[np.int64]
    variable: NDArray[np.int16]
    value: Array
    censor: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: NDArray[Any]) -> Self:
        """Some of them, in the order given."""
        return replace(
            self,
            query=self.query[rows],
            variable=self.variable[rows],
            value=self.value[rows],
            censor=self.censor[rows],
        )


@dataclass(frozen=True)
class Forecast:
    """Answer to episodes, in the variables' units.

    Attributes:
        levels: ``[quantile]`` rising probabilities, 0.5 among them.
        quantiles: ``[query, obs, quantile]`` of the latent values: those of what is recorded, once it went through each
            variable's head, as calibration and scoring see to (`neurotwin.heads.Head.recorded`).
        draws: ``[query, obs, draw]`` joint draws (one draw is one possible course of one subject), or None.
        ok: ``[query]`` False where the answer could not be computed.
        incidence: ``[query, outcome]`` probability that each outcome has happened by the query, of a subject who was
            free of all of them at its cut; or None.
        mean: ``[query, obs]`` expected records, of a bernoulli the probability of a 1, or None.
    """

    levels: Array
    quantiles: Array
    draws: Array | None = None
    ok: NDArray[np.bool_] | None = None
    mean: Array | None = None
    incidence: Array | None = None

    @property
    def median(self) -> Array:
        """``[query, obs]``"""
        return self.quantiles[:, :, int(np.argmin(np.abs(self.levels - 0.5)))]


Predict = Callable[[Episodes], Forecast]


def make_episodes(
    cohort: Cohort, cut: ArrayLike, *, min_visits: int = 2, max_horizon: float = np.inf, events: bool = False
) -> tuple[Episodes, Targets, NDArray[np.int64]]:
    """Cut each subject's course at ``cut`` (one time, or one per subject).

    Subjects with fewer than ``min_visits`` visits up to the cut, or none within ``max_horizon`` after it, are left
    out. With ``events`` the course may also end with the follow-up: subjects whose follow-up goes on after the cut need
    no later visit, and those whose follow-up has ended by then are left out. Returns the episodes, what came true at
    later visits, and the cohort row of each episode.

    Raises:
        CohortError: no subject is left.
    """
    seen, n = cohort.observations, len(cohort)
    cut = np.broadcast_to(np.asarray(cut, dtype=np.float64), (n,))
    past = seen.time <= cut[seen.subject]
    ahead = ~past & (seen.time <= cut[seen.subject] + max_horizon)
    visits_before = _count_visits(seen.take(past), n)
    asked_about = np.bincount(seen.subject[ahead], minlength=n) > 0
    if events and cohort.follow_up is not None:
        asked_about = (asked_about & np.isnan(cohort.follow_up.time)) | (cohort.follow_up.time > cut)
    kept = np.flatnonzero((visits_before >= min_visits) & asked_about)
    if not len(kept):
        raise CohortError(
            "no subject can be forecast",
            where=f"cohort of {n} subjects",
            expected=f"at least {min_visits} visits up to the cut and one after it",
        )
    future = seen.take(ahead).of_subjects(kept)
    keys = np.stack([future.subject, future.time, future.post_dose], axis=1)
    asked, query = np.unique(keys, axis=0, return_inverse=True)
    static, static_mask = cohort.schema.encode_statics(cohort.statics[kept])
    episodes = Episodes(
        schema=cohort.schema,
        static=static,
        static_mask=static_mask,
        start=np.minimum(cohort.start[kept], cut[kept]),
        cut=cut[kept],
        observations=seen.take(past).of_subjects(kept),
        doses=cohort.doses.of_subjects(kept),
        queries=Queries.of(asked[:, 0], asked[:, 1], asked[:, 2]),
    )
    return episodes, Targets(query.reshape(-1), future.variable, future.value, future.censor), kept


def _count_visits(observations: Observations, n_subjects: int) -> NDArray[np.int64]:
    """Distinct observation times per subject; the table is sorted by subject and time."""
    if not len(observations):
        return np.zeros(n_subjects, dtype=np.int64)
    fresh = np.r_[True, (np.diff(observations.subject) != 0) | (np.diff(observations.time) != 0)]
    return np.bincount(observations.subject[fresh], minlength=n_subjects)
