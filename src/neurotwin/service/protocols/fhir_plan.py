"""Plans from FHIR: a native plan document as text, or MedicationRequests with their times told exactly.

A request whose times or amount cannot be read is not left out: its plan is refused as ``unknown_treatment``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from neurotwin.errors import DocumentError
from neurotwin.runtime import PlanDocument, Predictor
from neurotwin.runtime.channels import FIELD_OF
from neurotwin.runtime.documents import Asked, TreatmentRecord
from neurotwin.service.protocols.fhir_in import Record
from neurotwin.service.protocols.fhir_json import (
    Amount,
    Resource,
    as_dict,
    as_list,
    as_text,
    instant_of,
    is_modified,
    number_of,
    period_of,
    subject_of,
)
from neurotwin.service.protocols.fhir_reader import SHORTEST, Medications

UNREAD = "not read"
"""No name of a channel: a plan that holds it is refused."""
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "wk": 604800.0}
MOST_DOSES = 1000
ORDERED = ("active", "draft")


class Plan(NamedTuple):
    """A plan, and where each of its treatments stands."""

    document: PlanDocument
    places: list[str]


def request_plan(
    requests: list[tuple[str, Any]],
    record: Record,
    predictor: Predictor,
    *,
    name: str,
    start: datetime,
    query: Asked,
    time_unit: str,
    ongoing: str = "stop",
) -> Plan:
    """A plan of MedicationRequests.

    Args:
        requests: place and resource of each.
        start: the plan's start.
        query, time_unit: when to look.

    Raises:
        DocumentError: more doses than a plan may hold, or a request that is about another patient.
    """
    seconds = _seconds(predictor, time_unit)
    treatments, places = [], []
    for place, request in requests:
        if subject_of(as_dict(request)) not in record.subjects:
            raise DocumentError("a request that is not about the Patient", where=place, expected="that subject")
        for treatment, why in _treatments(as_dict(request), record.medications, start, seconds):
            treatments.append(treatment)
            places.append(f"{place} ({why})" if why else place)
            if len(treatments) > MOST_DOSES:
                raise DocumentError("too many doses", where=place, expected=f"at most {MOST_DOSES} in a plan")
    return Plan(PlanDocument(name, time_unit, query, tuple(treatments), ongoing), places)


def _seconds(predictor: Predictor, unit: str) -> float:
    """Seconds of a time unit; 1 of one that the model does not know, whose plan is refused anyway."""
    units = predictor.signature.time_units
    return units[unit] / units["s"] if unit in units else 1.0


def _treatments(
    told: Resource, medications: Medications, start: datetime, seconds: float
) -> Iterator[tuple[TreatmentRecord, str]]:
    """Doses on the plan's clock, or one `UNREAD` and why."""
    found = medications.treatments_of(told) or set()
    fault = ""
    if told.get("resourceType") != "MedicationRequest":
        fault = "no MedicationRequest"
    elif len(found) != 1:
        fault = "no code is mapped" if not found else "several treatments"
    elif told.get("status") not in ORDERED or told.get("doNotPerform"):
        fault = "the status is not active or draft"
    elif is_modified(told):
        fault = "modified by an extension"
    instructions = as_list(told.get("dosageInstruction"))
    if fault or not instructions:
        yield _unread(), fault or "no dosage is told"
        return
    name = next(iter(found))
    for instruction in instructions:
        amount, times = _amount(instruction, name, medications), _times(instruction, medications.kinds[name])
        if (
            amount is None
            or not times
            or instruction.get("asNeededBoolean")
            or "asNeededCodeableConcept" in instruction
        ):
            yield _unread(), "dose, rate or times are not told exactly"
            return
        for begin, end in times:
            t_end = None if end is None else (end - start).total_seconds() / seconds
            size = {FIELD_OF[medications.kinds[name]]: amount.value}
            t = (begin - start).total_seconds() / seconds
            yield TreatmentRecord(t, name, t_end=t_end, unit=amount.unit, **size), ""


def _unread() -> TreatmentRecord:
    return TreatmentRecord(0.0, UNREAD, amount=0.0)


def _amount(instruction: Resource, name: str, medications: Medications) -> Amount | None:
    told = as_list(instruction.get("doseAndRate"))
    if len(told) != 1:
        return None
    one = told[0]
    return medications.amount_of(name, one.get("doseQuantity"), one.get("rateQuantity"), one.get("rateRatio"))


def _times(instruction: Resource, kind: str) -> list[tuple[datetime, datetime | None]]:
    """When a dose begins and ends; empty where that is not told exactly.

    A bolus is given at each ``timing.event``, or every ``period`` (``frequency`` 1: more a day than one have no times)
    from the begin of ``boundsPeriod``, ``count`` times or to its end. All else lasts for ``boundsPeriod``.
    """
    timing = as_dict(instruction.get("timing"))
    repeat = as_dict(timing.get("repeat"))
    begin, end = period_of(repeat, "bounds")
    if kind != "bolus":
        if (
            begin is None
            or end is None
            or end - begin < SHORTEST
            or set(repeat) != {"boundsPeriod"}
            or "event" in timing
        ):
            return []
        return [(begin, end)]
    events = timing.get("event")
    if isinstance(events, list):
        told = [instant_of(one) for one in events[: MOST_DOSES + 1]]
        return [(one, None) for one in told if one is not None] if None not in told and not repeat else []
    every = number_of(repeat.get("period"))
    unit = SECONDS.get(as_text(repeat.get("periodUnit")))
    known = {"boundsPeriod", "count", "frequency", "period", "periodUnit"}
    if begin is None or every is None or unit is None or not set(repeat) <= known or repeat.get("frequency", 1) != 1:
        return []
    return _repeated(begin, end, repeat.get("count"), every * unit)


def _repeated(
    begin: datetime, end: datetime | None, count: Any, seconds: float
) -> list[tuple[datetime, datetime | None]]:
    if seconds <= 0 or (count is None and end is None):
        return []
    if count is not None and (type(count) is not int or not 1 <= count <= MOST_DOSES):
        return []
    times: list[tuple[datetime, datetime | None]] = []
    try:
        for number in range(MOST_DOSES + 1 if count is None else count):
            time = begin + timedelta(seconds=number * seconds)
            if end is not None and time > end:
                break
            times.append((time, None))
    except OverflowError:
        return []
    return times
