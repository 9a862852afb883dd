"""Two-sample tests whose error is bounded for any distribution, and the sizes of a difference.

The reference is known at the edges of its quantile table alone; a supremum over those is never above the one over all
values, and ties make it smaller still, so that each probability told here is at most too large. Sources: Smirnov 1939
and Massart 1990, Ann. Probab. 18:1269 (tail of the KS distance); Kuiper 1960, Indag. Math. 22:38, and Stephens 1970,
J. R. Stat. Soc. B 32:115 (tail of Kuiper's); Fisher 1935 (exact test); Holm 1979, Scand. J. Stat. 6:65; Lin 2017,
arXiv:1708.07931, and Yurdakul & Naranjo 2020, J. Risk Model Valid. 14 (population stability index under no change).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_LOGS: Array = np.zeros(1)


def kolmogorov_tail(distance: ArrayLike, n: ArrayLike, m: ArrayLike) -> Array:
    """Probability that samples of ``n`` and ``m`` from one distribution are at least ``distance`` apart (KS)."""
    z = np.asarray(distance, dtype=np.float64) * _root(n, m)
    j = np.arange(1, 31, dtype=np.float64)[:, None]
    terms = np.where(j % 2 == 1, 2.0, -2.0) * np.exp(-2 * j**2 * z.reshape(-1) ** 2)
    tail = np.where(z.reshape(-1) < 0.2, 1.0, terms.sum(axis=0)).reshape(z.shape)
    return np.asarray(np.clip(tail, 0.0, 1.0))


def kuiper_tail(distance: ArrayLike, n: ArrayLike, m: ArrayLike) -> Array:
    """The same of Kuiper's distance, the largest excess plus the largest deficit: it sees a change of spread too."""
    z = np.asarray(distance, dtype=np.float64) * _root(n, m)
    j = np.arange(1, 31, dtype=np.float64)[:, None]
    square = (j * z.reshape(-1)) ** 2
    tail = (2 * (4 * square - 1) * np.exp(-2 * square)).sum(axis=0)
    return np.asarray(np.clip(np.where(z.reshape(-1) < 0.5, 1.0, tail).reshape(z.shape), 0.0, 1.0))


def fisher(inside: int, n: int, inside_reference: int, m: int) -> float:
    """Fisher's exact test, two-sided as twice the smaller tail: do ``inside`` of ``n`` and of ``m`` share one rate?"""
    total = inside + inside_reference
    low, high = max(0, total - m), min(n, total)
    support = np.arange(low, high + 1)
    logs = _log_factorial(n + m)
    chance = np.exp(
        logs[n] - logs[support] - logs[n - support]
        + logs[m] - logs[total - support] - logs[m - total + support]
        - (logs[n + m] - logs[total] - logs[n + m - total])
    )  # fmt: skip
    place = inside - low
    return float(min(1.0, 2 * min(chance[: place + 1].sum(), chance[place:].sum())))


def holm(chances: ArrayLike) -> Array:
    """Adjusted probabilities: those at most ``alpha`` err with probability ``alpha`` at most, all tests together."""
    chances = np.asarray(chances, dtype=np.float64)
    order = np.argsort(chances, kind="stable")
    stepped = chances[order] * np.arange(len(chances), 0, -1)
    adjusted = np.empty(len(chances))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def stability_index(counts: ArrayLike, reference: ArrayLike) -> float:
    """Population stability index of two columns of counts, less what chance alone makes of samples of these sizes.

    Half a patient is added to every cell, so that an empty one stays finite.
    """
    site, known = (np.asarray(one, dtype=np.float64) + 0.5 for one in (counts, reference))
    share, expected = site / site.sum(), known / known.sum()
    found = float(((share - expected) * np.log(share / expected)).sum())
    return found - (len(site) - 1) * float(1 / site.sum() + 1 / known.sum())


def _root(n: ArrayLike, m: ArrayLike) -> Array:
    n, m = np.asarray(n, dtype=np.float64), np.asarray(m, dtype=np.float64)
    return np.asarray(np.sqrt(n * m / np.maximum(n + m, 1.0)))


def _log_factorial(most: int) -> Array:
    global _LOGS
    if len(_LOGS) <= most:
        _LOGS = np.r_[0.0, np.cumsum(np.log(np.arange(1, 2 * most + 2)))]
    return _LOGS
