"""The numbers of a row: errors, coverage and interval score, with a 95 % patient bootstrap."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.evaluation.bootstrap import bootstrap_sums, percentile_interval
from real_patients.intervals import third_of, thirds

Array = NDArray[np.float64]
Index = NDArray[np.int64]

N_BOOTSTRAP, SEED = 2000, 0
LEVEL = 0.9


class Answered(NamedTuple):
    """Test rows of all folds: what was said ``[row, 3]`` and what came true, on the scale of the errors."""

    said: Array
    truth: Array
    subject: Index
    fold: Index
    horizon: Array
    level: Array

    @property
    def missed(self) -> Array:
        """Absolute errors ``[row]``."""
        return np.abs(self.said[:, 1] - self.truth)

    @property
    def covered(self) -> Array:
        """1 where the truth lies in the interval."""
        return ((self.said[:, 0] <= self.truth) & (self.truth <= self.said[:, 2])).astype(np.float64)


def row_of(answered: Answered) -> dict[str, Any]:
    """All numbers of one forecaster."""
    missed, subject = answered.missed, answered.subject
    found: dict[str, Any] = {"n_subjects": len(np.unique(subject)), "n_targets": len(missed)}
    found |= _with_interval("mae", missed, subject) | _with_interval("rmse", missed**2, subject, np.sqrt)
    found |= _with_interval("patient_mae", missed, subject, by_patient=True)
    last = answered.fold == 4
    found["mae_fixed_split"] = float(missed[last].mean()) if last.any() else None
    if np.isfinite(answered.said).all():
        found |= _intervals(answered)
    return found


def difference(answered: Answered, other: Answered) -> dict[str, float]:
    """Mean absolute error less that of another forecaster on the same rows, paired by patient."""
    return _with_interval("difference", answered.missed - other.missed, answered.subject)


def differences(answered: Mapping[str, Answered], name: str, others: tuple[str, ...]) -> dict[str, Any]:
    """`difference` to each of some others that are there."""
    return {
        f"less_{other}": difference(answered[name], answered[other])
        for other in others
        if other in answered and other != name
    }


def interval_score(said: Array, truth: Array, level: float = LEVEL) -> Array:
    """Width plus what lies outside times 2 / (1 - level), ``[row]`` (Gneiting & Raftery 2007, JASA 102:359-378)."""
    low, _, high = said.T
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return np.asarray(high - low + 2 / (1 - level) * outside)


def _intervals(answered: Answered) -> dict[str, Any]:
    covered, subject = answered.covered, answered.subject
    found = _with_interval("coverage", covered, subject, by_patient=True)
    found["coverage_pooled"] = float(covered.mean())
    found["width"] = float((answered.said[:, 2] - answered.said[:, 0]).mean())
    found |= _with_interval("interval_score", interval_score(answered.said, answered.truth), subject)
    for name, value in (("horizon", answered.horizon), ("level", answered.level)):
        third = third_of(value, thirds(value))
        found[f"coverage_by_{name}"] = [float(covered[third == one].mean()) for one in range(3)]
    return found


def _with_interval(
    name: str, value: Array, subject: Index, shape: Any = lambda mean: mean, *, by_patient: bool = False
) -> dict[str, float]:
    """Mean of the rows, or of the patients' means, with the ends of its 95 % patient bootstrap."""
    _, owner, count = np.unique(subject, return_inverse=True, return_counts=True)
    total = np.bincount(owner, value)
    columns = np.column_stack([total / count, np.ones(len(count))] if by_patient else [total, count])
    sums = bootstrap_sums(columns.astype(np.float64), n_bootstrap=N_BOOTSTRAP, seed=SEED)
    means = shape(sums[:, :1] / sums[:, 1:])
    low, high = percentile_interval(means[1:])
    return {name: float(means[0, 0]), f"{name}_low": float(low[0]), f"{name}_high": float(high[0])}
