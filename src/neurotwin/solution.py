"""What became of a batch that was solved, whichever engine did it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OK, NON_FINITE, STEP_BUDGET, OUT_OF_BOUNDS = 0, 1, 2, 3
REASONS = {NON_FINITE: "non_finite", STEP_BUDGET: "step_budget", OUT_OF_BOUNDS: "out_of_bounds"}


BOUND_TOLERANCE = 1e-9
"""Rounding allowed at a bound of a state, in the state's unit."""


class Solution(NamedTuple):
    """What became of a batch.

    Attributes:
        at_query: ``[batch, row, state]`` where each row's query asks.
        final: ``[batch, state]`` after the last row; NaN for subjects whose status is not 0.
        clock: ``[batch]`` time of ``final``.
        status: ``[batch]`` 0 ok, 1 non-finite, 2 step budget, 3 out of bounds.
    """

    at_query: Array
    final: Array
    clock: Array
    status: NDArray[np.int64]
