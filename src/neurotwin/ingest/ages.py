"""Age at the index event, a static covariate that is derived from the subject's birth."""

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import ACCEPTED, CODES, ItemAccounts, Outcomes, Reason
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.units import conversion

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def derive_age(
    mapping: SourceMapping,
    birth: tuple[Array, Array],
    zero: Array,
    conflict: Mask,
    barred: Outcomes,
    scale: float,
    accounts: ItemAccounts,
) -> tuple[int, Array] | None:
    """Number of the static covariate and ``[subject]`` its values, NaN where there is none; None if nobody asks.

    Each subject with a birth counts as one item. Two births that disagree, and an age outside the plausible range (a
    birth after the index event is below it), are rejected.

    Args:
        birth: ``[subject]`` first and last that is told, as times are read; first > last where there is none.
        zero, conflict: ``[subject]`` the index event, NaN where unknown, and whether sources disagree about it.
        barred: ``[subject]`` why nothing of a subject is used, or 0.
        scale: from times as read to the mapping's time unit.
    """
    name = next((one.birth.age for one in mapping.tables if one.birth is not None and one.birth.age), None)
    if name is None:
        return None
    number, static = next((at, one) for at, one in enumerate(mapping.statics) if one.name == name)
    first, last = birth
    known = first <= last
    age = np.full(len(zero), np.nan)
    age[known] = (zero[known] - first[known]) * scale * conversion(mapping.time_unit, static.unit).factor
    low, high = static.plausible
    outcome: Outcomes = np.full(len(zero), ACCEPTED, np.int8)
    for wrong, reason in (
        (~((age >= max(low, 0.0)) & (age <= high)), Reason.IMPLAUSIBLE),
        (conflict, Reason.INDEX_CONFLICT),
        (np.isnan(zero), Reason.INDEX_MISSING),
        (known & (first < last), Reason.DUPLICATE_CONFLICT),
    ):
        outcome[wrong] = CODES[reason]
    outcome = np.where(barred > 0, barred, outcome)
    if known.any():
        accounts.settle("statics", name, outcome[known])
    return number, np.where(known & (outcome == ACCEPTED), age, np.nan)
