"""Alerts about a record: what the twin did not expect, what drifts, what is stuck, what is no longer heard of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import DocumentError, TimelineError
from neurotwin.runtime.answer import evidence, model_of, rounded, rounded_times, verdict
from neurotwin.runtime.charts import average_run_length, cusum, resolutions, spreads
from neurotwin.runtime.documents import parse_document
from neurotwin.runtime.planned import judge_record
from neurotwin.runtime.policies import AlertPolicyDocument
from neurotwin.runtime.reading import Notes, Reader, scale_time
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.retrospect import Retrospect, look_back
from neurotwin.runtime.risk import column_of
from neurotwin.runtime.scores import NORMAL, Marginals

if TYPE_CHECKING:
    from neurotwin.runtime.channels import Channel
    from neurotwin.runtime.twin import Twin

Array = NDArray[np.float64]
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Watch:
    """A policy in the bundle's units and columns.

    Attributes:
        since: alerts after it are told, minus infinity for all.
        level: of the interval.
        steps: column -> resolution of the records.
        longest: column -> longest time without a record.
        trained: of each column, the range of training.
    """

    policy: AlertPolicyDocument
    since: float
    level: float
    steps: dict[int, float]
    longest: dict[int, float]
    trained: tuple[tuple[float, float] | None, ...]

    @classmethod
    def of(cls, reader: Reader, policy: Any, level: float) -> Watch:
        """Raises DocumentError for a policy that cannot be read, or a channel or unit that the bundle does not know."""
        told = parse_document(AlertPolicyDocument, policy if policy is not None else {}, "policy")
        factor = 1.0
        if told.time_unit is not None:
            if told.time_unit not in reader.time_units:
                raise DocumentError(
                    "a time unit that the bundle does not know",
                    where="policy: time_unit",
                    expected=" or ".join(reader.time_units),
                )
            factor = reader.time_units[told.time_unit]
        longest = {
            column_of(reader, rule.channel, f"policy: stale.{number}.channel"): scale_time(rule.longest, factor)
            for number, rule in enumerate(told.stale)
        }
        steps = {}
        for number, rule in enumerate(told.stuck.resolution):
            at = f"policy: stuck.resolution.{number}"
            column = column_of(reader, rule.channel, f"{at}.channel")
            accepted = reader.signature.variables[column].units.get(rule.unit)
            if accepted is None:
                raise DocumentError("a unit that the channel does not accept", where=f"{at}.unit")
            steps[column] = rule.step * accepted[0]
        since = -math.inf if told.since is None else scale_time(told.since, factor)
        trained = tuple(channel.trained for channel in reader.signature.variables)
        return cls(told, since, level if told.outside.level is None else told.outside.level, steps, longest, trained)


def tell_alerts(twin: Twin, policy: Any) -> dict[str, Any]:
    """The answer of `Twin.alerts`."""
    predictor, past = twin.predictor, twin.past
    watch = Watch.of(predictor.reader, policy, predictor.calibration.level)
    notes = Notes().merged(twin.notes)
    judge_record(twin, notes)
    found = None if notes.refused else _look(twin, notes)
    told: dict[str, Any] = {"alerts": None, "burden": None, "n_checked": 0, "not_checked": []}
    if found is not None:
        told["not_checked"] = [{"reason": str(reason), "n": count} for reason, count in found.unchecked.items()]
        _judge(watch, found, notes)
    if found is not None and not notes.refused:
        rows = sorted(_alerts(twin, watch, found), key=lambda row: (row["t"], row["channel"], row["kind"]))
        time = max(twin.begin - max(past.first_seen, watch.since), 0.0)
        told |= {"alerts": rows, "burden": _burden(rows, time, predictor.signature.time_units)}
        told["n_checked"] = int((found.checked & (found.observations.time > watch.since)).sum())
    return {
        **verdict(notes, refused=bool(notes.refused)),
        "model": model_of(predictor),
        "t": twin.begin,
        "time_unit": predictor.signature.time_unit,
        **told,
        "policy": _policy(twin, watch),
        "support": twin.support(),
        "inputs_ignored": notes.ignored,
        "converted": notes.converted,
        "request_id": os.urandom(16).hex(),
    }


def warn_signals(twin: Twin, policy: Any, told: Sequence[Notes]) -> None:
    """Warn of channels that are stuck, or stale, now, in the notes of each plan."""
    watch = Watch.of(twin.predictor.reader, policy, twin.predictor.calibration.level)
    found = None if twin.notes.refused or twin.past.state is None else _look(twin, Notes())
    if found is None:
        return
    for reason, at in _signals(twin, watch, found):
        for notes in told:
            notes.warn(reason, at)


def _signals(twin: Twin, watch: Watch, found: Retrospect) -> Iterator[tuple[Reason, str]]:
    for column, channel in enumerate(twin.predictor.signature.variables):
        rows, marginals = found.of(twin.past, column)
        looked_for = "stuck_signal" in watch.policy.kinds and len(rows) > 0
        if looked_for and np.isfinite(_stuck(watch, column, found, rows, marginals)[-1, 0]):
            yield Reason.STUCK_SIGNAL, f"patient: {channel.name}"
    if "stale_input" in watch.policy.kinds:
        for column, longest in watch.longest.items():
            heard = found.observations.time[found.observations.variable == column]
            if twin.begin - (heard.max() if len(heard) else twin.past.first_seen) > longest:
                yield Reason.STALE_INPUT, f"patient: {twin.predictor.signature.variables[column].name}"


def _judge(watch: Watch, found: Retrospect, notes: Notes) -> None:
    """Where nothing could be checked, and nothing else is looked for, nothing is said."""
    silent = not found.checked.any() and not ("stale_input" in watch.policy.kinds and watch.longest)
    for reason, count in found.unchecked.items():
        at = f"patient: nothing was foretold of {count} observations"
        if silent:
            notes.refuse(reason, at)
        elif reason is not Reason.TOO_FEW_OBSERVATIONS or not found.checked.any():
            notes.warn(reason, at)


def _look(twin: Twin, notes: Notes) -> Retrospect | None:
    """The record beside its forecasts; None, and a note, where it cannot be walked."""
    if not len(twin.past.observations):
        notes.refuse(Reason.TOO_FEW_OBSERVATIONS, "patient: no observation")
        return None
    try:
        return look_back(twin.past)
    except TimelineError:
        notes.refuse(Reason.IMPLAUSIBLE_INPUT, "patient: more time between events than can be walked")
        return None


def _alerts(twin: Twin, watch: Watch, found: Retrospect) -> Rows:
    signature, kinds, rows = twin.predictor.signature, watch.policy.kinds, list[dict[str, Any]]()
    for column, channel in enumerate(signature.variables):
        own, marginals = found.of(twin.past, column)
        if not len(own):
            continue
        when, value = found.observations.time[own], found.observations.value[own]
        scores = np.where(found.checked[own], marginals.scores(value), np.nan)
        if "outside_interval" in kinds:
            rows += _outside(twin, watch, channel, found, own, marginals, scores)
        if "drift" in kinds:
            rule = watch.policy.drift
            for one in cusum(scores, rule.reference, rule.limit):
                told = _row("drift", channel, when[one.at], when[one.first], one.shift)
                rows.append(told | {"n": int(np.isfinite(scores[one.first : one.at + 1]).sum())})
        if "stuck_signal" in kinds:
            stuck = _stuck(watch, column, found, own, marginals)
            new = np.isfinite(stuck[:, 0]) & ~np.r_[False, np.isfinite(stuck[:-1, 0])]
            for place in np.flatnonzero(new).tolist():
                n, spread = int(stuck[place, 1]), float(stuck[place, 2])
                told = _row("stuck_signal", channel, when[place], when[place - n + 1], stuck[place, 0] / math.log(10))
                rows.append(told | {"n": n, "spread": rounded(np.array([spread]))[0]})
    if "stale_input" in kinds:
        rows += _stale(twin, watch, found)
    return [row for row in rows if row["t"] > watch.since]


def _outside(
    twin: Twin,
    watch: Watch,
    channel: Channel,
    found: Retrospect,
    own: NDArray[np.int64],
    marginals: Marginals,
    scores: Array,
) -> Rows:
    """Records outside the interval; its evidence is told where it is the one that was calibrated."""
    low, high = marginals.interval(watch.level)
    value, calibration = found.observations.value[own], twin.predictor.calibration
    where = np.flatnonzero(found.checked[own] & ((value < low) | (value > high)))
    known = evidence(twin.predictor, channel.name)
    rows = []
    for place in where.tolist():
        ends = dict(zip(("lo", "hi"), rounded(np.array([low[place], high[place]])), strict=True))
        told = {"level": watch.level}
        if watch.level == calibration.level:
            told = known[int(calibration.bins(found.after[own[place]]))]
        seen, median = rounded(np.array([value[place], marginals.median[place]]))
        t = found.observations.time[own[place]]
        row = _row("outside_interval", channel, t, t - found.after[own[place]], scores[place])
        rows.append(row | {"value": seen, "median": median, "interval": {**told, **ends}})
    return rows


def _stuck(watch: Watch, column: int, found: Retrospect, own: NDArray[np.int64], marginals: Marginals) -> Array:
    """``[record, (log probability, records, spread)]`` of the least probable run that ends at each, NaN where none is
    improbable enough.

    Each of a run's records but the first counts with the probability, under its own forecast, of a record no further
    from the one before than the run's spread and half a step of the channel's resolution. The ends of the trained range
    may be limits of detection, at which a channel stays without being stuck.
    """
    rule, value = watch.policy.stuck, found.observations.value[own]
    best = np.full((len(own), 3), np.nan)
    if marginals.head.step:
        step = np.zeros(len(own))
    else:
        step = np.full(len(own), watch.steps[column]) if column in watch.steps else resolutions(value)
    before, ends = np.r_[value[:1], value[:-1]], watch.trained[column]
    for length in range(int(rule.least), min(int(rule.most), len(own)) + 1):
        spread = spreads(value, length)
        at = np.flatnonzero(np.isfinite(spread) & np.isfinite(step))
        total = np.zeros(len(at))
        for back in range(length - 1):
            rows = at - back
            chance = marginals.take(rows).chance_within(before[rows], spread[at] + step[at] / 2, ends)
            total += np.where(found.checked[own[rows]], np.log(np.maximum(chance, 1e-300)), 0.0)
        less = at[(total < math.log(rule.probability)) & ~(total >= best[at, 0])]
        best[less] = np.stack([total, np.full(len(at), length), spread[at]], axis=1)[np.searchsorted(at, less)]
    return best


def _stale(twin: Twin, watch: Watch, found: Retrospect) -> Rows:
    """Stretches without a record that became longer than the policy allows, up to now."""
    rows = []
    for column, longest in watch.longest.items():
        heard = found.observations.time[found.observations.variable == column]
        ends = np.r_[heard, twin.begin]
        begins = np.r_[twin.past.first_seen if not len(heard) else heard[0], heard]
        channel = twin.predictor.signature.variables[column]
        for begin in np.unique(begins[ends - begins > longest]).tolist():
            rows.append(_row("stale_input", channel, begin + longest, begin, math.nan) | {"longest": longest})
    return rows


def _row(kind: str, channel: Channel, t: float, since: float, score: float) -> dict[str, Any]:
    when, begin = rounded_times(np.array([t, since]))
    told = rounded(np.array([score]), 6)[0] if math.isfinite(score) else None
    return {"kind": kind, "channel": channel.name, "unit": channel.unit, "t": when, "since": begin, "score": told}


def _burden(rows: Rows, time: float, units: Any) -> dict[str, Any]:
    """Alerts per patient-day; null where the bundle's clock knows no day, or no time has passed."""
    days = time / units["d"] if "d" in units else 0.0
    rate = len(rows) / days if days else None
    return {"alerts": len(rows), "days": rounded_times(np.array([days]))[0], "per_day": rate}


def _policy(twin: Twin, watch: Watch) -> dict[str, Any]:
    """What was looked for, and how often it is raised without a fault."""
    policy, signature = watch.policy, twin.predictor.signature
    run = average_run_length(policy.drift.reference, policy.drift.limit)
    return {
        "kinds": list(policy.kinds),
        "since": watch.since if math.isfinite(watch.since) else None,
        "outside": {"level": watch.level, "score": NORMAL.inv_cdf((1 + watch.level) / 2)},
        "drift": {
            "reference": policy.drift.reference,
            "limit": policy.drift.limit,
            "average_run_length": rounded(np.array([run]), 3)[0],
        },
        "stuck": {"probability": policy.stuck.probability, "least": policy.stuck.least, "most": policy.stuck.most},
        "stale": [
            {"channel": signature.variables[column].name, "longest": longest, "time_unit": signature.time_unit}
            for column, longest in watch.longest.items()
        ],
    }
