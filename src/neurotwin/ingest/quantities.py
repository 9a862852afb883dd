"""Quantities: how the cells of one variable, treatment or covariate become numbers in the schema's unit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.numbers import Mask, Readings, distinct, filled, is_any, read_measurements
from neurotwin.ingest.unit_book import UnitBook

Channels = NDArray[np.int16]


@dataclass(frozen=True)
class Quantity:
    """How to read one quantity.

    Attributes:
        name: the variable, treatment or static covariate.
        unit: that in which it is wanted.
        declared: that of the source where the record brings none; "" if it must.
        values: numbers for words, in the declared unit.
        low, high: believed range in ``unit``; with ``open_low`` its lower end is excluded.
        converted: how often each source unit was met.
    """

    name: str
    unit: str
    declared: str
    molar_mass: float | None
    values: dict[str, float]
    decimal: str
    low: float
    high: float
    open_low: bool
    book: UnitBook
    converted: Counter[str] = field(default_factory=Counter)


def read_quantities(
    quantities: Sequence[Quantity], channel: Channels, text: Texts, unit: Texts | None = None
) -> Readings:
    """Numbers in the schema's units with their censor flags, or why there is none.

    Args:
        quantities: those of one table, which share decimal sign and unit book.
        channel: ``[cell]`` which quantity it is.
        text, unit: ``[cell]`` the number, and its unit where the source brings one ("" where it does not).
    """
    readings = read_measurements(text, quantities[0].decimal)
    worded = _read_words(quantities, channel, text, readings)
    readings.reason[~filled(text)] = CODES[Reason.VALUE_MISSING]
    units, which = (distinct(unit)) if unit is not None else ([""], np.zeros(len(text), np.int32))
    key = channel.astype(np.int64) * len(units) + which
    factor, offset, fault, foreign = _look_up(quantities, units, key[readings.reason == 0])
    _reject(readings.reason, Reason.UNIT_MISSING, fault[key] == CODES[Reason.UNIT_MISSING])
    _reject(readings.reason, Reason.UNIT_INCOMPATIBLE, worded & foreign[key])
    readings.reason[:] = np.where(readings.reason == 0, fault[key], readings.reason)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        value = readings.value * factor[key] + offset[key]
    vanished = (value == 0.0) & (readings.value != 0.0) & (offset[key] == 0.0)
    _reject(readings.reason, Reason.VALUE_NOT_FINITE, ~np.isfinite(value) | vanished)
    ends = [(one.low, one.high, one.open_low) for one in quantities]
    low, high, opened = (np.array(end, dtype=np.float64)[channel] for end in zip(*ends, strict=True))
    _reject(readings.reason, Reason.IMPLAUSIBLE, ~((value >= low) & (value <= high)) | ((opened > 0) & (value == low)))
    readings.value[:] = value
    _count(quantities, units, key[readings.reason == 0])
    return readings


def _reject(reasons: Outcomes, reason: Reason, where: Mask) -> None:
    reasons[where & (reasons == 0)] = CODES[reason]


def _read_words(quantities: Sequence[Quantity], channel: Channels, text: Texts, into: Readings) -> Mask:
    """Numbers of words; returns which cells are one."""
    worded = np.zeros(len(text), dtype=np.bool_)
    for number, quantity in enumerate(quantities):
        if not quantity.values:
            continue
        here = is_any(text, quantity.values) & (channel == number)
        texts, which = distinct(text.filter(here))
        into.value[here] = np.array([quantity.values[one] for one in texts], dtype=np.float64)[which]
        into.censor[here], into.reason[here] = 0, 0
        worded |= here
    return worded


def _look_up(quantities: Sequence[Quantity], units: list[str], keys: NDArray[np.int64]) -> tuple[Any, Any, Any, Any]:
    """By key (channel and unit): factor, offset, why there is no conversion, and whether words do not fit the unit."""
    size = len(quantities) * len(units)
    factor, offset, fault = np.ones(size), np.zeros(size), np.zeros(size, np.int8)
    foreign = np.zeros(size, dtype=np.bool_)
    for key in np.flatnonzero(np.bincount(keys, minlength=size)).tolist():
        quantity, unit = quantities[key // len(units)], units[key % len(units)]
        foreign[key] = unit not in ("", quantity.declared)
        source = unit or quantity.declared
        found = quantity.book.look_up(source, quantity.unit, quantity.molar_mass) if source else Reason.UNIT_MISSING
        if isinstance(found, Reason):
            fault[key] = CODES[found]
        else:
            factor[key], offset[key] = found.factor, found.offset
    return factor, offset, fault, foreign


def _count(quantities: Sequence[Quantity], units: list[str], keys: NDArray[np.int64]) -> None:
    counts = np.bincount(keys)
    for key in np.flatnonzero(counts).tolist():
        quantity = quantities[key // len(units)]
        quantity.converted[units[key % len(units)] or quantity.declared] += int(counts[key])
