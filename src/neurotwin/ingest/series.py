"""A cohort's measurements variable by variable."""

from collections.abc import Iterator

import numpy as np

from neurotwin.events import Observations


def by_variable(seen: Observations) -> Iterator[tuple[int, Observations]]:
    """Number of each variable that was measured, and its measurements, sorted by subject and time as they were."""
    seen = seen.take(np.argsort(seen.variable, kind="stable"))
    bounds = np.flatnonzero(np.diff(seen.variable)) + 1
    for first, last in zip([0, *bounds], [*bounds, len(seen)], strict=True):
        if last > first:
            yield int(seen.variable[first]), seen.take(np.arange(first, last))
