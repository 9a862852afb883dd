"""Baseline: gradient-boosted trees on a summary of each subject's past.

One regression per variable tells the change from the last value on the modelling scale, with the absolute error as its
loss, so that it aims at the median. It is fitted on many cuts per training subject; the interval is the spread of
what models fitted without a subject missed on that subject, by how far ahead they looked.
Sources: Friedman 2001, Greedy function approximation, Ann Stat 29:1189-1232; Ke et al. 2017, LightGBM, NeurIPS (the
histograms that scikit-learn uses); Vovk 2015, Cross-conformal predictors, Ann Math Artif Intell 74:9-28 (the interval).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, make_episodes
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.cuts import random_cuts
from neurotwin.evaluation.history_features import PER_VARIABLE, query_features
from neurotwin.evaluation.residuals import LEVELS, Residuals, by_elapsed, check_levels, check_names, to_units
from neurotwin.extras import need

Array = NDArray[np.float64]

TREES: dict[str, Any] = {
    "learning_rate": 0.03,
    "max_iter": 300,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "l2_regularization": 10.0,
    "max_features": 0.3,
}
"""Settings of scikit-learn's HistGradientBoostingRegressor: small trees, each split over a share of the features."""


class _Rows(NamedTuple):
    """Training rows of one variable."""

    features: Array
    value: Array
    subject: NDArray[np.int64]
    horizon: Array

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "_Rows":
        return _Rows(self.features[chosen], self.value[chosen], self.subject[chosen], self.horizon[chosen])


@dataclass(frozen=True)
class _Trees:
    """What is fitted for one variable: trees for the change, what stands for a missing last value, intervals."""

    trees: Any
    columns: NDArray[np.bool_]  # features that were ever known
    last: int
    middle: float
    edges: Array
    residual: Array

    def median(self, features: Array) -> Array:
        known = np.isfinite(features[:, self.last])
        return np.asarray(
            np.where(known, features[:, self.last], self.middle) + self.trees.predict(features[:, self.columns])
        )


@dataclass(frozen=True)
class GradientBoosting:
    """Boosted trees per variable; variables that were not asked for are not answered (NaN).

    Attributes:
        levels: ``[quantile]``.
        fitted: position of a variable in the schema to its trees.
    """

    levels: Array
    fitted: dict[int, _Trees]

    @classmethod
    def fit(
        cls,
        cohort: Cohort,
        *,
        levels: Sequence[float] = LEVELS,
        variables: Sequence[str] | None = None,
        trees: dict[str, Any] | None = None,
        min_visits: int = 2,
        n_cuts: int = 8,
        n_folds: int = 4,
        n_bins: int = 5,
        max_rows: int = 200_000,
        seed: int = 0,
    ) -> Self:
        """From up to ``n_cuts`` different visits per training subject, taken as cuts.

        Args:
            cohort: training subjects.
            levels: of the quantiles.
            variables: names of those to forecast; None for all. Each reads the past of all.
            trees: settings that differ from `TREES`.
            min_visits: visits up to a cut.
            n_cuts: at most, per subject.
            n_folds: parts of the subjects, each forecast by trees fitted on the others, for the intervals.
            n_bins: bins of horizon with an interval of their own.
            max_rows: of one variable; more are thinned at random.
            seed: of cuts, parts and trees.

        Raises:
            ConfigError: levels, a count or a variable's name out of range.
            CohortError: no later value of a variable, or fewer subjects than parts.
            ExtraMissingError: scikit-learn is not installed.
        """
        checked, chosen = check_levels(levels), check_names(cohort.schema, variables)
        names = [variable.name for variable in cohort.schema.variables]
        if min(min_visits, n_cuts, n_bins, max_rows) < 1 or n_folds < 2:
            raise ConfigError(
                f"min_visits {min_visits}, n_cuts {n_cuts}, n_folds {n_folds}, n_bins {n_bins}, max_rows {max_rows}",
                where="GradientBoosting.fit",
                expected="1 or more, n_folds 2 or more",
            )
        rows = _training_rows(cohort, chosen, min_visits=min_visits, n_cuts=n_cuts, max_rows=max_rows, seed=seed)
        settings = {"loss": "absolute_error", "early_stopping": False, "random_state": seed, **TREES, **(trees or {})}
        part = np.random.default_rng(seed).permutation(len(cohort)) % n_folds
        fitted = {
            number: _fit_variable(rows[number], number, settings, part, checked, n_bins, names[number])
            for number in chosen
        }
        return cls(checked, fitted)

    def __call__(self, episodes: Episodes) -> Forecast:
        """The median of the trees with the spread of what they missed in training."""
        features = query_features(episodes)
        horizon = episodes.queries.time - episodes.cut[episodes.queries.subject]
        scaled = np.full((len(features), len(episodes.schema.variables), len(self.levels)), np.nan)
        for number, one in self.fitted.items():
            if len(features):
                bins = np.searchsorted(one.edges, horizon, side="left")
                scaled[:, number] = one.median(features)[:, None] + one.residual[bins]
        return Forecast(self.levels, to_units(scaled, episodes.schema))


def _training_rows(
    cohort: Cohort, chosen: Sequence[int], *, min_visits: int, n_cuts: int, max_rows: int, seed: int
) -> dict[int, _Rows]:
    parts: dict[int, list[_Rows]] = {number: [] for number in chosen}
    for cuts in distinct_cuts(cohort, n_cuts=n_cuts, min_visits=min_visits, seed=seed):
        episodes, targets, kept = make_episodes(cohort, cuts, min_visits=min_visits)
        features, owner = query_features(episodes), episodes.queries.subject
        horizon = episodes.queries.time - episodes.cut[owner]
        for number in chosen:
            value = modelled(episodes.schema.variables[number], targets.value)
            known = (targets.variable == number) & (targets.censor == 0) & np.isfinite(value)
            query = targets.query[known]
            parts[number].append(_Rows(features[query], value[known], kept[owner[query]], horizon[query]))
    together = {number: _Rows(*map(np.concatenate, zip(*rows, strict=True))) for number, rows in parts.items()}
    rng = np.random.default_rng(seed)
    return {
        number: rows.take(np.sort(rng.permutation(len(rows.value))[:max_rows])) if len(rows.value) > max_rows else rows
        for number, rows in together.items()
    }


def distinct_cuts(cohort: Cohort, *, n_cuts: int, min_visits: int, seed: int) -> list[Array]:
    """Up to ``n_cuts`` arrays ``[subject]`` of random visits as cuts, no visit twice; inf where none is left.

    Raises CohortError where no subject has enough visits.
    """
    found: list[Array] = []
    for turn in range(n_cuts):
        cuts = random_cuts(cohort, min_visits=min_visits, seed=seed + turn)
        for earlier in found:
            cuts = np.where(cuts == earlier, np.inf, cuts)
        if np.isfinite(cuts).any():
            found.append(cuts)
    if not found:
        raise CohortError(
            "no subject has enough visits",
            where=f"a cohort of {len(cohort)} subjects",
            expected=f"{min_visits} and one more",
        )
    return found


def _fit_variable(
    rows: _Rows, number: int, settings: dict[str, Any], part: NDArray[np.int64], levels: Array, n_bins: int, name: str
) -> _Trees:
    boosting = need("sklearn.ensemble", "baselines").HistGradientBoostingRegressor
    last = number * len(PER_VARIABLE) + PER_VARIABLE.index("last")
    of_row = part[rows.subject]
    if len(np.unique(of_row)) < 2:
        raise CohortError(f"too few later values of {name}", where="training cohort", remedy="leave the variable out")

    def fitted(some: _Rows) -> _Trees:
        middle = float(np.median(some.value))
        start = np.where(np.isfinite(some.features[:, last]), some.features[:, last], middle)
        columns = np.asarray(np.isfinite(some.features).any(axis=0))
        trees = boosting(**settings).fit(some.features[:, columns], some.value - start)
        return _Trees(trees, columns, last, middle, np.zeros(0), np.zeros((1, len(levels))))

    missed = np.empty(len(rows.value))
    for one in np.unique(of_row):
        left_out = of_row == one
        missed[left_out] = rows.value[left_out] - fitted(rows.take(~left_out)).median(rows.features[left_out])
    residuals = Residuals(rows.subject, np.full(len(missed), number), rows.horizon, missed)
    whole = fitted(rows)
    return _Trees(whole.trees, whole.columns, last, whole.middle, *by_elapsed(residuals, levels, n_bins, name))
