"""Five folds instead of one split: every subject is forecast once, by a predictor that never saw it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import check_horizons
from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.episodes import Episodes, Forecast, Predict, Targets, make_episodes
from neurotwin.errors import InputError
from neurotwin.evaluation.cuts import choose_cuts
from neurotwin.evaluation.evaluate import check_forecast, score
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.events import Doses, Observations, Queries

Fit = Callable[[Cohort, Cohort], Predict]  # (train, validation) -> predictor
Answered = tuple[Mapping[str, Forecast], Episodes, Targets]


def cross_validate(
    fits: Mapping[str, Fit],
    cohort: Cohort,
    *,
    cut: float | str,
    horizons: Sequence[float],
    level: float = 0.9,
    baselines: Sequence[str] = (),
    min_visits: int = 2,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> EvaluationReport:
    """Fit on each rotation of the split, forecast its test part, and score all test parts together.

    Args:
        fits: name to a function that makes a predictor from a train and a validation cohort.
        cohort: all subjects; `Cohort.part` splits them.

    Other arguments and errors as in `neurotwin.evaluation.evaluate`.
    """
    furthest = float(check_horizons(horizons)[-1])
    answered = []
    for rotation in range(N_FOLDS):
        train, validation, test = (cohort.part(part, rotation) for part in ("train", "validation", "test"))
        cuts = choose_cuts(test, cut, min_visits=min_visits, max_horizon=furthest, seed=seed)
        episodes, targets, _ = make_episodes(test, cuts, min_visits=min_visits, max_horizon=furthest)
        forecasts = {name: fit(train, validation)(episodes) for name, fit in fits.items()}
        for name, forecast in forecasts.items():
            check_forecast(name, forecast, episodes)
        answered.append((forecasts, episodes, targets))
    report = score(
        *pool(answered), horizons=horizons, level=level, baselines=baselines, n_bootstrap=n_bootstrap, seed=seed
    )
    told = "random" if isinstance(cut, str) else float(cut)
    return report.model_copy(update={"cut": told, "min_visits": min_visits, "n_subjects": len(cohort)})


def pool(parts: Sequence[Answered]) -> Answered:
    """Put answers about several cohorts of the same schema one after the other.

    Raises:
        InputError: no parts, or a predictor that is missing from a part or has other levels there.
    """
    if not parts:
        raise InputError("no parts to pool", where="pool")
    forecasts, episodes, targets = zip(*parts, strict=True)
    merged = {name: _pool_forecasts(name, [part.get(name) for part in forecasts]) for name in forecasts[0]}
    n_queries = np.cumsum([0, *(len(part.queries) for part in episodes)])
    whole = Targets(
        query=np.concatenate([one.query + first for one, first in zip(targets, n_queries[:-1], strict=True)]),
        variable=np.concatenate([one.variable for one in targets]),
        value=np.concatenate([one.value for one in targets]),
        censor=np.concatenate([one.censor for one in targets]),
    )
    return merged, _pool_episodes(episodes), whole


def _pool_forecasts(name: str, parts: Sequence[Forecast | None]) -> Forecast:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or any(not np.array_equal(part.levels, known[0].levels) for part in known):
        raise InputError(f"{name} is missing from a part or has other levels there", where="pool")
    ok = [np.ones(len(part.quantiles), np.bool_) if part.ok is None else part.ok for part in known]
    return Forecast(known[0].levels, np.concatenate([part.quantiles for part in known]), ok=np.concatenate(ok))


def _pool_episodes(parts: Sequence[Episodes]) -> Episodes:
    first = np.cumsum([0, *(len(part) for part in parts)])[:-1]

    def joined(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts])

    def shifted(name: str) -> list[Any]:
        tables = [getattr(part, name) for part in parts]
        return [replace(one, subject=one.subject + np.int32(k)) for one, k in zip(tables, first, strict=True)]

    return replace(
        parts[0],
        static=joined("static"),
        static_mask=joined("static_mask"),
        start=joined("start"),
        cut=joined("cut"),
        observations=Observations.concatenate(*shifted("observations")),
        doses=Doses.concatenate(*shifted("doses")),
        queries=Queries.concatenate(*shifted("queries")),
    )
