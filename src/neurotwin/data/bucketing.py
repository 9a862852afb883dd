"""Batches of subjects whose records are about as long: padding is computed like anything else, and thrown away."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def row_counts(cohort: Cohort, cuts: Array, max_step: float) -> Index:
    """``[subject, 2]`` about how many rows each record takes up to its cut and after it.

    Rows begin and end at events and are at most ``max_step`` long.
    """
    seen, doses = cohort.observations, cohort.doses
    held = ~doses.is_bolus & np.isfinite(doses.end)
    subject = np.concatenate([seen.subject, doses.subject, doses.subject[held]]).astype(np.int64)
    time = np.concatenate([seen.time, doses.time, doses.end[held]])
    order = np.lexsort((time, subject))
    subject, time = subject[order], time[order]
    same = subject[1:] == subject[:-1]
    rows = np.ceil(np.diff(time)[same] / max_step - 1e-9)
    owner, end = subject[1:][same], time[1:][same]
    past = end <= cuts[owner]
    counts = [np.bincount(owner, weights=rows * part, minlength=len(cohort)) for part in (past, ~past)]
    return np.stack(counts, axis=1).astype(np.int64)


def batches_alike(
    order: Index, counts: Index, batch_size: int, window: int, rng: np.random.Generator
) -> Iterator[tuple[Index, float]]:
    """Batches of subjects with like ``counts``, found among ``window`` batches of a random ``order``, themselves in a
    random order; each with the share of their visits at which all of them are cut.

    Where past and future of a record part is as important as its length. The shares are one of each equal part of
    (0, 1), at random: an epoch sees short pasts and long ones, and any visit of a subject is as likely as without.
    """
    windows = (order[first : first + window * batch_size] for first in range(0, len(order), window * batch_size))
    found = [near[cell] for near in windows for cell in _cells(counts[near], np.arange(len(near)), batch_size)]
    shares = (rng.permutation(len(found)) + rng.random(len(found))) / len(found)
    for number in rng.permutation(len(found)):
        yield found[number], float(shares[number])


def _cells(counts: Index, chosen: Index, batch_size: int) -> list[Index]:
    """Halves of halves of ``chosen``, along the count that spreads more, down to a batch: the cells of a k-d tree
    (Bentley, Communications of the ACM 18, 1975)."""
    n_batches = -(-len(chosen) // batch_size)
    if n_batches <= 1:
        return [chosen] if len(chosen) else []
    longer = int(np.argmax(np.ptp(counts[chosen], axis=0)))
    chosen = chosen[np.argsort(counts[chosen, longer], kind="stable")]
    half = n_batches // 2 * batch_size
    return [*_cells(counts, chosen[:half], batch_size), *_cells(counts, chosen[half:], batch_size)]
