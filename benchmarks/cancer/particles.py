"""The floor of the noisy tracks: a particle filter that knows the true equation, its parameters' prior and the noise.

Iterated batch importance sampling (Chopin, Biometrika 2002): particles of (alpha, rho, beta_c), weighted by each new
measurement, drawn again and moved by Metropolis-Hastings steps over the whole past when few of them carry the weight.
Given its parameters, ln volume is carried as a Gaussian (the growth noise is 1 % and growth almost linear in ln
volume), so that only the three parameters are sampled.
"""

from dataclasses import dataclass

import numpy as np
from benchmarks.cancer.population import Prior
from benchmarks.cancer.rollout import expected_volumes
from benchmarks.cancer.simulator import CAPACITY, CHEMO_DECAY, CHEMO_DOSE, NOISE, RADIO_KILL, Array, Flags
from benchmarks.cancer.task import Past
from numpy.typing import NDArray

N_PARTICLES = 128
N_MOVES = 3
LOG_CAPACITY = float(np.log(CAPACITY))


@dataclass
class Cloud:
    """Particles of some patients, each ``[patient, particle, ...]``: parameters, Gaussian of ln volume, log weight."""

    theta: Array
    mean: Array
    variance: Array
    log_weight: Array

    def take(self, index: NDArray[np.int64]) -> "Cloud":
        """Some patients."""
        return Cloud(self.theta[index], self.mean[index], self.variance[index], self.log_weight[index])

    def put(self, index: NDArray[np.int64], other: "Cloud") -> None:
        """Put patients back."""
        for name in ("theta", "mean", "variance", "log_weight"):
            getattr(self, name)[index] = getattr(other, name)

    @property
    def weight(self) -> Array:
        """``[patient, particle]``, sum 1."""
        weight = np.exp(self.log_weight - self.log_weight.max(1, keepdims=True))
        return weight / weight.sum(1, keepdims=True)


class ParticleFilter:
    """A forecaster; see the module.

    Args:
        kind: ``[patient]`` types.
        noise: standard deviation of the measurement of ln volume.
        seed: two filters of different seeds differ by their Monte-Carlo error alone.
        n: particles per patient.
    """

    def __init__(self, kind: NDArray[np.int64], noise: float, seed: int, n: int = N_PARTICLES) -> None:
        self.prior, self.noise, self.n = Prior.of(kind), noise, n
        self.random = np.random.default_rng(seed)
        self.precision = np.linalg.inv(self.prior.covariance)

    def observe(self, past: Past) -> None:
        """Carry the particles a day further and weigh them by that day's measurement."""
        value = np.log(past.volume)
        if past.day == 0:
            self.cloud = self._begin(value[:, 0])
            return
        self.before = _levels(past.chemo)
        self._advance(self.cloud, value[:, -1], self.before[:, -1], past.radio[:, -1])
        weight = self.cloud.weight
        poor = np.flatnonzero(1 / np.square(weight).sum(1) < self.n / 2)
        if len(poor):
            self._renew(poor, weight[poor], value[poor], past.radio[poor])

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """Average over the particles."""
        cloud = self.cloud
        volume = np.exp(cloud.mean + cloud.variance / 2)
        before = self.before[:, -1] if hasattr(self, "before") else np.zeros(len(volume))
        return expected_volumes(cloud.theta, cloud.weight, volume, before, patient, plan)

    def _begin(self, first: Array) -> Cloud:
        """Particles of the prior; of ln volume, flat before the first measurement."""
        shape = (len(first), self.n)
        mean = np.repeat(first[:, None], self.n, axis=1)
        return Cloud(self._draw_prior(), mean, np.full(shape, self.noise**2), np.zeros(shape))

    def _draw_prior(self) -> Array:
        standard = np.linalg.cholesky(self.prior.covariance)
        theta = np.full((len(self.prior.mean), self.n, 3), -np.inf)
        while (wrong := (theta[..., :2] <= self.prior.low[:, None, :2]).any(-1)).any():
            drawn = self.random.standard_normal((int(wrong.sum()), 3)) @ standard.T
            theta[wrong] = self.prior.mean[np.nonzero(wrong)[0]] + drawn
        return theta

    def _log_prior(self, theta: Array, who: NDArray[np.int64]) -> Array:
        away = theta - self.prior.mean[who, None]
        inside = (theta[..., :2] > self.prior.low[who, None, :2]).all(-1)
        return np.where(inside, -0.5 * np.einsum("pni,ij,pnj->pn", away, self.precision, away), -np.inf)

    def _advance(self, cloud: Cloud, value: Array, level: Array, radio: NDArray[np.uint8]) -> None:
        """A day of growth, then the measurement, if there is one; changes the cloud."""
        alpha, rho, beta_c = (cloud.theta[..., index] for index in range(3))
        factor = 1 + rho * (LOG_CAPACITY - cloud.mean)
        factor -= beta_c * level[:, None]
        factor -= alpha * (RADIO_KILL * radio)[:, None]
        # Who is still followed has a tumour: a course that kills it is none of theirs.
        alive = factor > NOISE
        factor = np.where(alive, factor, 1.0)
        jitter = np.square(NOISE / factor)
        mean = cloud.mean + np.log(factor) - jitter / 2
        variance = np.square(1 - rho / factor) * cloud.variance + jitter
        log_weight = np.where(alive, cloud.log_weight, -np.inf)
        # All gone by a hair: keep them, so that there is an answer.
        log_weight = np.where(np.isfinite(log_weight).any(1, keepdims=True), log_weight, cloud.log_weight)
        seen = np.isfinite(value)[:, None]
        total = variance + self.noise**2
        away = np.where(seen, value[:, None] - mean, 0.0)
        likely = np.where(seen, -0.5 * (away**2 / total + np.log(total)), 0.0)
        gain = np.where(seen, variance / total, 0.0)
        cloud.mean, cloud.variance = mean + gain * away, variance * (1 - gain)
        cloud.log_weight = log_weight + likely

    def _replay(self, theta: Array, who: NDArray[np.int64], value: Array, radio: NDArray[np.uint8]) -> Cloud:
        """Other parameters through the whole past; the log weight is the log likelihood."""
        mean = np.repeat(value[:, :1], self.n, axis=1)
        cloud = Cloud(theta, mean, np.full(mean.shape, self.noise**2), np.zeros(mean.shape))
        for day in range(value.shape[1] - 1):
            self._advance(cloud, value[:, day + 1], self.before[who, day], radio[:, day])
        return cloud

    def _renew(self, who: NDArray[np.int64], weight: Array, value: Array, radio: NDArray[np.uint8]) -> None:
        """Draw again by weight, then move."""
        theta = self.cloud.theta[who]
        centre = np.einsum("pn,pni->pi", weight, theta)
        away = theta - centre[:, None]
        spread = np.einsum("pn,pni,pnj->pij", weight, away, away)
        scale = np.sqrt(np.diagonal(self.prior.covariance))
        # A floor of a thousandth of the prior: a cloud of a single point has no spread to move by.
        standard = np.linalg.cholesky(spread / np.outer(scale, scale) + 1e-6 * np.eye(3)) * scale[:, None]
        cloud = self._replay(_at(theta, _systematic(weight, self.random)), who, value, radio)
        score = cloud.log_weight + self._log_prior(cloud.theta, who)
        for _ in range(N_MOVES):
            size = 2.38 / np.sqrt(3) * self.random.choice([0.3, 1.0])
            step = np.einsum("pij,pnj->pni", standard, self.random.standard_normal(cloud.theta.shape))
            tried = self._replay(cloud.theta + size * step, who, value, radio)
            trial = tried.log_weight + self._log_prior(tried.theta, who)
            # A particle that is out of all question has a score of minus infinity, and leaves at the first chance.
            taken = np.log(self.random.random(trial.shape)) < trial - np.maximum(score, -1e300)
            score = np.where(taken, trial, score)
            for name in ("theta", "mean", "variance"):
                old, new = getattr(cloud, name), getattr(tried, name)
                setattr(cloud, name, np.where(taken[..., None] if new.ndim == 3 else taken, new, old))
        cloud.log_weight = np.zeros_like(score)
        self.cloud.put(who, cloud)


def _levels(chemo: Flags) -> Array:
    """``[patient, day]`` concentration right after each day's dose."""
    level, found = np.zeros(len(chemo)), []
    for given in chemo.T:
        level = CHEMO_DECAY * level + CHEMO_DOSE * given
        found.append(level)
    return np.stack(found, axis=1)


def _systematic(weight: Array, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions ``[patient, particle]`` drawn by weight with one random number per patient."""
    n = weight.shape[1]
    at = (np.arange(n) + random.random((len(weight), 1))) / n
    # Each patient's cumulative weights are shifted by its row, so that one search serves all.
    row = np.arange(len(weight))[:, None]
    edges = np.minimum(np.cumsum(weight, axis=1), 1.0) + row
    found = np.searchsorted(edges.ravel(), (at + row).ravel()).reshape(weight.shape) - n * row
    return np.clip(found, 0, n - 1)


def _at(values: Array, index: NDArray[np.int64]) -> Array:
    return np.take_along_axis(values, index[..., None], axis=1)
