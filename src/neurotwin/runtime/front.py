"""From an optimiser's documents to its search, and from the search to a front that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurotwin.errors import DocumentError
from neurotwin.extras import need
from neurotwin.runtime.answer import draw_quantiles, rounded
from neurotwin.runtime.asked import Asked
from neurotwin.runtime.channels import FIELD_OF
from neurotwin.runtime.documents import PlanDocument, parse_document
from neurotwin.runtime.goals import (
    BudgetDocument,
    ConstraintsDocument,
    DoseLimits,
    GoalDocument,
    RiskObjective,
    ToxicityLimit,
)
from neurotwin.runtime.optimise import REFUSED, Limit, Search, Toxic, Tried, search
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.risk import column_of, silence

if TYPE_CHECKING:
    from neurotwin.runtime.twin import Plan, Twin


def tell_front(twin: Twin, plan: Plan, goal: Any, constraints: Any, budget: Any) -> dict[str, Any]:
    """The answer of `Twin.optimise`."""
    template, aim = parse_document(PlanDocument, plan, "plan"), parse_document(GoalDocument, goal, "goal")
    kept = parse_document(ConstraintsDocument, constraints, "constraints")
    allowed = parse_document(BudgetDocument, budget or {}, "budget")
    library = need("scipy.optimize", "optimise")
    column = column_of(twin.predictor.reader, aim.channel, "goal: channel")
    if aim.against is not None and aim.against not in {one.treatment for one in kept.doses}:
        raise DocumentError(
            "the dose of a treatment that may not vary",
            where="goal: against",
            expected="a treatment of constraints.doses",
        )
    toxic = [
        _toxic(twin, one, one.share, f"constraints: toxicity.{number}") for number, one in enumerate(kept.toxicity)
    ]
    told_risk = aim.against_risk
    risk = None if told_risk is None else _toxic(twin, told_risk, 0.0, "goal: against_risk")
    item = twin.ask([template])[0]
    silence(item, column, aim.channel)
    told: dict[str, Any] = {"front": None, "closest": None, "evaluations": 0, "feasible": 0, "stopped": None}
    limits = [_limit(twin, item, one, f"constraints: doses.{number}") for number, one in enumerate(kept.doses)]
    if item.forecast is not None:
        found = Search(twin, item, aim, limits, toxic, risk)
        base = found.judge_template()
        stopped = search(library, found, allowed)
        feasible = [one for one in found.tried if one.violation == 0]
        points = best(feasible, found.sign, int(allowed.points))
        told = {
            "front": [_point(twin, found, one, base, f"front {number}") for number, one in enumerate(points, start=1)],
            "closest": _closest(twin, found, base) if not points else None,
            "evaluations": len(found.tried),
            "feasible": len(feasible),
            "stopped": stopped,
        }
    answer = twin.answer(item)
    for name in ("prediction", "risks"):
        answer.pop(name, None)
    unit = twin.predictor.signature.variables[column].unit
    goal_told: dict[str, Any] = {
        "channel": aim.channel,
        "unit": unit,
        "aim": aim.aim,
        "when": aim.when,
        "against": aim.against,
    }
    if risk is not None:
        goal_told["against_risk"] = {"channel": risk.name, "above" if risk.sign > 0 else "below": risk.threshold}
    return answer | {"goal": goal_told, **told, "counterfactual": twin.predictor.signature.counterfactual}


def best(feasible: list[Tried], sign: float, n: int) -> list[Tried]:
    """At most ``n`` plans that no other beats in both goal and total dose, the totals spread evenly, rising."""
    front: list[Tried] = []
    for one in sorted(feasible, key=lambda tried: (tried.total, sign * tried.value)):
        if not front or sign * one.value < sign * front[-1].value:
            front.append(one)
    if len(front) <= n:
        return front
    totals = np.array([one.total for one in front])
    caps = np.linspace(totals[0], totals[-1], n)
    return [front[index] for index in sorted({int(np.searchsorted(totals, cap, "right")) - 1 for cap in caps})]


def _closest(twin: Twin, found: Search, base: Tried) -> list[dict[str, Any]]:
    """Where no plan keeps all limits: those, of the plans that the model speaks about, that miss them by the least.

    The least by the sum of all shares, and for each limit that it misses the least of the plans that keep it.
    """
    spoken = [one for one in found.tried if one.violation < REFUSED]
    if not spoken:
        return []
    chosen = [min(spoken, key=lambda one: one.violation)]
    for name in [miss["limit"] for miss in chosen[0].missed]:
        keeping = [one for one in spoken if name not in {miss["limit"] for miss in one.missed}]
        chosen += [min(keeping, key=lambda one: one.violation)] if keeping else []
    told = []
    for number, one in enumerate({id(one): one for one in chosen}.values(), start=1):
        missed = [{**miss, "by": rounded(np.array([miss["by"]]))[0]} for miss in one.missed]
        told.append(_point(twin, found, one, base, f"closest {number}") | {"missed": missed})
    return told


def _limit(twin: Twin, item: Asked, one: DoseLimits, at: str) -> Limit:
    """Limits in the bundle's units; raises DocumentError for those that cannot be kept or must not be asked."""
    reader, signature = twin.predictor.reader, twin.predictor.signature
    if one.treatment not in reader.treatments:
        raise DocumentError(
            "a treatment that the bundle does not know", where=at, expected=" or ".join(reader.treatments)
        )
    index, channel = reader.treatments[one.treatment]
    if channel.trained is None:
        raise DocumentError("a treatment without a trained range", where=at)
    notes = Notes()
    ends = [
        trained if told is None else reader.limit_of(told, one.unit, channel, at, notes)
        for told, trained in ((one.lowest, channel.trained[0]), (one.highest, channel.trained[1]))
    ]
    if one.total is not None and one.unit not in channel.units:
        raise DocumentError("a total without a unit that the treatment accepts", where=at, expected="a unit")
    if notes.refused or notes.warned or not ends[0] <= ends[1]:
        raise DocumentError(
            "a limit without its unit, beyond the trained range, or below the other",
            where=at,
            expected=f"{channel.trained[0]:g} to {channel.trained[1]:g} {channel.unit}",
        )
    doses = item.doses
    planned = np.arange(len(doses)) >= len(doses) - item.n_planned
    rows = np.flatnonzero(planned & (doses.treatment == index))
    if item.forecast is not None and (not len(rows) or np.isinf(doses.end[rows]).any()):
        raise DocumentError(
            "a treatment that the plan does not give, or gives without an end", where=at, expected="one that it gives"
        )
    factor = signature.time_units.get(item.plan.time_unit, 1.0)
    total = None if one.total is None else one.total * channel.units[one.unit or ""][0]
    return Limit(channel.name, channel.unit, rows, ends[0], ends[1], total, one.gap * factor, one.move * factor)


def _toxic(twin: Twin, one: ToxicityLimit | RiskObjective, share: float, at: str) -> Toxic:
    column = column_of(twin.predictor.reader, one.channel, f"{at}.channel")
    notes, sign = Notes(), -1.0 if one.above is None else 1.0
    value = float(next(value for value in (one.above, one.below) if value is not None))
    threshold = twin.predictor.reader.limit_of(value, one.unit, twin.predictor.signature.variables[column], at, notes)
    if notes.refused:
        raise DocumentError(
            "a threshold without its unit, or out of range", where=at, expected="near the trained range"
        )
    return Toxic(one.channel, column, sign, threshold, share)


def _point(twin: Twin, found: Search, one: Tried, base: Tried, name: str) -> dict[str, Any]:
    level, unit = twin.predictor.calibration.level, twin.predictor.signature.variables[found.column].unit
    change = None
    if len(one.draws) > 1 and len(base.draws) == len(one.draws):  # one draw tells no interval
        shares = [0.5, (1 - level) / 2, (1 + level) / 2]
        median, low, high = rounded(draw_quantiles(one.draws - base.draws, shares))
        interval = {"level": level, "lo": low, "hi": high, "kind": "joint_draws", "draws": len(one.draws)}
        change = {"median": median, "unit": unit, "interval": interval}
    return {
        "plan": _plan(twin, one.item, name),
        "total" if found.risk is None else "risk": rounded(np.array([one.total]))[0],
        "value": rounded(np.array([one.value]))[0],
        "difference": change,
        "binding": one.binding,
    }


def _plan(twin: Twin, item: Asked, name: str) -> dict[str, Any]:
    """The plan as a document, in the bundle's units."""
    signature, doses = (
        twin.predictor.signature,
        item.doses.take(np.arange(len(item.doses)) >= len(item.doses) - item.n_planned),
    )
    given = []
    for t, end, index, amount in zip(doses.time, doses.end, doses.treatment, doses.amount, strict=True):
        channel = signature.treatments[index]
        record = {"t": _short(t - twin.begin), "treatment": channel.name, FIELD_OF[channel.kind]: _short(amount)}
        given.append(
            record | {"unit": channel.unit} | ({"t_end": _short(end - twin.begin)} if np.isfinite(end) else {})
        )
    at = [] if item.after is None else [_short(after) for after in item.after]
    query = {"name": name, "time_unit": signature.time_unit, "query": {"at": at}}
    return query | {"treatments": given, "ongoing": item.plan.ongoing}


def _short(number: float) -> float:
    return float(f"{number:.12g}")
