"""Adverse events by arm: exact probabilities, differences, ratios, and signals of disproportionate reporting."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.extras import need
from neurotwin.trials import effects

Flags = NDArray[np.bool_]
LEAST_REPORTS, LEAST_RATIO, LEAST_CHI2 = 3, 2.0, 4.0
"""A signal: at least so many cases, proportional reporting ratio and chi-squared (Evans et al., Pharmacoepidemiol Drug
Saf 10:483, 2001)."""


def table(happened: Mapping[str, Flags], treated: Flags, confidence: float) -> dict[str, Any]:
    """A row per event: counts and Clopper-Pearson intervals per arm, Newcombe's risk difference, Katz's risk ratio on
    the log scale, Fisher's test, and the proportional reporting ratio among all reports."""
    proportion = need("statsmodels.stats.proportion", "baselines")
    reports = {side: sum(int(one[treated == side].sum()) for one in happened.values()) for side in (False, True)}
    rows = {}
    for name, flags in happened.items():
        count = {side: int(flags[treated == side].sum()) for side in (False, True)}
        total = {side: int((treated == side).sum()) for side in (False, True)}
        gap = effects.risk_difference(flags.astype(np.float64), treated, confidence)
        ratio: list[float | None] = [None, None, None]
        if count[True] and count[False]:
            low, high = proportion.confint_proportions_2indep(
                count[True], total[True], count[False], total[False], method="log", compare="ratio",
                alpha=1 - confidence,
            )  # fmt: skip
            ratio = [count[True] / total[True] / (count[False] / total[False]), float(low), float(high)]
        rows[name] = {
            "control": _arm(count[False], total[False], confidence),
            "treated": _arm(count[True], total[True], confidence),
            "risk_difference": gap._asdict(),
            "risk_ratio": dict(zip(("estimate", "low", "high"), ratio, strict=True)),
            "fisher_p": gap.p,
        } | _disproportion(count, reports)
    return rows


def _arm(count: int, total: int, confidence: float) -> dict[str, float]:
    share, low, high = effects.exact_share(count, total, confidence)
    return {"events": count, "n": total, "share": share, "low": low, "high": high}


def _disproportion(count: Mapping[bool, int], reports: Mapping[bool, int]) -> dict[str, Any]:
    """Proportional reporting ratio with Yates's chi-squared, where there are other reports to compare with."""
    others = {side: reports[side] - count[side] for side in (False, True)}
    if not count[False] or not count[True] or not (others[False] or others[True]):
        return {"reporting_ratio": None, "signal": None}
    ratio = count[True] / reports[True] / (count[False] / reports[False])
    cells = [[count[True], others[True]], [count[False], others[False]]]
    chi2 = float(need("scipy.stats", "simulate").chi2_contingency(cells, correction=True).statistic)
    signal = count[True] >= LEAST_REPORTS and ratio >= LEAST_RATIO and chi2 >= LEAST_CHI2
    return {"reporting_ratio": float(ratio), "signal": bool(signal)}
