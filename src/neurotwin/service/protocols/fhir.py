"""FHIR R4B: an operation that takes a patient's record and a plan, and answers with resources (R4B, and R5 alike).

    POST /fhir/{model}/$forecast    Parameters in, Bundle out
    GET  /fhir/{model}/metadata     CapabilityStatement

Parameters: ``record`` (a Bundle of one Patient, Observations and MedicationAdministrations), ``plan`` (a native plan
document as text, or parts), any number of ``event``, and optional instants: ``index`` (time zero) and ``now`` (the
plan's start).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin import __version__
from neurotwin.errors import DocumentError
from neurotwin.runtime import EventDocument, HorizonDocument, PlanDocument, Predictor, parse_document
from neurotwin.runtime.kinds import ListOf, Text, has
from neurotwin.service.asking import note
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.protocols.codes import Codes
from neurotwin.service.protocols.fhir_in import Record, read_record
from neurotwin.service.protocols.fhir_json import (
    amount_of,
    as_dict,
    as_text,
    entries_of,
    instant_of,
    is_page,
)
from neurotwin.service.protocols.fhir_out import Teller
from neurotwin.service.protocols.fhir_plan import Plan, request_plan
from neurotwin.service.protocols.kinds import Object

router = APIRouter(prefix="/fhir", tags=["FHIR"])
MEDIA = "application/fhir+json"
FAULTS = {
    MEDIA: {
        "type": "object",
        "required": ["resourceType", "issue"],
        "properties": {"resourceType": {"const": "OperationOutcome"}, "issue": {"type": "array", "minItems": 1}},
    }
}
MOST_PARAMETERS, MOST_EVENTS = 40, 20


@dataclass(frozen=True)
class ForecastParameters:
    """FHIR Parameters: record, plan, event, index, now."""

    resourceType: str = has(Text(("Parameters",)))
    parameter: tuple[dict[str, Any], ...] = has(
        ListOf(Object("name, and a value, a resource or parts"), MOST_PARAMETERS)
    )
    id: str | None = has(Text(), default=None)
    meta: dict[str, Any] | None = has(Object(), default=None)


@dataclass
class Asking:
    """What Parameters hold, and where the record and the plan stand."""

    record: Any = None
    plan: dict[str, Any] = field(default_factory=dict)
    place: str = ""
    plan_place: str = ""
    events: list[EventDocument] = field(default_factory=list)
    index: datetime | None = None
    now: datetime | None = None


@router.post(
    "/{model}/$forecast", summary="Forecast from FHIR resources", **described(ForecastParameters, faults=FAULTS)
)
async def forecast(request: Request, model: str) -> Response:
    """A Bundle of the model, its forecasts, risks, and what was noted; where it abstains, the reasons alone."""
    door = Door.of(request)
    predictor, codes = door.model(model), request.app.state.codes[model]
    body, identity = await request.body(), request.scope["neurotwin.request_id"]
    patient, answer, text = await door.compute(partial(_answer, predictor, codes, body, identity))
    note(request, predictor, patient, answer)
    return Response(text, media_type=MEDIA)


@router.get("/{model}/metadata", summary="What is offered of FHIR", **described(faults=FAULTS))
async def metadata(request: Request, model: str) -> Response:
    """A CapabilityStatement."""
    predictor = Door.of(request).model(model)
    content = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": str(predictor.bundle.manifest.get("created", "2026-01-01"))[:10],
        "kind": "instance",
        "software": {"name": "neurotwin", "version": __version__},
        "implementation": {"description": f"{predictor.bundle.name} {predictor.bundle.version}"},
        "fhirVersion": "4.3.0",
        "format": [MEDIA],
        "rest": [{"mode": "server", "operation": [{"name": "forecast", "definition": "urn:neurotwin:forecast"}]}],
    }
    return Response(json.dumps(content), media_type=MEDIA)


def _answer(predictor: Predictor, codes: Codes, body: bytes, identity: str) -> tuple[str, dict[str, Any], str]:
    told = read_parameters(parse_document(ForecastParameters, body, "body"))
    if is_page(told.record):
        raise DocumentError("one page of several", where=told.place, expected="a Bundle with the whole record")
    sources = entries_of(told.record, told.place)
    record = read_record(sources, codes, predictor, index=told.index, now=told.now)
    twin = record.twin(predictor)
    teller = Teller.of(predictor, codes, record)
    start = record.index if twin.past.state is None else teller.moment(twin.begin)
    plan = _plan(told, start, record, predictor)
    answer = record.located(twin.forecast(plan.document), plan.places)
    query = plan.document.query
    horizon = HorizonDocument(plan.document.time_unit, query.every, query.until, query.at)
    watched = [record.located(twin.risk(event, horizon, plan.document), plan.places) for event in told.events]
    content = teller.bundle(answer, watched, identity)
    return record.document.id, answer, json.dumps(content, allow_nan=False, separators=(",", ":"))


def read_parameters(told: ForecastParameters) -> Asking:
    """Raises DocumentError for a parameter that is not known, stands twice or is missing."""
    asking, seen = Asking(), set()
    for number, parameter in enumerate(told.parameter):
        name, place = as_text(parameter.get("name")), f"Parameters.parameter[{number}]"
        if name in seen and name != "event":
            raise DocumentError("a parameter stands twice", where=place, expected=f"one {name}")
        seen.add(name)
        if name == "record":
            asking.record, asking.place = as_dict(parameter.get("resource")), f"{place}.resource"
            if asking.record.get("resourceType") != "Bundle":
                raise DocumentError("no Bundle", where=asking.place, expected="the record as a Bundle")
        elif name == "plan":
            asking.plan, asking.plan_place = parameter, place
        elif name == "event":
            asking.events.append(_event(parameter, place))
        elif name in ("index", "now"):
            setattr(asking, name, _instant(parameter, place))
        else:
            raise DocumentError("an unknown parameter", where=place, expected="record, plan, event, index or now")
    if missing := sorted({"record", "plan"} - seen):
        raise DocumentError("a parameter is missing", where="Parameters", expected=", ".join(missing))
    if len(asking.events) > MOST_EVENTS:
        raise DocumentError(f"{len(asking.events)} events", where="Parameters", expected=f"at most {MOST_EVENTS}")
    return asking


def _instant(parameter: dict[str, Any], place: str) -> datetime:
    found = instant_of(parameter.get("valueDateTime", parameter.get("valueInstant")))
    if found is None:
        raise DocumentError("no instant", where=place, expected="valueDateTime with time of day and zone")
    return found


def _event(parameter: dict[str, Any], place: str) -> EventDocument:
    content: dict[str, Any] = {}
    for name, part, at in _parts(parameter, place, ("channel", "above", "below", "when", "of", "alarm")):
        if name in ("above", "below"):
            amount = amount_of(part.get("valueQuantity"))
            if amount is None:
                raise DocumentError("no exact number", where=at, expected="valueQuantity in UCUM")
            content |= {name: amount.value, "unit": amount.unit}
        else:
            content[name] = next(
                (part[key] for key in ("valueString", "valueCode", "valueDecimal") if key in part), None
            )
    return parse_document(EventDocument, content, place)


def _plan(told: Asking, start: datetime, record: Record, predictor: Predictor) -> Plan:
    parameter, place = told.plan, told.plan_place
    if "valueString" in parameter:
        document = parse_document(PlanDocument, as_text(parameter["valueString"]), f"{place}.valueString")
        return Plan(document, [f"{place}.valueString: treatments.{n}" for n in range(len(document.treatments))])
    texts, times, units, requests = {"name": "plan", "ongoing": "stop"}, {}, set(), []
    for name, part, at in _parts(parameter, place, ("name", "every", "until", "ongoing", "request")):
        if name == "request":
            requests.append((f"{at}.resource", part.get("resource")))
        elif name in texts:
            texts[name] = as_text(part.get("valueString", part.get("valueCode")))
        else:
            amount = amount_of(part.get("valueQuantity"))
            if amount is None or amount.unit is None:
                raise DocumentError("no time in a UCUM unit", where=at, expected="valueQuantity")
            times[name] = amount.value
            units.add(amount.unit)
    if len(units) != 1:
        raise DocumentError("not one way of asking", where=place, expected="every and until, in one unit")
    unit = units.pop()
    empty = parse_document(PlanDocument, {**texts, "time_unit": unit, "query": times}, place)
    return request_plan(
        requests,
        record,
        predictor,
        name=empty.name,
        start=start,
        query=empty.query,
        time_unit=unit,
        ongoing=empty.ongoing,
    )


def _parts(parameter: dict[str, Any], place: str, known: tuple[str, ...]) -> list[tuple[str, dict[str, Any], str]]:
    """Name, content and place of each part; raises DocumentError for one that is not ``known``."""
    told = parameter.get("part")
    if not isinstance(told, list):
        raise DocumentError("no parts", where=place, expected=", ".join(known))
    found = [(as_text(as_dict(one).get("name")), as_dict(one), f"{place}.part[{n}]") for n, one in enumerate(told)]
    for name, _, at in found:
        if name not in known:
            raise DocumentError("an unknown part", where=at, expected=", ".join(known))
    return found
