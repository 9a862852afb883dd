"""Scores of risks under censoring and competing outcomes. Pure functions on arrays, weighted by subject.

Times are counted from the landmark. Whoever is censored is stood in for by others like him: each subject counts by the
inverse of the probability of not having been censored (Graf, Schmoor, Sauerbrei, Schumacher, Statistics in Medicine
1999;18:2529-2545; with competing outcomes: Schoop, Beyersmann, Schumacher, Binder, Biometrical Journal 2011;53:88-112).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.follow_up import CENSORED

Array = NDArray[np.float64]
Events = NDArray[np.int64]


def aalen_johansen(time: Array, event: Events, n_outcomes: int, at: ArrayLike, weight: Array | None = None) -> Array:
    """Cumulative incidences ``[at, outcome]`` (Aalen, Johansen, Scandinavian J. Statistics 1978;5:141-150).

    Args:
        time, event: ``[subject]`` end of follow-up and outcome, negative where censored.
        weight: ``[subject]`` how often each subject counts; None: once.
    """
    weight = np.ones(len(time)) if weight is None else weight
    ends, place = np.unique(time, return_inverse=True)
    leaving = np.bincount(place, weights=weight, minlength=len(ends))
    at_risk = leaving[::-1].cumsum()[::-1]
    events = np.stack([np.bincount(place, weight * (event == k), len(ends)) for k in range(n_outcomes)], axis=1)
    share = events / np.maximum(at_risk, 1e-300)[:, None]
    survival = np.cumprod(1.0 - share.sum(1))
    incidence = np.cumsum(share * np.r_[1.0, survival[:-1]][:, None], axis=0)
    return np.concatenate([np.zeros((1, n_outcomes)), incidence])[np.searchsorted(ends, at, side="right")]


@dataclass(frozen=True)
class Censoring:
    """Probability of not being censored, by Kaplan and Meier with censoring as the event.

    Attributes:
        ends: rising times.
        free: ``[1 + end]`` the probability before the first and after each of them.
    """

    ends: Array
    free: Array

    @classmethod
    def fit(cls, time: Array, event: Events) -> Self:
        """Of subjects ``[subject]``. Outcomes come before censorings of the same time."""
        ends = np.unique(time)
        place = np.searchsorted(ends, time)
        lost = np.bincount(place, event == CENSORED, len(ends))
        happened = np.bincount(place, event != CENSORED, len(ends))
        at_risk = (lost + happened)[::-1].cumsum()[::-1] - happened
        share = np.divide(lost, at_risk, out=np.zeros(len(ends)), where=at_risk > 0)
        return cls(ends, np.r_[1.0, np.cumprod(1.0 - share)])

    def after(self, time: ArrayLike) -> Array:
        """Probability of being free beyond ``time``."""
        return self.free[np.searchsorted(self.ends, time, side="right")]

    def before(self, time: ArrayLike) -> Array:
        """Probability of being free up to just before ``time``."""
        return self.free[np.searchsorted(self.ends, time, side="left")]


def status_weights(time: Array, event: Events, at: float, censoring: Censoring) -> Array:
    """``[subject]`` weights of those whose status at ``at`` is known, 0 of those censored before."""
    happened = (time <= at) & (event != CENSORED)
    weight = np.where(happened, 1.0 / np.maximum(censoring.before(time), 1e-12), 0.0)
    return np.asarray(np.where(time > at, 1.0 / max(float(censoring.after(at)), 1e-12), weight))


def squared_errors(time: Array, event: Events, outcome: int, at: float, risk: Array, censoring: Censoring) -> Array:
    """``[subject]`` terms whose mean is the Brier score of an outcome's risk at ``at``."""
    happened = (time <= at) & (event == outcome)
    return np.asarray(status_weights(time, event, at, censoring) * (happened - risk) ** 2)


@dataclass(frozen=True)
class Pairs:
    """Pairs of which one subject had the outcome first, by weight, and how they were ranked.

    The C-index of an outcome up to a time, with competing outcomes and censoring: the share of pairs in which whoever
    had the outcome (by ``until``) was given a higher risk than who had it later, not at all, or was taken from it by
    another outcome (Wolbers, Blanche, Koller, Witteman, Gerds, Biostatistics 2014;15:526-539, equation 7). Without
    competing outcomes it is Uno's (Statistics in Medicine 2011;30:1105-1117), without censoring Harrell's.

    Attributes:
        comparable: ``[subject, subject]`` weights.
        right: the same times 1, 1/2 or 0.
    """

    comparable: Array
    right: Array

    @classmethod
    def of(
        cls,
        time: Array,
        event: Events,
        outcome: int,
        until: float,
        risk: Array,
        censoring: Censoring,
        strata: Events | None = None,
    ) -> Self:
        """Of subjects ``[subject]``; a higher risk is an earlier outcome. Only pairs of one stratum are compared: the
        folds of a cross-validation, whose risks come from models of their own."""
        case = (event == outcome) & (time <= until)
        before = censoring.before(time)
        later = time[:, None] < time[None, :]
        # Who is censored at the very time of an outcome was still free of it then.
        later |= (time[:, None] == time[None, :]) & (event == CENSORED)[None, :]
        own = np.where(case, 1.0 / np.maximum(before, 1e-12), 0.0)[:, None]
        taken = ~later & ((event != outcome) & (event != CENSORED))[None, :]
        beyond = own / np.maximum(censoring.after(time), 1e-12)[:, None]
        comparable = later * beyond + taken * own / np.maximum(before, 1e-12)[None, :]
        if strata is not None:
            comparable = comparable * (strata[:, None] == strata[None, :])
        ranked = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
        return cls(comparable, comparable * ranked)

    def concordance(self, weight: Array | None = None) -> Array:
        """``[replicate]`` the C-index; subjects count by ``weight`` ``[replicate, subject]``. NaN without pairs."""
        weight = np.ones((1, len(self.comparable))) if weight is None else weight
        right, all_ = (((weight @ pairs) * weight).sum(1) for pairs in (self.right, self.comparable))
        return np.asarray(np.divide(right, all_, out=np.full(len(weight), np.nan), where=all_ > 0))
