"""How long a single forecast takes on this machine."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurotwin.runtime import Predictor, Twin

WARM, MOST = 3, 100


def p95_ms(predictor: Predictor, patients: Sequence[Mapping[str, Any]]) -> float | None:
    """Milliseconds within which 95 of 100 patients were read and answered, one after the other; None of nobody."""
    after = min(float(predictor.calibration.horizons[0]), predictor.horizon) / 2
    plan = {"name": "as it is", "time_unit": predictor.signature.time_unit, "query": {"at": [after]}}
    spent = []
    for patient in [*patients[:WARM], *patients[:MOST]]:
        begin = time.perf_counter()
        Twin.of(predictor, dict(patient)).forecast(plan)
        spent.append(1000 * (time.perf_counter() - begin))
    return float(np.quantile(spent[WARM:], 0.95)) if len(spent) > WARM else None
