"""What an engine gets of a timeline, row by row, and what it gives back."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Flow(NamedTuple):
    """After one row: END, state at the query, and which subjects the solver gave up."""

    end: Array
    at_query: Array
    given_up: NDArray[np.bool_]


class Row(NamedTuple):
    """One row of the timeline, of all subjects."""

    t: Array
    dt: Array
    control: Array
    query_at: Array


Advance = Callable[[Row, Array], Flow]
