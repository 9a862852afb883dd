"""Doses: what was given, from when to when, as an instant's amount or a period's rate."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.accounting import CODES, OUT_OF_SCOPE, Outcomes, Reason
from neurotwin.ingest.buckets import UNTIL_NEXT
from neurotwin.ingest.channels import DoseChannel
from neurotwin.ingest.layouts import BatchColumns, Cells, take
from neurotwin.ingest.mapping_columns import StopColumn, TimeColumn, TreatmentColumn
from neurotwin.ingest.numbers import filled
from neurotwin.ingest.quantities import read_quantities
from neurotwin.ingest.times import TimeReader, Times

Array = NDArray[np.float64]
_EMPTY = {"ongoing": np.inf, "next": UNTIL_NEXT}


class ReadDoses(NamedTuple):
    """``[cell]`` doses, ``start`` NaN at the index event and ``end`` as in `buckets.KINDS`; where ``reason`` is not 0
    there is none, and it tells why."""

    amount: Array
    start: Array
    end: Array
    reason: Outcomes


def read_doses(
    channel: DoseChannel, item: TreatmentColumn, cells: Cells, columns: BatchColumns, time: Times
) -> ReadDoses:
    """Read the cells of one treatment; ``time`` is that of the rows of the batch."""
    count = len(cells.row)
    amount, censor, reason = read_quantities([channel.quantity], np.zeros(count, np.int16), cells.text, cells.unit)
    _reject(reason, Reason.VALUE_NOT_A_NUMBER, censor != 0)  # an amount given is not below or above something
    start = _start(channel, item, cells, columns, time)
    end = _end(channel, item, cells, columns, start.time)
    when = np.where(start.reason > 0, start.reason, end.reason)
    nothing = (reason == 0) & (amount == 0.0) & (when > 0)
    reason[:] = np.where(reason == 0, when, reason)
    # An end that is not known yet (NaN, or with the next dose) and a start at the index event are never "before".
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        _reject(reason, Reason.STOP_NOT_AFTER_START, (end.time <= start.time) & (end.time != UNTIL_NEXT))
        if channel.spread:
            amount = amount / ((end.time - start.time) * channel.clock)
            outside = ~((amount >= channel.low) & (amount <= channel.high))
            _reject(reason, Reason.IMPLAUSIBLE, outside)
    reason[nothing] = OUT_OF_SCOPE  # nothing was given, so it does not matter when
    return ReadDoses(amount, start.time, end.time, reason)


def _reject(reasons: Outcomes, reason: Reason, where: NDArray[np.bool_]) -> None:
    reasons[where & (reasons == 0)] = CODES[reason]


def _fixed(count: int, time: float) -> Times:
    return Times(np.full(count, time), np.zeros(count, np.int8))


def _start(channel: DoseChannel, item: TreatmentColumn, cells: Cells, columns: BatchColumns, time: Times) -> Times:
    if isinstance(channel.start, TimeReader) and isinstance(item.start, TimeColumn):
        return channel.start.read_all(take(columns.cell(item.start.column), cells.row))
    if channel.start == "index":
        return _fixed(len(cells.row), np.nan)
    return Times(time.time[cells.row], time.reason[cells.row].copy())


def _end(channel: DoseChannel, item: TreatmentColumn, cells: Cells, columns: BatchColumns, start: Array) -> Times:
    if channel.duration is not None and item.duration is not None:
        text = take(columns.cell(item.duration.column), cells.row)
        unit = take(columns.cell(item.duration.unit_column), cells.row) if item.duration.unit_column else None
        length, censor, reason = read_quantities([channel.duration], np.zeros(len(text), np.int16), text, unit)
        reason[~filled(text)] = CODES[Reason.STOP_MISSING]
        _reject(reason, Reason.VALUE_NOT_A_NUMBER, censor != 0)
        with np.errstate(over="ignore", invalid="ignore"):  # of those that are rejected
            return Times(start + length / channel.clock, reason)
    if isinstance(channel.stop, TimeReader) and isinstance(item.stop, StopColumn):
        text = take(columns.cell(item.stop.column), cells.row)
        end, reason = channel.stop.read_all(text)
        empty = ~filled(text)
        reason[empty] = CODES[Reason.STOP_MISSING] if channel.empty == "reject" else 0
        end[empty] = _EMPTY.get(channel.empty, np.nan)
        return Times(end, reason)
    ends = {"never": np.inf, "next": UNTIL_NEXT}
    return _fixed(len(cells.row), ends[channel.stop] if isinstance(channel.stop, str) else np.nan)
