"""Does a shifted channel look as if its values were in another unit that the bundle knows?"""

from collections.abc import Iterable

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.monitoring.features import mean_and_spread
from neurotwin.monitoring.reference import Marginal, Reference
from neurotwin.runtime.channels import Signature

CLOSER = 0.5
"""Share of the distance that may be left once the values are taken for another unit's."""


def suspected_units(cohort: Cohort, reference: Reference, signature: Signature, shifted: Iterable[str]) -> list[str]:
    """A sentence for each shifted variable whose values come close to the reference's when they are taken for values
    in another accepted unit.

    Args:
        shifted: names of variables.
    """
    told = []
    for index, channel in enumerate(signature.variables):
        marginal = reference.marginals.get(f"{channel.name}.level")
        if channel.name not in shifted or marginal is None:
            continue
        gaps = {
            unit: _distance(cohort, index, marginal, factor, offset)
            for unit, (factor, offset) in channel.units.items()
            if (factor, offset) != (1.0, 0.0)
        }
        least = min(gaps.values(), default=np.inf)
        if least < CLOSER * _distance(cohort, index, marginal, 1.0, 0.0):
            best = " or ".join(unit for unit, gap in gaps.items() if gap <= least + 1e-9)
            told.append(f"Values of {channel.name} look like {best} told as {channel.unit}: check the mapping.")
    return told


def _distance(cohort: Cohort, index: int, marginal: Marginal, factor: float, offset: float) -> float:
    """Distance of the patients' means from the reference's, with the values of one variable converted."""
    seen = cohort.observations.take(cohort.observations.variable == index)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = cohort.schema.variables[index].forward(seen.value * factor + offset)
    known = np.isfinite(value)
    counts = marginal.count(mean_and_spread(seen.subject[known], value[known], len(cohort))[0])
    if not counts.sum():
        return np.inf
    return float(np.abs(np.cumsum(counts / counts.sum() - marginal.counts / marginal.n)).max())
