"""Do inferred parameters match the true ones, and which of them can the data identify at all?

For simulated patients, whose truth the cohort holds. Everything is compared on the scale on which a parameter was
inferred, where the belief is Gaussian.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from neurotwin.errors import InputError

Array = NDArray[np.float64]

IDENTIFIED = 0.8
"""Median ratio of posterior to prior standard deviation above which the data have said next to nothing."""


class Recovery(NamedTuple):
    """One parameter.

    Attributes:
        n: patients.
        correlation: Pearson, between estimate and truth; NaN where one of them does not vary.
        bias, rmse: mean and root mean square of estimate minus truth, in standard deviations of the truth among the
            patients.
        coverage: share of the patients whose interval at ``level`` holds the truth.
        explained: share of the truth's variance that the estimates explain, 1 - rmse^2; below 0 for estimates worse
            than the mean.
        shrinkage: median ratio of posterior to prior standard deviation.
        identified: whether that ratio is below `IDENTIFIED`.
    """

    name: str
    n: int
    correlation: float
    bias: float
    rmse: float
    coverage: float
    explained: float
    shrinkage: float
    identified: bool


def recovery(
    names: Sequence[str], truth: Array, location: Array, sd: Array, prior_sd: Array, *, level: float = 0.9
) -> list[Recovery]:
    """Compare beliefs with the truth, parameter by parameter.

    Args:
        names: of the parameters.
        truth, location, sd: ``[subject, parameter]`` true value, mean and standard deviation of the belief. Subjects
            whose belief is not finite are left out.
        prior_sd: of the belief before any data, ``[parameter]`` or ``[subject, parameter]``.
        level: of the interval.

    Raises:
        InputError: shapes that do not fit, a truth that is not finite, or nobody left.
    """
    shape = (len(truth), len(names))
    if not (truth.shape == location.shape == sd.shape == shape):
        shapes = f"{truth.shape}, {location.shape} and {sd.shape}"
        raise InputError(f"truth, location and sd have shapes {shapes}", where="recovery", expected=f"{shape}")
    if not np.isfinite(truth).all():
        raise InputError("a true parameter is not finite", where="recovery", expected="numbers on the inferred scale")
    usable = np.isfinite(location).all(axis=1) & np.isfinite(sd).all(axis=1)
    if not usable.any():
        raise InputError("no belief is finite", where="recovery")
    before = np.broadcast_to(prior_sd, shape)[usable]
    columns = zip(names, truth[usable].T, location[usable].T, sd[usable].T, before.T, strict=True)
    return [_of(name, *column, level) for name, *column in columns]  # type: ignore[call-arg]


def _of(name: str, truth: Array, location: Array, sd: Array, prior_sd: Array, level: float) -> Recovery:
    error, spread = location - truth, float(truth.std())
    varies = spread > 1e-9 and float(location.std()) > 1e-9
    size = spread if spread > 1e-9 else 1.0
    shrinkage = float(np.median(sd / prior_sd))
    rmse = float(np.sqrt((error**2).mean())) / size
    return Recovery(
        name=name,
        n=len(truth),
        correlation=float(np.corrcoef(truth, location)[0, 1]) if varies else float("nan"),
        bias=float(error.mean()) / size,
        rmse=rmse,
        coverage=float((np.abs(error) <= ndtri(0.5 + level / 2) * sd).mean()),
        explained=1 - rmse**2,
        shrinkage=shrinkage,
        identified=shrinkage < IDENTIFIED,
    )
