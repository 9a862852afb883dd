"""Is a state one that its simulator can be in?"""

import numpy as np
from numpy.typing import NDArray

from neurotwin.simulators.simulator import Simulator
from neurotwin.solution import BOUND_TOLERANCE, NON_FINITE, OK, OUT_OF_BOUNDS

Array = NDArray[np.float64]


def judge(simulator: Simulator, state: Array, status: NDArray[np.int64]) -> NDArray[np.int64]:
    """The status ``[batch]`` after looking at a state ``[batch, state]``; a subject's first fault stays."""
    low, high = np.array([item.bounds for item in simulator.states]).T
    finite = np.isfinite(state).all(axis=1)
    inside = ((state >= low - BOUND_TOLERANCE) & (state <= high + BOUND_TOLERANCE)).all(axis=1)
    fault = np.where(finite, np.where(inside, OK, OUT_OF_BOUNDS), NON_FINITE)
    return np.where(status == OK, fault, status)
