"""Refusing bad numbers, in one way."""

import math
from collections.abc import Sequence

from neurotwin.errors import SimulationError


def require(holds: bool, name: str, value: object, expected: str, where: str) -> None:
    """Raises SimulationError, which names the ``value``, unless the condition ``holds``."""
    if not holds:
        raise SimulationError(f"{name} is {value}", where=where, expected=expected)


def require_positive(where: str, **values: float | None) -> None:
    """Each a finite number above 0, or None."""
    for name, value in values.items():
        require(value is None or 0 < value < math.inf, name, value, "a number above 0", where)


def require_between(where: str, low: float, high: float, **values: float) -> None:
    """Each a finite number, ``low`` and ``high`` included."""
    for name, value in values.items():
        require(low <= value <= high and math.isfinite(value), name, value, f"a number, {low:g} to {high:g}", where)


def require_span(where: str, low: float, high: float, **pairs: Sequence[float]) -> None:
    """Each a pair that does not fall, ``low`` and ``high`` included."""
    for name, pair in pairs.items():
        holds = len(pair) == 2 and low <= pair[0] <= pair[1] <= high and all(map(math.isfinite, pair))
        require(holds, name, list(pair), f"[least, greatest], {low:g} to {high:g}", where)


def require_whole(where: str, least: int, **values: object) -> None:
    """Each a whole number, not below ``least``."""
    for name, value in values.items():
        holds = isinstance(value, int) and not isinstance(value, bool) and value >= least
        require(holds, name, repr(value), f"a whole number, at least {least}", where)
