"""Proportional hazards of one outcome among others, penalised, with what is needed for its incidence."""

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import CohortError
from neurotwin.extras import need

Array = NDArray[np.float64]
PENALTIES = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the precision of a coefficient's Gaussian prior, in standard deviations of its covariate."""


@dataclass(frozen=True)
class Cox:
    """Cause-specific Cox model (Cox, J. R. Statist. Soc. B 1972;34:187-220) with a ridge penalty.

    Attributes:
        coefficients: ``[feature]`` log hazard ratios.
        times: rising times of the outcome.
        hazard: ``[time]`` Breslow's steps of the baseline's cumulative hazard.
        penalty: half the weight of the squared coefficients.
    """

    coefficients: Array
    times: Array
    hazard: Array
    penalty: float

    @classmethod
    def fit(cls, time: Array, happened: NDArray[np.bool_], features: Array, *, penalty: float | None = None) -> Self:
        """By partial likelihood, ties as Efron's; other outcomes count as censored.

        Args:
            features: ``[subject, feature]``, standardised if one penalty is to suit all.
            penalty: None chooses among `PENALTIES` by five-fold cross-validated partial likelihood (Verweij, van
                Houwelingen, Statistics in Medicine 1993;12:2305-2314).

        Raises:
            CohortError: the outcome never happened.
        """
        if not happened.any():
            raise CohortError("an outcome that never happened", where="training part", expected="at least one event")
        if penalty is None:
            penalty = _choose(time, happened, features)
        coefficients = _maximum(_model(time, happened, features), penalty)
        relative = np.exp(features @ coefficients)
        order = np.argsort(time)
        at_risk = relative[order][::-1].cumsum()[::-1]
        times, count = np.unique(time[happened], return_counts=True)
        hazard = count / at_risk[np.searchsorted(time[order], times)]
        return cls(coefficients, times, hazard, penalty)


def incidences(models: list[Cox], features: Array, at: Array) -> Array:
    """``[subject, at, outcome]`` cumulative incidences from the cause-specific models of all outcomes."""
    times = np.unique(np.concatenate([one.times for one in models]))
    steps = np.zeros((len(features), len(times), len(models)))
    for number, one in enumerate(models):
        relative = np.exp(features @ one.coefficients)
        steps[:, np.searchsorted(times, one.times), number] = relative[:, None] * one.hazard
    # A step is a hazard over a moment: exp keeps the survival positive where someone's is large.
    after = np.exp(-np.cumsum(steps.sum(2), axis=1))
    before = np.concatenate([np.ones((len(features), 1)), after[:, :-1]], axis=1)
    total = steps.sum(2, keepdims=True)
    share = np.divide(steps, total, out=np.zeros_like(steps), where=total > 0)
    summed = np.cumsum(share * (before - after)[..., None], axis=1)
    summed = np.concatenate([np.zeros((len(features), 1, len(models))), summed], axis=1)
    return np.asarray(summed[:, np.searchsorted(times, at, side="right")])


def _model(time: Array, happened: NDArray[np.bool_], features: Array) -> Any:
    regression = need("statsmodels.duration.hazard_regression", "baselines")
    return regression.PHReg(time, features, happened.astype(int), ties="efron")


def _maximum(model: Any, penalty: float) -> Array:
    """Newton's method with halved steps."""
    size = model.exog.shape[1]
    found, ridge = np.zeros(size), penalty * np.eye(size)

    def gained(one: Array) -> float:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return float(model.loglike(one) - 0.5 * penalty * one @ one)

    best = gained(found)
    for _ in range(50):
        step = np.linalg.solve(ridge - model.hessian(found), model.score(found) - penalty * found)
        length = 1.0
        while not (now := gained(found + length * step)) >= best and length > 1e-6:
            length /= 2
        if length <= 1e-6:
            break
        done = now - best < 1e-9 * (1 + abs(best))
        found, best = found + length * step, now
        if done:
            break
    return found


def _choose(time: Array, happened: NDArray[np.bool_], features: Array) -> float:
    fold = np.arange(len(time)) % 5
    scores = dict.fromkeys(PENALTIES, 0.0)
    whole = _model(time, happened, features)
    for number in range(5):
        kept = fold != number
        if not happened[kept].any():
            continue
        part = _model(time[kept], happened[kept], features[kept])
        for penalty in PENALTIES:
            found = _maximum(part, penalty)
            scores[penalty] += float(whole.loglike(found) - part.loglike(found))
    return max(scores, key=lambda one: scores[one])
