"""The posterior of a patient's parameters by Markov chains, and how many independent draws they are worth.

Proposals are those of Crank-Nicolson with the fit's normal approximation N(m, s^2 C) as their reference (Rudolf and
Sprungk, Found. Comput. Math. 2018): x' = m + sqrt(1 - b^2)(x - m) + b s L e. They leave the reference as it is, so only
where the posterior differs from it is anything refused; where the approximation is right, few draws are wasted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from benchmarks.personalise.personal_forecasts.compiled import jitted
from benchmarks.personalise.personal_forecasts.least_squares import Fit
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule


class Chains(NamedTuple):
    """How long to run: ``chains`` of ``kept`` draws, each the last of ``thin`` steps of size ``step`` (b), after
    ``burn`` draws that are not kept; ``wider`` (s) is the reference beside the approximation: above 1 for flanks that
    are heavier, below 1 where the population's edge cuts them off."""

    chains: int
    kept: int
    burn: int
    thin: int
    step: float
    wider: float


class Sampled(NamedTuple):
    """``courses`` ``[chain, draw, output]`` and the share of proposals that were taken."""

    courses: Array
    accepted: float


def sampler(fit: Fit) -> Callable[..., Sampled]:
    """``sample(mode, covariance, plan, how, seed)``, compiled around compiled courses."""
    residuals, course = fit.residuals, fit.course

    @jitted
    def run(mode: Array, root: Array, plan: Schedule, size: Any, seed: int) -> Any:
        chains, kept, burn, thin, step, _ = size
        np.random.seed(seed)
        n, taken = len(mode), 0
        found = np.empty((chains, kept, int(plan.output.sum())))
        for chain in range(chains):
            w = 1.5 * np.random.standard_normal(n)
            x = mode + root @ w
            r = residuals(x, plan)
            energy = 0.5 * (r @ r) - 0.5 * (w @ w)
            for draw in range(burn + kept):
                for _ in range(thin):
                    tried = np.sqrt(1 - step * step) * w + step * np.random.standard_normal(n)
                    x = mode + root @ tried
                    r = residuals(x, plan)
                    proposed = 0.5 * (r @ r) - 0.5 * (tried @ tried)
                    if np.log(np.random.random()) < energy - proposed:
                        w, energy = tried, proposed
                        taken += 1
                if draw >= burn:
                    found[chain, draw - burn] = course(mode + root @ w, plan)
        return found, taken / (chains * (burn + kept) * thin)

    def sample(mode: Array, covariance: Array, plan: Schedule, how: Chains, seed: int) -> Sampled:
        root = how.wider * np.linalg.cholesky(covariance)
        return Sampled(*run(mode, root, plan, tuple(how), seed))

    return sample


def effective_draws(values: Array) -> tuple[Array, Array]:
    """Effective sample size and split R-hat of ``[chain, draw, quantity]``, each ``[quantity]`` (Vehtari, Gelman,
    Simpson, Carpenter, Burkner, Bayesian Analysis 2021, sections 2 and 3; not rank-normalised)."""
    half = values.shape[1] // 2
    split = np.concatenate([values[:, :half], values[:, half : 2 * half]])
    m, n = split.shape[:2]
    off = split - split.mean(axis=1, keepdims=True)
    within = (off**2).sum(axis=1).mean(axis=0) / (n - 1)
    total = within * (n - 1) / n + split.mean(axis=1).var(axis=0, ddof=1)
    spectrum = np.abs(np.fft.rfft(off, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(spectrum, axis=1)[:, :n].mean(axis=0) / n * (n / (n - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[0 : 2 * (n // 2) : 2] + rho[1 : 2 * (n // 2) : 2]
    positive = np.cumprod(pairs > 0, axis=0)  # Geyer: up to the first pair that is not
    falling = np.minimum.accumulate(np.where(positive > 0, pairs, 0.0), axis=0)
    time = np.maximum(2 * falling.sum(axis=0) - 1, 1 / np.log10(max(m * n, 11)))
    return m * n / time, np.sqrt(total / within)
