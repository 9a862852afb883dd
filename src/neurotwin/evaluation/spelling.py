"""Estimates in words."""

import math

from neurotwin.evaluation.results import Estimate


def spell(estimate: Estimate, *, sign: bool = False) -> str:
    """An estimate with its interval in text, such as ``0.586 (0.490 to 0.690)``; a dash where there is none.

    Three digits of the largest of the numbers, and as many decimals for the others.
    """
    numbers = [one for one in (estimate.value, estimate.low, estimate.high) if one is not None]
    if estimate.value is None:
        return "-"
    largest = max(abs(one) for one in numbers)
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 9) if largest > 0 else 2
    texts = [f"{round(one, decimals) + 0.0:{'+' if sign else ''}.{decimals}f}" for one in numbers]
    return texts[0] if len(texts) < 3 else f"{texts[0]} ({texts[1]} to {texts[2]})"
