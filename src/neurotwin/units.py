"""UCUM units: parsing, conversion factors and molar conversions. Never guessed from a value's size.

Needs the extra ``simulate`` (ucumvert over pint). The torch-free runtime does not: an exporter writes the accepted
units of each channel with factor and offset into the bundle.
"""

from functools import cache
from typing import Any, NamedTuple

from neurotwin.errors import UnitError
from neurotwin.extras import need


class Conversion(NamedTuple):
    """``target = value * factor + offset``."""

    factor: float
    offset: float


@cache
def _registry() -> Any:
    return need("ucumvert", "simulate").PintUcumRegistry()


@cache
def parse(unit: str) -> Any:
    """The pint unit of a UCUM code. Raises UnitError when it is not one."""
    if not unit or not unit.strip():
        raise UnitError("no unit given", expected="a UCUM code such as mg/dL, d, cm3, 1")
    lark = need("lark", "simulate")
    pint = need("pint", "simulate")
    try:
        found = _registry().from_ucum(unit)
        # An annotation such as {score} parses, but measures nothing: looking at its dimension shows it.
        _ = found.dimensionality
        return found
    except (lark.exceptions.LarkError, pint.errors.PintError, ValueError, TypeError, AttributeError, KeyError):
        raise UnitError(f"unknown unit {unit!r}", expected="a UCUM code such as mg/dL, d, cm3, 1") from None


@cache
def conversion(source: str, target: str, molar_mass: float | None = None) -> Conversion:
    """How to convert from ``source`` to ``target``.

    ``molar_mass`` in g/mol, of the declared analyte, allows mass <-> amount of substance.

    Raises:
        UnitError: an unknown unit, or units of different dimensions.
    """
    begin, end = parse(source), parse(target)
    pint = need("pint", "simulate")
    try:
        zero, one = (_convert(value, begin, end, molar_mass) for value in (0.0, 1.0))
    except pint.errors.DimensionalityError:
        remedy = "give the analyte's molar mass" if molar_mass is None and _is_molar(begin) != _is_molar(end) else ""
        raise UnitError(
            f"cannot convert {source!r} to {target!r}", expected="units of one dimension", remedy=remedy
        ) from None
    return Conversion(one - zero, zero)


def _convert(value: float, begin: Any, end: Any, molar_mass: float | None) -> float:
    registry = _registry()
    quantity = registry.Quantity(
        value * begin.magnitude if hasattr(begin, "magnitude") else value,
        begin.units if hasattr(begin, "units") else begin,
    )
    target = end.units if hasattr(end, "units") else end
    scale = end.magnitude if hasattr(end, "magnitude") else 1.0
    if molar_mass is not None and _is_molar(begin) != _is_molar(end):
        mass = registry.Quantity(molar_mass, "gram / mole")
        quantity = quantity * mass if _is_molar(begin) else quantity / mass
    return float(quantity.to(target).magnitude) / scale


def _is_molar(unit: Any) -> bool:
    return "[substance]" in unit.dimensionality
