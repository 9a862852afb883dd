"""The answer: what a prediction says, and what it says when it must not speak."""

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.calibration import KIND, interval_positions
from neurotwin.episodes import Forecast
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason

Array = NDArray[np.float64]


def build_answer(
    predictor: Predictor, notes: Notes, *, plan: Mapping[str, Any], support: Mapping[str, Any], times: Array, start: float,
    forecast: Forecast | None, horizon: Array, checks: Mapping[str, bool],
) -> dict[str, Any]:  # fmt: skip
    """One plan's answer; ``forecast`` None means that the model must not speak.

    Args:
        times: ``[query]`` on the patient's clock.
        forecast: calibrated quantiles ``[query, obs, quantile]``.
        horizon: ``[query]`` time from the plan's start.
    """
    refused = forecast is None
    reasons = sorted({*notes.refused, *(() if refused else notes.warned)})
    return {
        "status": "abstain" if refused else "degraded" if reasons else "ok",
        "reasons": [str(reason) for reason in reasons],
        "details": [f"{reason}: {place}" for group in (notes.refused, notes.warned) for reason, places in group.items() for place in places[:5]],
        "model": model_of(predictor),
        "plan": dict(plan),
        "prediction": None if forecast is None else _prediction(predictor, forecast, times, horizon),
        "support": dict(support),
        "checks": dict(checks),
        "inputs_used": notes.used,
        "inputs_ignored": notes.ignored,
        "converted": notes.converted,
        "provider": "onnxruntime CPUExecutionProvider",
        "request_id": str(uuid.uuid4()),
    }


def model_of(predictor: Predictor) -> dict[str, Any]:
    """Which model speaks."""
    bundle = predictor.bundle
    return {
        "id": bundle.name, "version": bundle.version, "sha256": bundle.sha256, "context_of_use": bundle.manifest.get("intended_use", ""),
        "not_a_medical_device": True,
    }  # fmt: skip


def check_output(predictor: Predictor, forecast: Forecast, notes: Notes) -> dict[str, bool]:
    """Plausibility of what is about to be said; a failed check refuses."""
    finite = bool(np.isfinite(forecast.quantiles).all())
    plausible = finite
    for index, variable in enumerate(predictor.schema.variables):
        low, high = variable.plausible
        median = forecast.median[:, index]
        plausible &= bool(((median >= low) & (median <= high)).all()) if finite else False
    if not finite:
        notes.refuse(Reason.SOLVER_FAILURE, "forecast")
    elif not plausible:
        notes.refuse(Reason.IMPLAUSIBLE_OUTPUT, "forecast")
    return {"finite": finite, "plausible": plausible}


def _prediction(predictor: Predictor, forecast: Forecast, times: Array, horizon: Array) -> list[dict[str, Any]]:
    calibration = predictor.calibration
    ends = interval_positions(forecast.levels, calibration.level)
    bins = calibration.bins(horizon)
    rows = []
    for query, time in enumerate(times):
        for index, variable in enumerate(predictor.schema.variables):
            column = calibration.channels.index(variable.name)
            row: dict[str, Any] = {
                "t": _round(time), "after": _round(horizon[query]), "channel": variable.name, "unit": variable.unit,
                "median": _round(forecast.median[query, index]),
            }  # fmt: skip
            if ends is not None:
                low, high = variable.plausible
                coverage = calibration.coverage[bins[query], column]
                row["interval"] = {
                    "level": calibration.level, "lo": _round(forecast.quantiles[query, index, ends[0]]),
                    "hi": _round(forecast.quantiles[query, index, ends[1]]), "kind": KIND,
                    "calib_n": int(calibration.n_patients[bins[query], column]),
                    "empirical_coverage": None if np.isnan(coverage) else _round(coverage),
                }  # fmt: skip
            rows.append(row)
    return rows


def differences(predictor: Predictor, names: list[str], draws: list[Array], times: list[Array], level: float) -> list[dict[str, Any]]:
    """Paired differences between plans, draw by draw, at the times that both were asked about."""
    rows = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            common, left, right = np.intersect1d(times[a], times[b], return_indices=True)
            gap = draws[b][right] - draws[a][left]
            for position, time in enumerate(common):
                for index, variable in enumerate(predictor.schema.variables):
                    spread = np.quantile(gap[position, index], [(1 - level) / 2, 0.5, (1 + level) / 2])
                    rows.append({
                        "a": names[a], "b": names[b], "t": _round(time), "channel": variable.name, "unit": variable.unit, "median": _round(spread[1]),
                        "interval": {"level": level, "lo": _round(spread[0]), "hi": _round(spread[2]), "kind": "joint_draws", "draws": gap.shape[-1]},
                    })  # fmt: skip
    return rows


def _round(value: Any) -> float:
    """Seven digits: what single precision can say."""
    return float(f"{float(value):.7g}")
