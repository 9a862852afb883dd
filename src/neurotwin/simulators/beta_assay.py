"""Scores with a floor and a ceiling, whose error is a beta distribution between the two."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr

from neurotwin.simulators.checks import require_positive

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BetaAssay:
    """A score between 0 and ``greatest``: score / greatest is Beta(mu tau, (1 - mu) tau), mu = true score / greatest.

    Its mean is the true score and its variance mu (1 - mu) / (1 + tau) greatest^2, so that nothing is ever measured
    beyond the ends of the scale. Takes the place of `neurotwin.simulators.protocols.Assay` in a protocol. A true score
    at an end of the scale is measured without error.

    Args:
        variable: name in the simulator.
        precision: tau.
        greatest: upper end of the scale, in the variable's unit.
    """

    variable: str
    precision: float
    greatest: float = 1.0

    additive: ClassVar[float] = 0.0
    lower_limit: ClassVar[float | None] = None
    upper_limit: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        require_positive(f"assay of {self.variable}", precision=self.precision, greatest=self.greatest)

    def measure(self, value: Array, noise: Array) -> tuple[Array, NDArray[np.int8]]:
        """Measured values and censoring (0: none) of true ``value`` ``[visit]``; of the standard normal ``noise``
        ``[visit, 2]`` the first column gives the quantile."""
        mean = np.clip(value / self.greatest, 0.0, 1.0)
        inside = (mean > 0) & (mean < 1)
        safe = np.where(inside, mean, 0.5)
        drawn = betaincinv(safe * self.precision, (1 - safe) * self.precision, ndtr(noise[:, 0]))
        measured = self.greatest * np.where(inside, drawn, np.where(np.isnan(value), np.nan, mean))
        return np.asarray(measured), np.zeros(len(value), dtype=np.int8)
