"""Units met in a source, looked up once each. A unit is never guessed: not from a value's size, not from its case."""

import math
import re

from neurotwin.errors import UnitError
from neurotwin.ingest.accounting import Reason
from neurotwin.units import Conversion, conversion, parse

MAX_DISTINCT = 1000
# Printable ASCII without blanks, short and without long numbers: nothing that could keep a unit parser busy.
_PLAIN = re.compile(r"(?!.*\d{5})[!-~]{1,40}", re.ASCII)
# UCUM takes 8876 for a factor and 2.5 for 2 times 5; among units both are concepts, values or codes gone astray.
_NUMBER_ALONE = re.compile(r"(?!1$)\d+(?:[./]\d+)*", re.ASCII)


class UnitBook:
    """Conversions from source units to those of the schema, remembered. ``aliases``: source spelling to UCUM."""

    def __init__(self, aliases: dict[str, str] | None = None) -> None:
        self._aliases = aliases or {}
        self._known: dict[tuple[str, str, float | None], Conversion | Reason] = {}

    def look_up(self, source: str, target: str, molar_mass: float | None = None) -> Conversion | Reason:
        """The conversion, or why there is none. After `MAX_DISTINCT` spellings no further one is known."""
        key = (source, target, molar_mass)
        if key not in self._known:
            if len(self._known) >= MAX_DISTINCT:
                return Reason.UNIT_UNKNOWN
            self._known[key] = _find(self._aliases.get(source, source), target, molar_mass)
        return self._known[key]


def declared(source: str, target: str, molar_mass: float | None, where: str) -> None:
    """Check a conversion that a mapping declares. Raises UnitError."""
    found = _find(source, target, molar_mass)
    if found is Reason.UNIT_UNKNOWN:
        raise UnitError(f"unknown unit {source!r}", where=where, expected="a UCUM code such as mg/dL, d, cm3, 1")
    if found is Reason.UNIT_INCOMPATIBLE:
        raise UnitError(
            f"cannot convert {source!r} to {target!r}",
            where=where,
            expected="units of one dimension",
            remedy="correct the unit, or give molar_mass in g/mol for mass to amount of substance",
        )


def known(unit: str) -> bool:
    """Whether it is a UCUM unit."""
    return _find(unit, unit, None) is not Reason.UNIT_UNKNOWN


def _find(source: str, target: str, molar_mass: float | None) -> Conversion | Reason:
    if not _PLAIN.fullmatch(source) or _NUMBER_ALONE.fullmatch(source):
        return Reason.UNIT_UNKNOWN
    fault = Reason.UNIT_UNKNOWN
    try:
        parse(source)
        fault = Reason.UNIT_INCOMPATIBLE
        found = conversion(source, target, molar_mass)
    except UnitError:
        return fault
    except Exception:  # text from a file in the hands of a grammar and a registry: whatever they raise, it is no unit
        return Reason.UNIT_UNKNOWN
    if not (math.isfinite(found.factor) and math.isfinite(found.offset) and found.factor != 0.0):
        return Reason.UNIT_UNKNOWN
    # UCUM's case matters (ML is a megalitre), and a source that writes ML for mL must not be off by a billion.
    same_but_case = source != target and source.lower() == target.lower()
    return Reason.UNIT_UNKNOWN if same_but_case and found != Conversion(1.0, 0.0) else found
