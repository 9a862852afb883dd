"""The ledger: every mean that is asked for becomes two columns of sums per patient; then all are resampled at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.evaluation.bootstrap import bootstrap_auc, bootstrap_sums, percentile_interval
from neurotwin.evaluation.results import Estimate, Metric

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Ledger:
    """Means of losses over measurements, with patient-bootstrap intervals.

    Use: `enter` all losses, `settle` once, then read each `metric`. Two ledgers with the same number of patients and
    the same seed see the same resamples.
    """

    def __init__(self, subject: NDArray[np.integer[Any]], n_subjects: int) -> None:
        """``subject [target]``: the patient of each measurement, 0 .. n_subjects - 1."""
        self._subject, self._n_subjects = subject, n_subjects
        self._columns: list[Array] = []
        self._entries: list[tuple[int, int]] = []  # first column of the sums, first column of the counts
        self._rankings: dict[int, tuple[NDArray[np.int64], Array, Array]] = {}  # by entry: subject, truth, prediction
        self._areas: dict[int, Array] = {}
        self._used: Mask | None = None
        self._counted = 0
        self._sums = np.zeros((0, 0))

    def enter(self, loss: Array, used: Mask) -> int:
        """Ask for the mean of ``loss [target]`` over the used measurements; returns the number of the entry."""
        subject, n = self._subject[used], self._n_subjects
        if used is not self._used:  # losses over the same measurements share their counts
            count = np.bincount(subject, minlength=n).astype(np.float64)
            self._used, self._counted = used, len(self._columns)
            self._columns += [count, (count > 0).astype(np.float64)]
        count = self._columns[self._counted]
        total = np.bincount(subject, loss[used], n).astype(np.float64)
        self._entries.append((len(self._columns), self._counted))
        self._columns += [total, np.divide(total, count, out=np.zeros(n), where=count > 0)]
        return len(self._entries) - 1

    def enter_auc(self, truth: Array, probability: Array, used: Mask) -> int:
        """Ask for the AUC of ``probability [target]`` over the used measurements; returns the number of the entry."""
        entry = self.enter(truth, used)
        self._rankings[entry] = self._subject[used].astype(np.int64), truth[used], probability[used]
        return entry

    def settle(self, *, n_bootstrap: int, seed: int) -> None:
        """Resample everything that was entered."""
        self._sums = bootstrap_sums(np.stack(self._columns, axis=1), n_bootstrap=n_bootstrap, seed=seed)
        for entry, ranked in self._rankings.items():
            self._areas[entry] = bootstrap_auc(*ranked, self._n_subjects, n_bootstrap=n_bootstrap, seed=seed)

    def metric(self, entry: int, minus: int | None = None, *, root: bool = False) -> Metric:
        """An entry, or its difference from another; ``root`` takes the square root of the means first.

        The interval is None with fewer than two patients: one says nothing of the spread between them.
        """
        values = self._read(entry, root)
        if minus is not None:
            values = values - self._read(minus, root)
        low, high = percentile_interval(values[1:])
        if self._sums[0, self._entries[entry][1] + 1] < 2:
            low, high = np.full((2, 2), np.nan)
        pooled, patient = (Estimate.of(*one) for one in zip(values[0], low, high, strict=True))
        return Metric(pooled=pooled, patient=patient)

    def _read(self, entry: int, root: bool) -> Array:
        """``[1 + replicate, 2]``: pooled and with equal patients; NaN where a replicate drew nobody."""
        if entry in self._areas:
            return self._areas[entry]
        first, counted = self._entries[entry]
        total, count = self._sums[:, first : first + 2], self._sums[:, counted : counted + 2]
        values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return np.asarray(np.sqrt(values) if root else values)
