"""Bootstrap over patients: each replicate draws as many patients as there are, with replacement.

Everything that is scored is a ratio of two sums over patients, so one matrix product per chunk of replicates serves all
metrics, horizons and predictors at once, and all of them see the same patients: differences are paired.
Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13 (percentile interval).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neurotwin.evaluation.metrics import Ranking

Array = NDArray[np.float64]

CONFIDENCE = 0.95
_CHUNK = 4_000_000  # numbers held at once


def bootstrap_sums(columns: Array, *, n_bootstrap: int, seed: int) -> Array:
    """Sum of each column of ``[patient, column]``: first over all patients, then over each replicate.

    Returns:
        ``[1 + n_bootstrap, column]``.
    """
    parts = [columns.sum(axis=0)[None]]
    parts += [weight @ columns for weight in resamples(len(columns), n_bootstrap, seed)]
    return np.concatenate(parts)


def bootstrap_auc(
    subject: NDArray[np.int64], truth: Array, prediction: Array, n_subjects: int, *, n_bootstrap: int, seed: int
) -> Array:
    """AUC of measurements ``[n]``, over all patients and then in each replicate; the resamples are those of
    `bootstrap_sums` with the same seed.

    Returns:
        ``[1 + n_bootstrap, 2]``: pooled over measurements, and with each patient weighing the same.
    """
    ranking = Ranking.of(truth, prediction)
    share = 1 / np.bincount(subject, minlength=n_subjects)[subject]

    def both(drawn: Array) -> Array:
        weight = drawn[:, subject]
        return np.stack([ranking.auc(weight), ranking.auc(weight * share)], axis=1)

    parts = [both(np.ones((1, n_subjects)))]
    for drawn in resamples(n_subjects, n_bootstrap, seed):
        pieces = max(1, -(-len(drawn) * len(subject) // _CHUNK))
        parts += [both(piece) for piece in np.array_split(drawn, pieces) if len(piece)]
    return np.concatenate(parts)


def percentile_interval(replicates: Array) -> tuple[Array, Array]:
    """Ends of the 95 % interval per column of ``[replicate, column]``; replicates that are NaN play no part.

    NaN where fewer than two replicates have a value.
    """
    ends = np.full((2, replicates.shape[1]), np.nan)
    known = (~np.isnan(replicates)).sum(axis=0) >= 2
    if known.any():
        tail = (1 - CONFIDENCE) / 2
        ends[:, known] = np.nanquantile(replicates[:, known], [tail, 1 - tail], axis=0)
    return ends[0], ends[1]


def resamples(n: int, n_bootstrap: int, seed: int) -> Iterator[Array]:
    """How often each patient was drawn, ``[replicate, patient]``, in chunks."""
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK // max(n, 1))
    for begin in range(0, n_bootstrap, size):
        rows = min(size, n_bootstrap - begin)
        drawn = generator.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.reshape(-1), minlength=rows * n).reshape(rows, n).astype(np.float64)
