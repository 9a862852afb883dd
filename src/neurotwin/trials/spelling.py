"""Numbers as people read them, for HTML."""

import math
from collections.abc import Mapping
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """As people read it; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def interval(effect: Mapping[str, Any] | None) -> str:
    """An estimate with its interval, as HTML."""
    if effect is None or effect["estimate"] is None:
        return "–"
    return f'{number(effect["estimate"])} <span class="ci">[{number(effect["low"])}, {number(effect["high"])}]</span>'


def p_text(p: float | None) -> str:
    """As people write it."""
    if p is None or not math.isfinite(p):
        return "–"
    return "&lt; 0.001" if p < 0.001 else f"{p:.2g}"
