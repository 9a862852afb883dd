"""How often the runtime keeps silent about a site's patients, and why: asked as an application would ask."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neurotwin.errors import DocumentError
from neurotwin.monitoring.report import Abstentions
from neurotwin.runtime import Predictor, Twin

_NORMAL = 1.959963984540054


def tell_abstentions(predictor: Predictor, patients: Iterable[Mapping[str, Any]]) -> Abstentions | None:
    """Statuses and reasons of one forecast for each patient document; None where there is none.

    Nothing is planned and what runs goes on; the forecast reaches to the middle of the first horizon bin, so that no
    patient is refused for a horizon that the site would not ask for.
    """
    after = min(float(predictor.calibration.horizons[0]), predictor.horizon) / 2
    plan = {
        "name": "as it is",
        "time_unit": predictor.signature.time_unit,
        "query": {"at": [after]},
        "ongoing": "continue",
    }
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for patient in patients:
        try:
            answer = Twin.of(predictor, dict(patient)).forecast(plan)
        except DocumentError:
            answer = {"status": "abstain", "reasons": ["unreadable"]}
        statuses[answer["status"]] += 1
        reasons.update(answer["reasons"])
    n = sum(statuses.values())
    if not n:
        return None
    low, high = wilson(statuses["abstain"], n)
    return Abstentions(
        n=n,
        statuses=dict(sorted(statuses.items())),
        reasons=dict(reasons.most_common()),
        share=statuses["abstain"] / n,
        low=low,
        high=high,
    )


def wilson(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    share, z2 = count / n, _NORMAL**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)
