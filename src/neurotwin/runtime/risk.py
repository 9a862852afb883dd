"""The risk that a channel crosses a threshold: a share of a forecast's joint draws, and how far they can tell it."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import interval_positions
from neurotwin.episodes import Forecast
from neurotwin.errors import DocumentError
from neurotwin.heads import Head, standard_quantile
from neurotwin.runtime.answer import rounded, rounded_times
from neurotwin.runtime.asked import Asked
from neurotwin.runtime.documents import Asked as Grid
from neurotwin.runtime.documents import PlanDocument, parse_document
from neurotwin.runtime.questions import EventDocument, HorizonDocument
from neurotwin.runtime.reading import Reader, scale_time
from neurotwin.runtime.reasons import Reason

if TYPE_CHECKING:
    from neurotwin.runtime.twin import Plan, Twin

Array = NDArray[np.float64]
INTERVAL = "wilson"
AS_IT_IS = "as it is"
_erf = np.vectorize(math.erf, otypes=[np.float64])


def tell_risk(twin: Twin, event: Any, horizon: Any, plan: Plan | None) -> dict[str, Any]:
    """The answer of `Twin.risk`."""
    asked = parse_document(EventDocument, event, "event")
    grid = parse_document(HorizonDocument, horizon, "horizon")
    reader, signature = twin.predictor.reader, twin.predictor.signature
    column = column_of(reader, asked.channel, "event: channel")
    item = twin.ask([_planned(reader, grid, plan)])[0]
    channel = signature.variables[column]
    threshold = reader.limit_of(asked.threshold, asked.unit, channel, "event", item.notes)
    silence(item, column, channel.name)
    if signature.n_draws < 2:
        item.notes.refuse(Reason.NOT_IDENTIFIED, "bundle: no joint draws")
    if asked.of == "record" and not channel.head.is_exact:
        item.notes.refuse(Reason.NOT_IDENTIFIED, "event.of: a record that is rounded or cut off")
    if item.notes.refused:
        item.forecast = None
    answer = twin.answer(item)
    for name in ("prediction", "risks"):
        answer.pop(name, None)
    told = {"channel": channel.name, "unit": channel.unit, "when": asked.when, "of": asked.of}
    value = None if math.isnan(threshold) else threshold
    answer["event"] = told | {"above" if asked.sign > 0 else "below": value}
    answer["counterfactual"] = signature.counterfactual
    rows = None
    if item.forecast is not None and item.after is not None:
        chance = crossing(item.forecast, column, channel.head, threshold, asked, twin.predictor.calibration.level)
        rows = _rows(chance, twin.begin, item.after, twin.predictor.calibration.level)
    answer["risk"] = None if rows is None else rows[-1]
    answer["by_time"] = rows
    answer["early_warning"] = None if rows is None or asked.alarm is None else _first(rows, asked.alarm)
    return answer


def column_of(reader: Reader, name: str, where: str) -> int:
    """Position of a variable; raises DocumentError for one that the bundle does not know."""
    if name not in reader.variables:
        raise DocumentError(
            "a channel that the bundle does not know", where=where, expected=" or ".join(reader.variables)
        )
    return reader.variables[name][0]


def silence(item: Asked, column: int, name: str) -> None:
    """Refuse what is asked of a channel whose forecast is not plausible."""
    if item.forecast is not None and np.isnan(item.forecast.median[:, column]).any():
        item.notes.refuse(Reason.IMPLAUSIBLE_OUTPUT, f"forecast: {name}")
        item.forecast = None


def crossing(
    forecast: Forecast, column: int, head: Head, threshold: float, event: EventDocument, level: float
) -> Array:
    """``[query, draw]`` probability that each draw has crossed by (or is across at) each time.

    A record is a draw's course plus Gaussian noise on the modelling scale, independent from time to time. Its variance
    is what the calibrated interval at ``level`` leaves once the draws' own variance is taken away, or 0.
    """
    draws = np.zeros((0, 1)) if forecast.draws is None else forecast.draws[:, column]
    if event.of == "course":
        across = (event.sign * (draws - threshold) > 0).astype(np.float64)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            course, limit = head.forward(draws), head.forward(np.array(threshold))
        distance = event.sign * (course - (limit if np.isfinite(limit) else -np.inf))
        noise = _noise(forecast, column, head, course, level)[:, None]
        across = 0.5 * (1 + _erf(_apart(distance, noise) / math.sqrt(2)))
    return np.asarray(1 - np.cumprod(1 - across, axis=0) if event.when == "any" else across)


def wilson(share: Array, n: int, level: float) -> tuple[Array, Array]:
    """Score interval of a probability of which ``n`` draws tell a share (Wilson 1927, J Am Stat Assoc 22:209).

    Draws that tell probabilities instead of 0 or 1, and antithetic draws of a monotone event, vary less than
    independent ones: the interval is then wider than it need be.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _planned(reader: Reader, horizon: HorizonDocument, plan: Plan | None) -> PlanDocument:
    """The plan, asked at the horizon's times."""
    if plan is None:
        return PlanDocument(AS_IT_IS, horizon.time_unit, horizon.grid, ongoing="continue")
    parsed = parse_document(PlanDocument, plan, "plan")
    if parsed.time_unit == horizon.time_unit or parsed.time_unit not in reader.time_units:
        return replace(parsed, query=horizon.grid)
    if horizon.time_unit not in reader.time_units:
        raise DocumentError(
            "a time unit that the bundle does not know",
            where="horizon: time_unit",
            expected=" or ".join(reader.time_units),
        )
    factor = reader.time_units[horizon.time_unit] / reader.time_units[parsed.time_unit]
    return replace(parsed, query=Grid(at=tuple(scale_time(time, factor) for time in horizon.grid.times())))


def _noise(forecast: Forecast, column: int, head: Head, course: Array, level: float) -> Array:
    """``[query]`` standard deviation of the noise about a draw, on the modelling scale."""
    ends = interval_positions(forecast.levels, level) or (0, len(forecast.levels) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (head.forward(forecast.quantiles[:, column, end]) for end in ends)
    shares = [standard_quantile(float(forecast.levels[end]), head.degrees_of_freedom) for end in ends]
    total = (high - low) / (shares[1] - shares[0])
    return np.asarray(np.sqrt(np.maximum(total**2 - course.var(axis=1), 0.0)))


def _apart(distance: Array, noise: Array) -> Array:
    """Distances in units of the noise; without noise, infinite."""
    return np.where(noise > 0, distance / np.where(noise > 0, noise, 1.0), np.where(distance > 0, np.inf, -np.inf))


def _rows(chance: Array, start: float, after: Array, level: float) -> list[dict[str, Any]]:
    share, n = chance.mean(axis=1), chance.shape[1]
    columns = [rounded(column) for column in (share, *wilson(share, n, level))]
    return [
        {
            "t": t,
            "after": passed,
            "probability": probability,
            "interval": {"level": level, "lo": low, "hi": high, "kind": INTERVAL, "draws": n},
        }
        for t, passed, probability, low, high in zip(
            rounded_times(start + after), rounded_times(after), *columns, strict=True
        )
    ]


def _first(rows: list[dict[str, Any]], alarm: float) -> dict[str, Any]:
    """The first time at which the risk reaches ``alarm``; null where it never does."""
    found = next((row for row in rows if row["probability"] >= alarm), {"t": None, "after": None})
    return {"alarm": alarm, "t": found["t"], "after": found["after"]}
