"""The columns of each type of resource: what a mapping may name, and how a cell is read from a resource.

A resource gives one row, but an Observation one for its own value and one for each component, and a MedicationRequest
one for each dosage instruction. A cell is text as the resource has it; what is missing is "".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.fhir.codes import Choice, number_of, ratio_of, texts_of, unit_of
from neurotwin.ingest.fhir.files import Entry
from neurotwin.ingest.fhir.json import Resource, as_dict, as_list, as_text
from neurotwin.ingest.fhir.references import References, patient_id

_LONG_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")


@dataclass(frozen=True)
class Place:
    """Where a row stands: its entry, the part of the resource that is its own, and what helps to read it."""

    entry: Entry
    part: Resource
    choice: Choice
    references: References

    @property
    def resource(self) -> Resource:
        """The whole resource."""
        return as_dict(self.entry.resource)


Cell = str | Reason
"""What a cell holds, or why its row is rejected."""
Read = Callable[[Place, str], Cell]
"""Reads a cell of a row; the second argument is the name of the column."""


def parts_of(resource: Resource) -> Iterator[Resource]:
    """What gives a row each."""
    kind = resource["resourceType"]
    if kind == "Observation":
        components = as_list(resource.get("component"))
        if not components or _value_key(resource) or "dataAbsentReason" in resource:
            yield resource
        yield from components
    elif kind == "MedicationRequest":
        yield from as_list(resource.get("dosageInstruction")) or [{}]
    elif kind == "MedicationAdministration":
        yield as_dict(resource.get("dosage"))
    else:
        yield resource


def moment(text: Any) -> str:
    """A date or time as it stands; of a second's fraction no more than microseconds, as all here."""
    return _LONG_FRACTION.sub(r"\1", as_text(text))


def _subject(place: Place, column: str) -> Cell:
    return place.references.patient(place.resource.get("subject"), place.entry.url)


def _own_id(place: Place, column: str) -> Cell:
    return patient_id(place.entry)


def _plain(key: str) -> Read:
    return lambda place, column: as_text(place.resource.get(key))


def _time(key: str) -> Read:
    return lambda place, column: moment(place.resource.get(key))


def _period(name: str, end: str) -> Read:
    """Start or end of ``nameDateTime``, ``nameInstant`` or ``namePeriod``; a moment has no end."""

    def read(place: Place, column: str) -> Cell:
        found = as_dict(place.resource.get(f"{name}Period")).get(end)
        if end == "start":
            found = found or place.resource.get(f"{name}DateTime") or place.resource.get(f"{name}Instant")
        return moment(found)

    return read


def _code(place: Place, column: str) -> Cell:
    holder = place.part if place.resource["resourceType"] == "Observation" else place.resource
    return place.choice.choose(column, texts_of([as_dict(holder.get("code"))]))


def _medication(place: Place, column: str) -> Cell:
    resource = place.resource
    if "medicationReference" not in resource:
        return place.choice.choose(column, texts_of([as_dict(resource.get("medicationCodeableConcept"))]))
    contained = resource.get("contained")
    found = place.references.medication(resource["medicationReference"], place.entry.url, contained)
    return found if isinstance(found, Reason) else place.choice.choose(column, found)


def _concept(key: str) -> Read:
    """A CodeableConcept, a list of them, or a Coding, of the resource or of the row's part."""

    def read(place: Place, column: str) -> Cell:
        found = place.resource.get(key, place.part.get(key))
        concepts = as_list(found) or [as_dict(found)]
        return place.choice.choose(column, texts_of([{"coding": [one]} if "code" in one else one for one in concepts]))

    return read


def _value_key(part: Resource) -> str:
    return next((key for key in part if key.startswith("value")), "")


def _value(place: Place, column: str) -> Cell:
    key = _value_key(place.part)
    value = place.part.get(key)
    if not key or "dataAbsentReason" in place.part:
        return ""
    if key == "valueQuantity":
        return number_of(as_dict(value))
    if key == "valueCodeableConcept":
        return place.choice.choose(column, texts_of([as_dict(value)]))
    return as_text(value) if key in ("valueInteger", "valueString", "valueBoolean") else key


def _value_unit(place: Place, column: str) -> Cell:
    return unit_of(as_dict(place.part.get("valueQuantity")))


def _dosing(place: Place) -> Resource | Reason:
    """Dose and rate of a row: those of an administration's dosage, or of an instruction, which may have but one."""
    if place.resource["resourceType"] == "MedicationAdministration":
        return place.part
    given = as_list(place.part.get("doseAndRate"))
    if len(given) > 1:
        return Reason.CODE_AMBIGUOUS
    return given[0] if given else {}


def _dose(place: Place, column: str) -> Cell:
    dosing = _dosing(place)
    if isinstance(dosing, Reason):
        return dosing
    quantity = as_dict(dosing.get("dose") or dosing.get("doseQuantity"))
    if column == "dose":
        return number_of(quantity) or ("range" if "doseRange" in dosing else "")
    return unit_of(quantity)


def _rate(place: Place, column: str) -> Cell:
    dosing = _dosing(place)
    if isinstance(dosing, Reason):
        return dosing
    if "rateRatio" in dosing:
        number, unit = ratio_of(as_dict(dosing["rateRatio"]))
    else:
        quantity = as_dict(dosing.get("rateQuantity"))
        number, unit = number_of(quantity) or ("range" if "rateRange" in dosing else ""), unit_of(quantity)
    return number if column == "rate" else unit


def _repeat(key: str) -> Read:
    def read(place: Place, column: str) -> Cell:
        found = as_dict(as_dict(place.part.get("timing")).get("repeat"))
        if key in ("start", "end"):
            return moment(as_dict(found.get("boundsPeriod")).get(key))
        return as_text(found.get(key))

    return read


def _as_needed(place: Place, column: str) -> Cell:
    return "true" if "asNeededCodeableConcept" in place.part else as_text(place.part.get("asNeededBoolean"))


def _deceased(place: Place, column: str) -> Cell:
    return "true" if "deceasedDateTime" in place.resource else as_text(place.resource.get("deceasedBoolean"))


_DOSES: dict[str, Read] = {
    "code": _medication,
    "dose": _dose,
    "dose_unit": _dose,
    "rate": _rate,
    "rate_unit": _rate,
    "route": _concept("route"),
}
_EVENT: dict[str, Read] = {"subject": _subject, "status": _plain("status"), "category": _concept("category")}

COLUMNS: dict[str, dict[str, Read]] = {
    "Observation": _EVENT
    | {
        "code": _code,
        "value": _value,
        "unit": _value_unit,
        "time": _period("effective", "start"),
        "end": _period("effective", "end"),
        "issued": _time("issued"),
        "method": _concept("method"),
        "body_site": _concept("bodySite"),
    },
    "MedicationAdministration": _EVENT
    | _DOSES
    | {
        "time": _period("effective", "start"),
        "start": _period("effective", "start"),
        "end": _period("effective", "end"),
    },
    "MedicationRequest": _EVENT
    | _DOSES
    | {
        "time": _time("authoredOn"),
        "start": _repeat("start"),
        "end": _repeat("end"),
        "frequency": _repeat("frequency"),
        "period": _repeat("period"),
        "period_unit": _repeat("periodUnit"),
        "as_needed": _as_needed,
        "intent": _plain("intent"),
    },
    "Procedure": _EVENT | {"code": _code, "start": _period("performed", "start"), "end": _period("performed", "end")},
    "Encounter": _EVENT
    | {
        "code": _concept("class"),
        "type": _concept("type"),
        "start": lambda place, column: moment(as_dict(place.resource.get("period")).get("start")),
        "end": lambda place, column: moment(as_dict(place.resource.get("period")).get("end")),
    },
    "Patient": {
        "subject": _own_id,
        "gender": _plain("gender"),
        "birth_date": _time("birthDate"),
        "deceased": _deceased,
        "death_date": _time("deceasedDateTime"),
        "active": _plain("active"),
    },
}
"""By type of resource and name of the column how a cell is read."""
