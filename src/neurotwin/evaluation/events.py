"""evaluate_events(): risks of outcomes, judged at a landmark by the same questions and the same code."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Predict
from neurotwin.errors import CohortError, ConfigError, ExtraMissingError, InputError
from neurotwin.evaluation.bootstrap import percentile_interval, resamples
from neurotwin.evaluation.cuts import landmark_cuts
from neurotwin.evaluation.event_baselines import BaseRate, LandmarkCox, PredictRisk, landmark
from neurotwin.evaluation.event_metrics import Censoring, Pairs, squared_errors, status_weights
from neurotwin.evaluation.results import Estimate, EventDifference, EventReport, EventScore, IntegratedBrier
from neurotwin.follow_up import CENSORED, FollowUp
from neurotwin.landmarks import risks_of

Array = NDArray[np.float64]
GRID = 24
"""Times at which the Brier score is taken to be integrated."""


def evaluate_events(
    predictors: Mapping[str, PredictRisk],
    subjects: Cohort,
    *,
    cut: float | str,
    horizons: Sequence[float],
    baselines: Sequence[str] = (),
    min_visits: int = 2,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> EventReport:
    """Ask each predictor for the risks of subjects who are free of all outcomes at the landmark, and score them.

    Args:
        predictors: name to callable.
        subjects: whom no predictor was trained on, with their follow-up.
        cut: one landmark for all, or ``"random"`` (`landmark_cuts`).
        horizons: rising times after the landmark, in the schema's time unit.
        baselines: names of the predictors that each other one is compared with.
        n_bootstrap: patient bootstrap replicates; the censoring is estimated once, on all of them.

    Raises:
        ConfigError: horizons that do not rise from above 0, or a baseline that is no predictor.
        CohortError: nobody reached the landmark.
        InputError: risks of another shape, or not between 0 and 1.
    """
    times = np.asarray(horizons, dtype=np.float64)
    if not len(times) or not (np.diff(np.r_[0.0, times]) > 0).all() or not np.isfinite(times).all():
        raise ConfigError(f"horizons {list(horizons)}", where="horizons", expected="rising, finite times above 0")
    if unknown := sorted(set(baselines) - set(predictors)):
        raise ConfigError(f"no predictor named {unknown[0]}", where="baselines", expected=", ".join(predictors))
    cuts = landmark_cuts(subjects, cut, min_visits=min_visits, seed=seed)
    episodes, ends, _ = landmark(subjects, cuts, min_visits=min_visits)
    grid = np.unique(np.r_[times, np.linspace(0, times[-1], GRID + 1)[1:]])
    asked = risks_of(episodes, grid)
    shape = (len(episodes), len(grid), len(subjects.schema.outcomes))
    risks = {name: _checked(name, predict(asked), shape) for name, predict in predictors.items()}
    outcomes = tuple(one.name for one in subjects.schema.outcomes)
    return score_events(
        risks, ends, outcomes, grid, times, cut=cut, baselines=baselines, n_bootstrap=n_bootstrap, seed=seed
    )


def score_events(
    risks: Mapping[str, Array],
    ends: FollowUp,
    outcomes: Sequence[str],
    grid: Array,
    horizons: Array,
    *,
    cut: float | str,
    baselines: Sequence[str] = (),
    n_bootstrap: int = 1000,
    seed: int = 0,
    strata: NDArray[np.int64] | None = None,
) -> EventReport:
    """Score risks ``[subject, grid, outcome]`` that are there already; ``ends`` counts from the landmark.

    ``strata`` ``[subject]`` are the folds of models of their own, between which no pair is compared (`Pairs`).
    """
    time, event = ends.time, ends.event.astype(np.int64)
    weight = np.concatenate([np.ones((1, len(time))), *resamples(len(time), n_bootstrap, seed)])
    censoring = Censoring.fit(time, event)
    scores, found, integrated = [], {}, []
    for (name, risk), (number, outcome) in product(risks.items(), enumerate(outcomes)):
        errors = [squared_errors(time, event, number, at, risk[:, n, number], censoring) for n, at in enumerate(grid)]
        brier = weight @ np.stack(errors, axis=1) / weight.sum(1, keepdims=True)
        whole = np.trapezoid(np.c_[np.zeros(len(brier)), brier], np.r_[0.0, grid], axis=1) / grid[-1]
        integrated.append(
            IntegratedBrier(predictor=name, outcome=outcome, until=float(grid[-1]), value=_estimate(whole))
        )
        for at in horizons.tolist():
            place = int(np.searchsorted(grid, at))
            own = risk[:, place, number]
            c_index = Pairs.of(time, event, number, at, own, censoring, strata).concordance(weight)
            found[name, outcome, at] = c_index, brier[:, place]
            happened = (time <= at) & (event == number)
            observed = status_weights(time, event, at, censoring) * happened
            scores.append(
                EventScore(
                    predictor=name,
                    outcome=outcome,
                    horizon=at,
                    n_subjects=len(time),
                    n_events=int(happened.sum()),
                    c_index=_estimate(c_index),
                    brier=_estimate(brier[:, place]),
                    predicted=_estimate(weight @ own / weight.sum(1)),
                    observed=_estimate(weight @ observed / weight.sum(1)),
                    groups=_thirds(own, observed),
                )
            )
    differences = [
        EventDifference(
            predictor=name,
            baseline=baseline,
            outcome=outcome,
            horizon=at,
            c_index=_estimate(found[name, outcome, at][0] - found[baseline, outcome, at][0]),
            brier=_estimate(found[name, outcome, at][1] - found[baseline, outcome, at][1]),
        )
        for name, baseline, outcome, at in product(risks, baselines, outcomes, horizons.tolist())
        if name not in baselines
    ]
    labels = {CENSORED: "censored", **dict(enumerate(outcomes))}
    return EventReport(
        cut=cut if isinstance(cut, float | int) else "random",
        horizons=tuple(horizons.tolist()),
        n_subjects=len(time),
        ended={name: int((event == code).sum()) for code, name in labels.items()},
        predictors=tuple(risks),
        scores=tuple(scores),
        integrated=tuple(integrated),
        differences=tuple(differences),
    )


def risk_predictors(predictors: Mapping[str, Predict]) -> dict[str, PredictRisk]:
    """As callables that tell risks; those of a predictor that tells none have no outcomes."""

    def of(predict: Predict) -> PredictRisk:
        def risks(episodes: Episodes) -> Array:
            found = predict(episodes).incidence
            return np.zeros((len(episodes.queries), 0)) if found is None else found

        return risks

    return {name: of(predict) for name, predict in predictors.items()}


def event_section(
    predictors: Mapping[str, PredictRisk],
    train: Cohort,
    subjects: Cohort,
    *,
    cut: float | str,
    horizons: Sequence[float] = (),
    min_visits: int = 2,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> EventReport | None:
    """What `evaluate` says of event times beside its other scores: with the base rate and landmark Cox models of the
    training part, where they can be fitted; predictors that tell no risk are left out. None for a cohort without
    outcomes.

    Without finite horizons the quartiles of the training part's event times are asked for.
    """
    if subjects.follow_up is None:
        return None
    cuts = landmark_cuts(train, cut, min_visits=min_visits, seed=seed)
    fitted: dict[str, PredictRisk] = {}
    left_out: dict[str, str] = {}
    for name, fit in (("base_rate", BaseRate.fit), ("landmark_cox", LandmarkCox.fit)):
        try:
            fitted[name] = fit(train, cuts, min_visits=min_visits)
        except (CohortError, ExtraMissingError) as error:
            left_out[name] = error.what
    own = landmark_cuts(subjects, cut, min_visits=min_visits, seed=seed)
    trial = risks_of(landmark(subjects, own, min_visits=min_visits)[0].take(np.arange(1)), [1.0])
    telling = {name: predict for name, predict in predictors.items() if predict(trial).shape[1]}
    times = [float(one) for one in horizons if np.isfinite(one)] or _quartiles(train, cuts, min_visits)
    report = evaluate_events(
        {**telling, **fitted},
        subjects,
        cut=cut,
        horizons=times,
        baselines=list(fitted),
        min_visits=min_visits,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    return report.model_copy(update={"left_out": left_out})


def _quartiles(train: Cohort, cuts: Array, min_visits: int) -> list[float]:
    _, ends, _ = landmark(train, cuts, min_visits=min_visits)
    times = ends.time[ends.event != CENSORED]
    if not len(times):
        raise CohortError("no outcome after the landmark", where="training part", expected="at least one event")
    return sorted({float(f"{one:.3g}") for one in np.quantile(times, [0.25, 0.5, 0.75])})


def _checked(name: str, risk: Array, shape: tuple[int, int, int]) -> Array:
    if risk.shape != (shape[0] * shape[1], shape[2]):
        raise InputError(f"risks have shape {risk.shape}", where=name, expected=f"{(shape[0] * shape[1], shape[2])}")
    if not (np.isfinite(risk).all() and (risk >= -1e-4).all() and (risk.sum(1) <= 1 + 1e-4).all()):
        raise InputError("risks that are no probabilities", where=name, expected="from 0 to 1, together at most 1")
    return risk.reshape(shape)


def _thirds(risk: Array, observed: Array) -> tuple[tuple[float, float], ...]:
    """Mean risk and share to whom it happened in each third of the risk; one group where all risks are alike."""
    if np.ptp(risk) == 0 or len(risk) < 3:
        return ((float(risk.mean()), float(observed.mean())),)
    parts = np.array_split(np.argsort(risk, kind="stable"), 3)
    return tuple((float(risk[part].mean()), float(observed[part].mean())) for part in parts)


def _estimate(replicates: Array) -> Estimate:
    """Of the first, with the interval of the others."""
    low, high = percentile_interval(replicates[1:, None])
    return Estimate.of(float(replicates[0]), float(low[0]), float(high[0]))
