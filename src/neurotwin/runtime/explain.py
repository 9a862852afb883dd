"""Sensitivity of a forecast to each input of the record and the plan: asked again with the input moved, or left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import TimelineError
from neurotwin.heads import Head
from neurotwin.runtime.answer import rounded
from neurotwin.runtime.channels import Channel
from neurotwin.runtime.documents import Asked as Grid
from neurotwin.runtime.documents import PlanDocument, parse_document
from neurotwin.runtime.questions import TargetDocument
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.risk import column_of, silence
from neurotwin.runtime.variants import Variant, tell_at

if TYPE_CHECKING:
    from neurotwin.runtime.asked import Asked
    from neurotwin.runtime.twin import Plan, Twin

Array = NDArray[np.float64]
ABOUT = "what the model would say if one input differed; not what would happen to the patient, and no cause"
LATE = {"observation": 0, "treatment": 1, "plan": 2, "static": 3}


@dataclass(frozen=True)
class Input:
    """One number that the forecast rests on.

    Attributes:
        kind: ``observation``, ``treatment``, ``plan`` or ``static``.
        row: in its table of events, or column of the covariates.
        t: on the patient's clock, None of a covariate.
        value: in the channel's unit.
    """

    kind: str
    row: int
    channel: Channel
    t: float | None
    value: float

    def changed(self, base: Variant, value: float | None) -> Variant:
        """The record with another value, or without it (None)."""
        if self.kind == "static":
            statics = base.statics.copy()
            statics[self.row] = math.nan if value is None else value
            return replace(base, statics=statics)
        if self.kind == "observation":
            return replace(base, observations=_changed(base.observations, "value", self.row, value))
        name = "given" if self.kind == "treatment" else "planned"
        return replace(base, **{name: _changed(getattr(base, name), "amount", self.row, value)})

    def moved(self, share: float) -> tuple[list[float], str]:
        """Values a step above and below, those of them that are plausible; none, and why not, where there are none.

        A step is a share of the trained range, on the modelling scale of a variable.
        """
        channel = self.channel
        if channel.levels or channel.head.step:
            return [], "a level" if channel.levels else "recorded in steps"
        if channel.trained is None:
            return [], "no trained range is known"
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, middle = (float(channel.head.forward(np.array(end))) for end in (*channel.trained, self.value))
        step = share * (high - low)
        if not (math.isfinite(step + middle) and step > 0):
            return [], "the trained range is a single value, or off the modelling scale"
        told = [float(channel.head.inverse(np.array(middle + sign * step))) for sign in (1, -1)]
        kept = [value for value in told if _allowed(value, channel)]
        return kept, "" if kept else "no plausible value a step away"


def tell_sensitivity(twin: Twin, plan: Plan, target: Any) -> dict[str, Any]:
    """The answer of `Twin.explain`."""
    parsed, asked = parse_document(PlanDocument, plan, "plan"), parse_document(TargetDocument, target, "target")
    signature = twin.predictor.signature
    column = column_of(twin.predictor.reader, asked.channel, "target: channel")
    channel = signature.variables[column]
    at = max(parsed.query.times(), default=0.0) if asked.at is None else asked.at
    item = twin.ask([replace(parsed, query=Grid(at=(at,)))])[0]
    silence(item, column, channel.name)
    table: dict[str, Any] = {"sensitivity": None, "not_moved": None, "left_out": None}
    told: dict[str, Any] = {"channel": channel.name, "unit": channel.unit, "of": _statistic(channel.head)}
    if item.forecast is not None and item.after is not None:
        try:
            forecast, table = _table(twin, item, column, asked, twin.begin + float(item.after[0]))
            told |= {"t": twin.begin + float(item.after[0]), "after": float(item.after[0]), "forecast": forecast}
        except TimelineError:
            item.notes.refuse(Reason.IMPLAUSIBLE_INPUT, "patient: more events than can be walked")
            item.forecast = None
    answer = twin.answer(item)
    for name in ("prediction", "risks"):
        answer.pop(name, None)
    return answer | {"target": told, "share": asked.share, **table, "about": ABOUT}


def _table(twin: Twin, item: Asked, column: int, asked: TargetDocument, at: float) -> tuple[float, dict[str, Any]]:
    """The forecast, and the inputs in the order of what they move."""
    predictor, past, channel = twin.predictor, twin.past, twin.predictor.signature.variables[column]
    factor = predictor.signature.time_units[item.plan.time_unit]
    planned = predictor.reader.doses_of(item.plan.treatments, factor, "plan.", Notes(), planned=True)
    planned = replace(planned, time=planned.time + twin.begin, end=planned.end + twin.begin)
    base = Variant(past.observations, past.doses, planned, past.statics[0])
    inputs = sorted(_inputs(twin, base), key=lambda one: (one.t is not None, -(one.t or 0.0), LATE[one.kind]))
    inputs, left_out = inputs[: int(asked.most)], len(inputs[int(asked.most) :])
    moved = [one.moved(asked.share) for one in inputs]
    variants = [base]
    for one, (values, _) in zip(inputs, moved, strict=True):
        variants += [one.changed(base, value) for value in (*values, None)]
    found, support = tell_at(predictor, variants, twin.begin, at, stop=item.plan.ongoing == "stop")
    middle = predictor.signature.levels.index(0.5)
    numbers = found["quantiles"][:, column, middle] if channel.head.is_exact else found["mean"][:, column]
    known = np.where(support <= predictor.signature.threshold, numbers, np.nan)
    visits = np.array([variant.n_visits for variant in variants])
    known = np.where(visits >= predictor.signature.min_visits, known, np.nan)
    rows, still, place = [], [], 1
    for one, (values, why) in zip(inputs, moved, strict=True):
        rows.append(_row(one, values, known[place : place + len(values) + 1], float(numbers[0])))
        still += [] if values else [{**_name(one), "why": why}]
        place += len(values) + 1
    rows.sort(key=lambda row: -max(abs(row["change"] or 0.0), abs(row["without"] or 0.0)))
    return rounded(numbers[:1])[0], {"sensitivity": rows, "not_moved": still, "left_out": left_out}


def _inputs(twin: Twin, base: Variant) -> Iterator[Input]:
    signature, seen = twin.predictor.signature, base.observations
    for row, (t, index, value) in enumerate(zip(seen.time, seen.variable, seen.value, strict=True)):
        yield Input("observation", row, signature.variables[index], float(t), float(value))
    for kind, doses in (("treatment", base.given), ("plan", base.planned)):
        for row, (t, index, value) in enumerate(zip(doses.time, doses.treatment, doses.amount, strict=True)):
            yield Input(kind, row, signature.treatments[index], float(t), float(value))
    for row, value in enumerate(base.statics.tolist()):
        if math.isfinite(value):
            yield Input("static", row, signature.statics[row], None, value)


def _row(one: Input, values: Sequence[float], told: Array, base: float) -> dict[str, Any]:
    """What an input moves; ``told`` holds the forecasts with each value, then that without the input."""
    change = step = math.nan
    if values:
        # Central where both steps are plausible, else from the forecast itself to the one step there is.
        (high, after), (low, before) = (
            (values[0], told[0]),
            (values[1], told[1]) if len(values) > 1 else (one.value, base),
        )
        half = 2.0 if len(values) > 1 else 1.0
        sign = 1.0 if high > low else -1.0
        step, change = sign * (high - low) / half, sign * (after - before) / half
    numbers = rounded(np.array([step, change, base - told[-1]]))
    told_step, told_change, without = (number if math.isfinite(number) else None for number in numbers)
    return {**_name(one), "unit": one.channel.unit, "step": told_step, "change": told_change, "without": without}


def _name(one: Input) -> dict[str, Any]:
    return {"input": one.kind, "name": one.channel.name, "t": one.t}


def _allowed(value: float, channel: Channel) -> bool:
    low, high = max(channel.plausible[0], channel.head.low), min(channel.plausible[1], channel.head.high)
    return low <= value <= high


def _changed(table: Any, column: str, row: int, value: float | None) -> Any:
    """An event table with another number in one row, or without the row."""
    if value is None:
        return table.take(np.arange(len(table)) != row)
    numbers = getattr(table, column).copy()
    numbers[row] = value
    return replace(table, **{column: numbers})


def _statistic(head: Head) -> str:
    return "median" if head.is_exact else "expected record"
