"""What a FHIR R4B resource says, element by element; what is not of the element's kind is not there.

Resources are read, not validated: an element that is not looked at may be anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

Resource = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Amount(NamedTuple):
    """A number and its UCUM code; None where the unit is not UCUM."""

    value: float
    unit: str | None


def as_dict(value: Any) -> Resource:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Resource]:
    """The objects of a list; none where it is not a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """The value if it is text, else empty."""
    return value if isinstance(value, str) else ""


def codes_of(concept: Any) -> list[str]:
    """The codings of a CodeableConcept as ``system|code``; its text is no code."""
    told = ((as_text(one.get("system")), as_text(one.get("code"))) for one in as_list(as_dict(concept).get("coding")))
    return [f"{system}|{code}" for system, code in told if system and code]


def number_of(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def amount_of(quantity: Any) -> Amount | None:
    """A Quantity; None where it has no number, or only a comparator's side of one."""
    told = as_dict(quantity)
    value = number_of(told.get("value"))
    if value is None or "comparator" in told:
        return None
    return Amount(value, as_text(told.get("code")) or None if told.get("system") == UCUM else None)


def rate_of(quantity: Any, ratio: Any) -> Amount | None:
    """A rate, from a Quantity or a Ratio such as 500 mL per 2 h (250 mL/h)."""
    if quantity is not None:
        return amount_of(quantity)
    above, below = (amount_of(as_dict(ratio).get(name)) for name in ("numerator", "denominator"))
    if above is None or below is None or below.value == 0 or not math.isfinite(above.value / below.value):
        return None
    value = above.value / below.value
    if above.unit is None or below.unit is None:
        return Amount(value, None)
    return Amount(value, f"{above.unit}/{below.unit}" if below.unit.isalnum() else f"{above.unit}/({below.unit})")


def instant_of(text: Any) -> datetime | None:
    """An instant: a dateTime with a time of day and a zone. A day, month or year alone is none."""
    if not isinstance(text, str) or not INSTANT.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def told_in(found: datetime) -> str:
    """An instant as FHIR writes it, to the second or, where it has parts of one, finer."""
    return found.astimezone(UTC).isoformat().replace("+00:00", "Z")


def period_of(resource: Resource, name: str) -> tuple[datetime | None, datetime | None]:
    """Begin and end of ``<name>Period``, or ``<name>DateTime`` twice."""
    at = instant_of(resource.get(f"{name}DateTime"))
    if at is None and name == "effective":
        at = instant_of(resource.get("effectiveInstant"))
    if at is not None:
        return at, at
    period = as_dict(resource.get(f"{name}Period"))
    return instant_of(period.get("start")), instant_of(period.get("end"))


def is_modified(resource: Resource) -> bool:
    """Whether something in a resource is modified by an extension, so that it cannot be understood without it."""
    if "implicitRules" in resource:
        return True
    todo: list[Any] = [resource]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if one.get("modifierExtension"):
                return True
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return False


def subject_of(resource: Resource) -> str:
    """The reference to whom a resource is about."""
    return as_text(as_dict(resource.get("subject")).get("reference"))


def entries_of(bundle: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    """Place, ``fullUrl`` and resource of each entry of a Bundle."""
    entries = as_dict(bundle).get("entry")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        told = as_dict(entry)
        yield f"{place}.entry[{number}].resource", as_text(told.get("fullUrl")), told.get("resource")


def is_page(bundle: Any) -> bool:
    """Whether a Bundle is one page of several."""
    return any(one.get("relation") == "next" for one in as_list(as_dict(bundle).get("link")))
