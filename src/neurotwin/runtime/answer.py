"""The answer: what a prediction says, and what it says when it must not speak."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import KIND, interval_positions
from neurotwin.episodes import Forecast
from neurotwin.runtime.deadline import check_time
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason

Array = NDArray[np.float64]


def build_answer(
    predictor: Predictor,
    notes: Notes,
    *,
    plan: Mapping[str, Any],
    support: Mapping[str, Any],
    start: float,
    after: Array | None,
    forecast: Forecast | None,
    checks: Mapping[str, bool],
    used: int,
) -> dict[str, Any]:
    """One plan's answer; ``forecast`` None means that the model must not speak.

    Args:
        start: the plan's start on the patient's clock.
        after: ``[query]`` times from the plan's start, or None where they could not be read.
        forecast: calibrated quantiles ``[query, obs, quantile]``.
        used: observations and treatments that the model was told.

    Raises DeadlineError.
    """
    check_time()
    return {
        **verdict(notes, refused=forecast is None),
        "model": model_of(predictor),
        "plan": dict(plan),
        "prediction": None if forecast is None or after is None else _prediction(predictor, forecast, start, after),
        **_risks(predictor, forecast, start, after),
        "support": dict(support),
        "checks": dict(checks),
        "inputs_used": used,
        "inputs_ignored": notes.ignored,
        "converted": notes.converted,
        "provider": "onnxruntime CPUExecutionProvider",
        "request_id": os.urandom(16).hex(),
    }


def verdict(notes: Notes, *, refused: bool) -> dict[str, Any]:
    """``status``, ``reasons`` and ``details``."""
    reasons = sorted(notes.refused if refused else notes.warned)
    return {
        "status": "abstain" if refused else "degraded" if reasons else "ok",
        "reasons": [str(reason) for reason in reasons],
        "details": [
            f"{reason}: {place}"
            for group in (notes.refused, notes.warned)
            for reason, places in group.items()
            for place in places[:5]
        ],
    }


def model_of(predictor: Predictor) -> dict[str, Any]:
    """Which model speaks."""
    bundle = predictor.bundle
    return {
        "id": bundle.name,
        "version": bundle.version,
        "sha256": bundle.sha256,
        "context_of_use": str(bundle.manifest.get("intended_use", "")),
        "not_a_medical_device": True,
    }


def check_output(predictor: Predictor, forecast: Forecast, notes: Notes) -> tuple[Forecast, dict[str, bool]]:
    """Plausibility of what is about to be said.

    A number that is not finite refuses the answer. A channel whose median leaves its plausible range is silenced (its
    quantiles and draws become NaN, and the answer says null); when all channels do, the answer is refused.
    """
    told = (forecast.quantiles, forecast.draws, forecast.incidence)
    finite = all(bool(np.isfinite(values).all()) for values in told if values is not None)
    low, high = np.array([channel.plausible for channel in predictor.signature.variables]).T
    plausible = ((forecast.median >= low) & (forecast.median <= high)).all(axis=0)
    if not finite:
        notes.refuse(Reason.SOLVER_FAILURE, "forecast")
    elif not plausible.any():
        notes.refuse(Reason.IMPLAUSIBLE_OUTPUT, "forecast")
    elif not plausible.all():
        for index in np.flatnonzero(~plausible):
            notes.warn(Reason.IMPLAUSIBLE_OUTPUT, f"forecast: {predictor.signature.variables[index].name}")
        shown = plausible[None, :, None]
        draws = None if forecast.draws is None else np.where(shown, forecast.draws, np.nan)
        forecast = replace(forecast, quantiles=np.where(shown, forecast.quantiles, np.nan), draws=draws)
    return forecast, {"finite": finite, "plausible": finite and bool(plausible.all())}


def _prediction(predictor: Predictor, forecast: Forecast, start: float, after: Array) -> list[dict[str, Any]]:
    calibration, variables = predictor.calibration, predictor.signature.variables
    ends, bins = interval_positions(forecast.levels, calibration.level), calibration.bins(after).tolist()
    medians = iter(rounded(forecast.median))
    low, high = (iter(rounded(forecast.quantiles[:, :, end])) for end in ends) if ends else (iter(()), iter(()))
    means = iter(rounded(np.full_like(forecast.median, np.nan) if forecast.mean is None else forecast.mean))
    known = [evidence(predictor, variable.name) for variable in variables]
    rows = []
    silent = [bool(np.isnan(column).any()) for column in forecast.median.T]
    for t, passed, place in zip(rounded_times(start + after), rounded_times(after), bins, strict=True):
        for variable, basis, mute in zip(variables, known, silent, strict=True):
            row = {"t": t, "after": passed, "channel": variable.name, "unit": variable.unit, "median": next(medians)}
            mean = next(means)
            if variable.head.kind == "bernoulli":
                row["probability"] = None if mute or math.isnan(mean) else mean
            if ends:
                row["interval"] = {**basis[place], "lo": next(low), "hi": next(high)}
            rows.append(row if not mute else {**row, "median": None, "interval": None})
    return rows


def _risks(
    predictor: Predictor, forecast: Forecast | None, start: float, after: Array | None
) -> dict[str, list[dict[str, Any]] | None]:
    """Of a bundle that tells of outcomes: the probability that each has happened by then, the plan's start survived."""
    if not predictor.signature.outcomes:
        return {}
    if forecast is None or forecast.incidence is None or after is None:
        return {"risks": None}
    numbers = iter(rounded(forecast.incidence))
    return {
        "risks": [
            {"t": t, "after": passed, "outcome": name, "probability": next(numbers)}
            for t, passed in zip(rounded_times(start + after), rounded_times(after), strict=True)
            for name in predictor.signature.outcomes
        ]
    }


def evidence(predictor: Predictor, name: str) -> list[dict[str, Any]]:
    """What the intervals of one channel are and rest on, by horizon bin."""
    calibration = predictor.calibration
    column = calibration.channels.index(name)
    counts, measured = calibration.n_patients[:, column].tolist(), calibration.coverage[:, column]
    coverage = [share if known else None for share, known in zip(rounded(measured), np.isfinite(measured), strict=True)]
    kind = {"level": calibration.level, "kind": KIND}
    return [{**kind, "calib_n": n, "empirical_coverage": share} for n, share in zip(counts, coverage, strict=True)]


def draw_quantiles(draws: Array, levels: Sequence[float]) -> Array:
    """``[level, ...]`` quantiles of the last axis by which one more draw would be below as often as they say.

    Position ``level * (n + 1)`` among ``n`` sorted draws (Weibull 1939; definition 6 of Hyndman and Fan 1996, Am Stat
    50:361), or the outermost draw. Interpolated between the outermost ones instead, the 90 % interval of 16 draws would
    hold 79 % of others.
    """
    return np.asarray(np.quantile(draws, levels, axis=-1, method="weibull"))


def rounded(values: Array, digits: int = 7) -> list[float]:
    """All values in one list, rounded to so many digits; seven are what single precision can say."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    size = np.log10(np.abs(flat), where=flat != 0, out=np.zeros_like(flat))
    place = np.clip(digits - 1 - np.floor(size), -300, 300)
    up, down = 10.0 ** np.maximum(place, 0), 10.0 ** np.maximum(-place, 0)
    # Divided by a whole power of ten, so that the nearest double to the decimal is met.
    return list((np.rint(flat * up / down) * down / up).tolist())


def rounded_times(values: Array, digits: int = 12) -> list[float]:
    """Times in one list, rounded to so many digits."""
    return rounded(values, digits)
