"""Baselines of event times: the base rate, and Cox models fitted at the landmark."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, make_episodes
from neurotwin.evaluation.cox import Cox, incidences
from neurotwin.evaluation.event_metrics import aalen_johansen
from neurotwin.evaluation.history_features import feature_names, query_features
from neurotwin.follow_up import FollowUp
from neurotwin.landmarks import risks_of

Array = NDArray[np.float64]
PredictRisk = Callable[[Episodes], Array]
"""Episodes to ``[query, outcome]`` probabilities that each outcome has happened by the query, the cut survived."""


def landmark(cohort: Cohort, cuts: Array, *, min_visits: int) -> tuple[Episodes, FollowUp, NDArray[np.int64]]:
    """Subjects who are free of all outcomes at their cut: the question without queries, the end of their follow-up
    counted from the cut, and their rows in the cohort. Raises CohortError when there are none."""
    known = cohort.follow_up if cohort.follow_up is not None else FollowUp.unknown(len(cohort))
    part = cohort.take(np.isfinite(known.time))
    rows = np.flatnonzero(np.isfinite(known.time))
    cuts = np.broadcast_to(cuts, (len(cohort),))[rows]
    episodes, _, kept = make_episodes(part, cuts, min_visits=min_visits, events=True)
    ends = known.take(rows[kept])
    return episodes, FollowUp(ends.time - episodes.cut, ends.event), rows[kept]


@dataclass(frozen=True)
class BaseRate:
    """The cumulative incidence of the training part, for everybody alike.

    Attributes:
        time, event: ``[subject]`` its follow-up from the landmark.
    """

    time: Array
    event: NDArray[np.int64]
    n_outcomes: int

    @classmethod
    def fit(cls, cohort: Cohort, cuts: Array, *, min_visits: int = 2) -> Self:
        """From the training part at the landmark."""
        _, ends, _ = landmark(cohort, cuts, min_visits=min_visits)
        return cls(ends.time, ends.event.astype(np.int64), len(cohort.schema.outcomes))

    def __call__(self, episodes: Episodes) -> Array:
        """See `PredictRisk`."""
        after = episodes.queries.time - episodes.cut[episodes.queries.subject]
        return aalen_johansen(self.time, self.event, self.n_outcomes, after)


@dataclass(frozen=True)
class LandmarkCox:
    """One penalised Cox model per outcome, from what is known at the landmark (van Houwelingen, Scandinavian J.
    Statistics 2007;34:70-85): the last value of each variable on its modelling scale, covariates, levels of treatments,
    time of the landmark and time since the last visit. The incidences follow from all cause-specific hazards together.

    Attributes:
        chosen: ``[feature]`` columns of `query_features`.
        mean, deviation: ``[feature]`` of the training part; what is missing counts as the mean.
        models: of the outcomes.
    """

    chosen: NDArray[np.int64]
    mean: Array
    deviation: Array
    models: tuple[Cox, ...]

    @classmethod
    def fit(cls, cohort: Cohort, cuts: Array, *, min_visits: int = 2) -> Self:
        """From the training part at the landmark.

        Raises:
            CohortError: nobody reached the landmark, or an outcome never happened after it.
            ExtraMissingError: statsmodels is not installed.
        """
        episodes, ends, _ = landmark(cohort, cuts, min_visits=min_visits)
        names = feature_names(episodes)
        wanted = {*episodes.schema.static_columns, "cut", "since_visit"}
        wanted |= {f"{one.name}.last" for one in cohort.schema.variables}
        wanted |= {f"{one.name}.level" for one in cohort.schema.treatments}
        table = query_features(risks_of(episodes, [1.0]))
        varies = np.array([np.nanstd(column) > 0 if np.isfinite(column).any() else False for column in table.T])
        chosen = np.flatnonzero(varies & np.isin(names, sorted(wanted)))
        mean, deviation = np.nanmean(table[:, chosen], axis=0), np.nanstd(table[:, chosen], axis=0)
        features = _standardised(table[:, chosen], mean, deviation)
        models = [Cox.fit(ends.time, ends.event == k, features) for k in range(len(cohort.schema.outcomes))]
        return cls(chosen, mean, deviation, tuple(models))

    def __call__(self, episodes: Episodes) -> Array:
        """See `PredictRisk`."""
        subject = episodes.queries.subject
        after = episodes.queries.time - episodes.cut[subject]
        table = query_features(risks_of(episodes, [1.0]))
        features = _standardised(table[:, self.chosen], self.mean, self.deviation)
        times, which = np.unique(after, return_inverse=True)
        return np.asarray(incidences(list(self.models), features, times)[subject, which])


def _standardised(table: Array, mean: Array, deviation: Array) -> Array:
    return np.where(np.isfinite(table), (table - mean) / deviation, 0.0)
