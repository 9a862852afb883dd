"""evaluate(): any callable that answers episodes is judged by the same questions and the same code.

The question is made once: each subject's past up to its cut, and the times of its later visits (see
`neurotwin.episodes`). Predictors never see what came true. All numbers are made by `neurotwin.evaluation.scoring`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin import __version__
from neurotwin.calibration import check_horizons
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, Predict, Targets, make_episodes
from neurotwin.errors import ConfigError, InputError
from neurotwin.evaluation.bootstrap import CONFIDENCE
from neurotwin.evaluation.calibration import check_level
from neurotwin.evaluation.cuts import choose_cuts
from neurotwin.evaluation.results import EvaluationReport, VariableCount, finite
from neurotwin.evaluation.scoring import Group, score_group
from neurotwin.evaluation.subgroups import score_subgroups

Array = NDArray[np.float64]


def evaluate(
    predictors: Mapping[str, Predict],
    cohort: Cohort,
    *,
    cut: ArrayLike | str,
    horizons: Sequence[float],
    level: float = 0.9,
    baselines: Sequence[str] = (),
    min_visits: int = 2,
    n_bootstrap: int = 1000,
    seed: int = 0,
    by: Sequence[str] = (),
) -> EvaluationReport:
    """Ask each predictor about each subject's future and score the answers.

    Scores are per variable, in its unit and, where it is modelled as a logarithm, on that scale too; over all horizons
    and per horizon bin; pooled over measurements and with each patient weighing the same; each with a 95 % patient
    bootstrap interval. Left out and counted: censored measurements, measurements that the log scale cannot hold, and
    those that the predictor did not answer (``ok`` False, or no finite quantiles). Differences from the baselines use
    the measurements that both answered, in the same resamples.

    Args:
        predictors: name to callable.
        cohort: subjects that no predictor was trained on.
        cut: one time, one per subject, or ``"random"``: one random visit per subject, drawn with ``seed``.
        horizons: rising upper edges of the horizon bins, counted from the cut in the schema's time unit; later visits
            are not asked. ``[inf]`` asks about all of them in one bin.
        level: of the interval whose coverage and width are scored.
        baselines: names of the predictors that each other one is compared with.
        min_visits: visits up to the cut that a subject needs.
        n_bootstrap: replicates.
        seed: of the bootstrap and of random cuts.
        by: static covariates by whose values the subjects are scored apart too, see `score_subgroups`.

    Raises:
        ConfigError: an argument out of range, a baseline that is no predictor, or a covariate that is not there.
        CohortError: no subject has a past and a future.
        InputError: a forecast does not have the shape that the episodes ask for.
    """
    edges = check_horizons(horizons)
    cuts = choose_cuts(cohort, cut, min_visits=min_visits, max_horizon=float(edges[-1]), seed=seed)
    episodes, targets, rows = make_episodes(cohort, cuts, min_visits=min_visits, max_horizon=float(edges[-1]))
    forecasts = {name: predict(episodes) for name, predict in predictors.items()}
    report = score(
        forecasts,
        episodes,
        targets,
        horizons=horizons,
        level=level,
        baselines=baselines,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    if isinstance(cut, str) or np.ndim(cut):
        told: float | str = "random" if isinstance(cut, str) else "per_subject"
    else:
        told = float(np.asarray(cut))
    found = score_subgroups(
        forecasts, episodes, targets, cohort, rows, by, level=level, n_bootstrap=n_bootstrap, seed=seed
    )
    asked = {"cut": told, "min_visits": min_visits, "n_subjects": len(cohort), "subgroups": tuple(found)}
    return report.model_copy(update=asked)


def score(
    forecasts: Mapping[str, Forecast],
    episodes: Episodes,
    targets: Targets,
    *,
    horizons: Sequence[float],
    level: float = 0.9,
    baselines: Sequence[str] = (),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> EvaluationReport:
    """Score answers that are there already; arguments and errors as in `evaluate`."""
    edges = check_horizons(horizons)
    check_level(level)
    if n_bootstrap < 2:
        raise ConfigError(f"n_bootstrap {n_bootstrap}", where="evaluate", expected="2 or more")
    if not forecasts or (unknown := sorted(set(baselines) - set(forecasts))):
        raise ConfigError(
            f"no predictor named {', '.join(unknown)}" if forecasts else "no predictors",
            where="baselines" if forecasts else "evaluate",
            expected=f"one of {', '.join(forecasts)}" if forecasts else "at least one",
        )
    for name, forecast in forecasts.items():
        check_forecast(name, forecast, episodes)
    scored = [
        score_group(group, baselines=baselines, level=level, edges=edges, n_bootstrap=n_bootstrap, seed=seed)
        for index in range(len(episodes.schema.variables))
        for group in Group.of_variable(index, forecasts, episodes, targets, edges)
    ]
    schema = episodes.schema
    return EvaluationReport(
        version=__version__,
        cohort=schema.name,
        time_unit=schema.time_unit,
        cut="per_subject",
        min_visits=0,
        horizons=tuple(finite(edge) for edge in edges),
        level=level,
        confidence=CONFIDENCE,
        n_bootstrap=n_bootstrap,
        seed=seed,
        n_subjects=len(episodes),
        n_scored=len(episodes),
        n_queries=len(episodes.queries),
        predictors=tuple(forecasts),
        baselines=tuple(baselines),
        variables={variable.name: _count(index, episodes, targets) for index, variable in enumerate(schema.variables)},
        failed={name: 0 if one.ok is None else int((~one.ok).sum()) for name, one in forecasts.items()},
        scores=tuple(one for part in scored for one in part.scores),
        differences=tuple(one for part in scored for one in part.differences),
        reliability=tuple(one for part in scored for one in part.reliability),
    )


def check_forecast(name: str, forecast: Forecast, episodes: Episodes) -> None:
    """Raise InputError unless the answer has the shape that the episodes ask for, and rising levels with 0.5."""
    levels = np.asarray(forecast.levels)
    shape = (len(episodes.queries), len(episodes.schema.variables), len(levels))
    if forecast.quantiles.shape != shape:
        raise InputError(
            f"quantiles have shape {forecast.quantiles.shape}", where=f"forecast of {name}", expected=f"{shape}"
        )
    if not (np.diff(levels) > 0).all() or levels[0] <= 0 or levels[-1] >= 1 or np.abs(levels - 0.5).min() > 1e-6:
        raise InputError(
            f"levels {levels.tolist()}", where=f"forecast of {name}", expected="rising, between 0 and 1, with 0.5"
        )
    if forecast.ok is not None and forecast.ok.shape != shape[:1]:
        raise InputError(f"ok has shape {forecast.ok.shape}", where=f"forecast of {name}", expected=f"{shape[:1]}")


def _count(index: int, episodes: Episodes, targets: Targets) -> VariableCount:
    variable = episodes.schema.variables[index]
    mine = targets.variable == index
    exact = mine & (targets.censor == 0)
    off_scale = exact & (targets.value + variable.offset <= 0) & (variable.transform == "log")
    return VariableCount(
        n_targets=int(exact.sum()), n_censored=int((mine & ~exact).sum()), n_off_scale=int(off_scale.sum())
    )
