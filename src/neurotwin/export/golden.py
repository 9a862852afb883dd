"""golden.json: a few questions with their answers, so that a runtime can prove itself before it serves."""

from typing import Any

import numpy as np
import onnxruntime as ort

from neurotwin.export.parity import TimelineSource, history_arrays, plan_arrays, run_onnx

TOLERANCE = 1e-4


def golden_cases(
    assimilate: ort.InferenceSession, forecast: ort.InferenceSession, source: TimelineSource, state_size: int
) -> dict[str, Any]:
    """Random questions (no patient's data) of one, two and no events."""
    cases = []
    for size, n_events in [(1, 2), (2, 1), (1, 0)]:
        history = history_arrays(source.timeline(size, n_events, past=True), np.zeros((size, state_size), np.float32))
        after, support = run_onnx(assimilate, history)
        plan = plan_arrays(source.timeline(size, n_events, past=False), after)
        answer = run_onnx(forecast, plan)
        names = [item.name for item in forecast.get_outputs()]
        cases.append(
            {
                "assimilate": {"inputs": _plain(history), "outputs": _plain({"new_state": after, "support": support})},
                "forecast": {"inputs": _plain(plan), "outputs": _plain(dict(zip(names, answer, strict=True)))},
            }
        )
    return {"relative_tolerance": TOLERANCE, "absolute_tolerance": 1e-5, "cases": cases}


def _plain(arrays: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"shape": list(value.shape), "data": [float(f"{x:.9g}") for x in value.ravel().tolist()]}
        for name, value in arrays.items()
    }
