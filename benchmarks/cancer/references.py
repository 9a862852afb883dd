"""Forecasters that are not learned: the last volume, and the true equation with parameters known more or less well."""

from functools import cache

import numpy as np
from benchmarks.cancer.population import Prior, truncated_quadrature
from benchmarks.cancer.rollout import expected_volumes
from benchmarks.cancer.simulator import (
    CAPACITY,
    NOISE,
    RADIO_KILL,
    Array,
    Flags,
    Patients,
    draw_patients,
)
from benchmarks.cancer.task import Past
from numpy.typing import NDArray


class Persist:
    """The last measured volume, whatever is planned."""

    def observe(self, past: Past) -> None:
        """Take the latest measurement."""
        self.last = last_measured(past)[0]

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """The same for each step."""
        return np.repeat(self.last[patient, None], plan.shape[1], axis=1)


class FixedParameters:
    """The true equation from the last measured volume on, with parameters that no measurement changes.

    Args:
        theta: ``[patient, 3]`` alpha, rho, beta_c.
    """

    def __init__(self, theta: Array) -> None:
        self.theta = theta[:, None]

    def observe(self, past: Past) -> None:
        """Carry the last measured volume to the current day, by what was given since."""
        volume, since = last_measured(past)
        self.volume, self.concentration = np.empty(len(volume)), past.concentration
        for gap in np.unique(since):
            who = np.flatnonzero(since == gap)
            then = past.day - gap
            self.volume[who] = volume[who]
            if gap:
                given = np.stack([past.chemo[who, then:], past.radio[who, then:]], axis=-1)
                before = Past(then, past.kind, past.volume, past.chemo[:, :then], past.radio[:, :then]).concentration
                one = np.ones((len(who), 1))
                steps = expected_volumes(
                    self.theta[who], one, volume[who, None], before[who], np.arange(len(who)), given
                )
                self.volume[who] = np.maximum(steps[:, -1], 0.0)

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """Roll the plan out."""
        one = np.ones((len(self.volume), 1))
        return expected_volumes(self.theta, one, self.volume[:, None], self.concentration, patient, plan)


class PosteriorMean:
    """The true equation, averaged over the exact posterior of (alpha, rho, beta_c) given exact volumes up to the day.

    Relative growth is linear in the three parameters with Gaussian noise, so the posterior is the prior's truncated
    Gaussian with another mean and covariance; it is averaged over by quadrature. Of noisy or missing volumes it knows
    nothing: for those there is `benchmarks.cancer.particles`.

    Args:
        kind: ``[patient]`` types.
        order: of the quadrature in alpha and in rho.
    """

    def __init__(self, kind: NDArray[np.int64], order: int = 12) -> None:
        prior = Prior.of(kind)
        self.low, self.order, n = prior.low, order, len(kind)
        precision = np.linalg.inv(prior.covariance)
        self.precision = np.broadcast_to(precision, (n, 3, 3)).copy()
        self.shift = prior.mean @ precision
        self.before = np.zeros(n)

    def observe(self, past: Past) -> None:
        """Learn from the growth since yesterday."""
        self.volume = past.volume[:, -1]
        if past.day:
            yesterday, known = past.volume[:, -2], np.isfinite(past.volume[:, -2:]).all(1)
            safe = np.where(known, yesterday, 1.0)
            level = past.concentration
            inputs = [-RADIO_KILL * past.radio[:, -1], np.log(CAPACITY / safe), -level]
            design = np.where(known[:, None], np.stack(inputs, axis=1), 0.0) / NOISE
            growth = np.where(known, self.volume / safe - 1, 0.0) / NOISE
            self.precision += design[:, :, None] * design[:, None]
            self.shift += design * growth[:, None]
            self.before = level
        covariance = np.linalg.inv(self.precision)
        mean = np.einsum("pij,pj->pi", covariance, self.shift)
        self.posterior = truncated_quadrature(mean, covariance, self.low, self.order)

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """Average over the posterior; a single step is linear in the parameters, so their mean is enough."""
        theta, weight = self.posterior.node, self.posterior.weight
        if plan.shape[1] == 1:
            theta, weight = self.posterior.mean[:, None], np.ones((len(theta), 1))
        volume = np.broadcast_to(self.volume[:, None], weight.shape)
        return expected_volumes(theta, weight, volume, self.before, patient, plan)


def last_measured(past: Past) -> tuple[Array, NDArray[np.int64]]:
    """``[patient]`` latest measured volume, and how many days ago that was."""
    seen = np.isfinite(past.volume)
    since = np.argmax(seen[:, ::-1], axis=1)
    return past.volume[np.arange(len(seen)), past.day - since], since


@cache
def _population_means() -> Array:
    """``[type, 3]`` means of 200,000 drawn patients, per type."""
    drawn = draw_patients(np.random.RandomState(12345), 200_000)
    return np.array([theta_of(drawn.take(drawn.kind == kind)).mean(0) for kind in (1, 2, 3)])


def population_theta(kind: NDArray[np.int64]) -> Array:
    """``[patient, 3]`` what is expected of a patient of whom only the type is known."""
    return _population_means()[kind - 1]


def theta_of(patients: Patients) -> Array:
    """``[patient, 3]`` alpha, rho, beta_c."""
    return np.stack([patients.alpha, patients.rho, patients.beta_c], axis=1)
