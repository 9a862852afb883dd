"""CDS Hooks 2.0: a forecast when a record is opened, a comparison when orders are about to be signed.

Of each model that has codes for a variable: ``{model}-patient-view``; of one that has codes for a treatment too:
``{model}-order-sign``. What is needed comes as prefetch; the service calls nobody back, and has no systemActions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from neurotwin.errors import DocumentError
from neurotwin.runtime import HorizonDocument, PlanDocument, Predictor, Twin, parse_document
from neurotwin.runtime.documents import Asked
from neurotwin.runtime.kinds import ListOf, Record, Text, has
from neurotwin.service.asking import note
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.faults import NotFound, RequestError
from neurotwin.service.protocols.cards import Card, Cards, event_of, in_words
from neurotwin.service.protocols.codes import Codes
from neurotwin.service.protocols.fhir_in import Record as Read
from neurotwin.service.protocols.fhir_in import Source, read_record
from neurotwin.service.protocols.fhir_json import as_dict, entries_of, is_page, subject_of
from neurotwin.service.protocols.fhir_out import Teller
from neurotwin.service.protocols.fhir_plan import request_plan
from neurotwin.service.protocols.kinds import Anything, Object

router = APIRouter(prefix="/cds-services", tags=["CDS Hooks"])
VIEW, SIGN = "patient-view", "order-sign"
STEPS, WATCHED = 4, 20
"""Times at which a card tells a forecast, and looks at a risk, up to the longest that training asked for."""
NOW, ORDERS = "as it is", "with these orders"


class Unprepared(RequestError):
    """What a service needs was not sent along."""

    code = "NT-5120"
    status = 412


@dataclass(frozen=True)
class HookRequest:
    """A hook that was triggered: context, and the resources that the service asked for."""

    hook: str = has(Text((VIEW, SIGN)))
    hookInstance: str = has(Text())
    context: dict[str, Any] = has(Object("userId, patientId; of order-sign draftOrders, a Bundle"))
    prefetch: dict[str, Any] | None = has(Object("patient, observations, administrations"), default=None)
    fhirServer: Any = has(Anything(), default=None)
    fhirAuthorization: Any = has(Anything(), default=None)
    extension: Any = has(Anything(), default=None)


@dataclass(frozen=True)
class Feedback:
    """What became of a card."""

    card: str = has(Text())
    outcome: str = has(Text(("accepted", "overridden")))
    outcomeTimestamp: str = has(Text())
    acceptedSuggestions: Any = has(Anything(), default=None)
    overrideReason: Any = has(Anything(), default=None)
    extension: Any = has(Anything(), default=None)


@dataclass(frozen=True)
class FeedbackRequest:
    """Feedback on cards."""

    feedback: tuple[Feedback, ...] = has(ListOf(Record(Feedback), 100))


@router.get("", summary="The services that are offered", **described())
async def services(request: Request) -> Response:
    """One for each model and hook, with the prefetch that it needs."""
    codes: dict[str, Codes] = request.app.state.codes
    models = Door.of(request).models
    found = [_service(models[name], told, hook) for name, told in codes.items() for hook in _hooks(told)]
    return JSONResponse({"services": found})


@router.post("/{id}", summary="Cards for a hook", **described(HookRequest))
async def cards(request: Request, id: str) -> Response:
    """Cards, of which none holds a suggestion."""
    predictor, codes, hook = _chosen(request, id)
    body = await request.body()
    patient, told, made = await Door.of(request).compute(partial(_answer, predictor, codes, hook, body))
    note(request, predictor, patient, told)
    return Response(json.dumps({"cards": made}, allow_nan=False), media_type="application/json")


@router.post("/{id}/feedback", summary="What became of cards", **described(FeedbackRequest))
async def feedback(request: Request, id: str) -> Response:
    """Taken note of in the audit log, without comments."""
    predictor, _, _ = _chosen(request, id)
    body = await request.body()
    await Door.of(request).compute(partial(parse_document, FeedbackRequest, body, "body"))
    note(request, predictor, None, {})
    return JSONResponse({})


def _hooks(codes: Codes) -> list[str]:
    return ([VIEW] if codes.observations else []) + ([SIGN] if codes.observations and codes.treatments else [])


def _chosen(request: Request, id: str) -> tuple[Predictor, Codes, str]:
    for name, codes in request.app.state.codes.items():
        for hook in _hooks(codes):
            if id == f"{name}-{hook}":
                return Door.of(request).model(name), codes, hook
    raise NotFound("no such service", where="path: id", expected="one that GET /cds-services lists")


def _service(predictor: Predictor, codes: Codes, hook: str) -> dict[str, Any]:
    name, about = predictor.bundle.name, str(predictor.bundle.manifest.get("intended_use", ""))
    what = "Forecast" if hook == VIEW else "Forecast with and without draft orders"
    who = "patient={{context.patientId}}"
    prefetch = {
        "patient": "Patient/{{context.patientId}}",
        "observations": f"Observation?{who}&code={','.join([*codes.observations, *codes.statics])}",
    }
    if codes.treatments:
        prefetch["administrations"] = f"MedicationAdministration?{who}&code={','.join(codes.treatments)}"
    return {
        "hook": hook,
        "id": f"{name}-{hook}",
        "title": f"{what}: {name}",
        "description": f"{what} by {name} {predictor.bundle.version}. {about} Research software, not a medical device.",
        "prefetch": prefetch,
        "usageRequirements": "The whole prefetch, each search as one Bundle with all its pages.",
    }


def _answer(predictor: Predictor, codes: Codes, hook: str, body: bytes) -> tuple[str, dict[str, Any], list[Card]]:
    told = parse_document(HookRequest, body, "body")
    if told.hook != hook:
        raise RequestError("another hook", where="body: hook", expected=hook)
    record = read_record(_prefetched(told, codes), codes, predictor, now=datetime.now(UTC))
    if told.context.get("patientId") not in (record.document.id, f"Patient/{record.document.id}"):
        raise DocumentError("another patient", where="body: context.patientId", expected="that of prefetch.patient")
    twin, teller = record.twin(predictor), Teller.of(predictor, codes, record)
    writer = Cards(predictor, teller.instant)
    query = _query(twin, STEPS)
    if hook == SIGN:
        return _compared(told, record, twin, teller, writer, query)
    unit = predictor.signature.time_unit
    answer = record.located(twin.forecast(PlanDocument(NOW, unit, query, ongoing="continue")), [])
    horizon = HorizonDocument(unit, at=_query(twin, WATCHED).at)
    risks = [(watch, twin.risk(watch.event, horizon)) for watch in codes.watch]
    alarms, more = [], []
    for watch, risk in risks:
        if risk["by_time"] is None:
            more.append(f"Risk of {event_of(risk)} is not told. {in_words(risk['reasons'])}")
        elif risk["early_warning"]["t"] is not None:
            alarms.append(writer.alarm(record.located(risk, []), watch.indicator))
        else:
            more.append(f"Risk of {event_of(risk)}: {risk['risk']['probability']:.0%}.")
    return record.document.id, answer, [*alarms, writer.forecast(answer, more)]


def _compared(
    told: HookRequest, record: Read, twin: Twin, teller: Teller, writer: Cards, query: Asked
) -> tuple[str, dict[str, Any], list[Card]]:
    """The draft orders that the model knows, beside none of them."""
    unit = teller.predictor.signature.time_unit
    known, others = [], 0
    for place, _, resource in _drafts(told):
        order = as_dict(resource)
        if order.get("resourceType") == "Medication":
            continue
        if subject_of(order) not in record.subjects:
            raise DocumentError("an order that is not about the Patient", where=place, expected="that subject")
        # An order whose medication is not here (None) may be one that the model knows: it is not left out.
        if order.get("resourceType") == "MedicationRequest" and record.medications.treatments_of(order) != set():
            known.append((place, order))
        else:
            others += 1
    if not known:
        return record.document.id, {"plans": []}, []
    start = record.index if twin.past.state is None else teller.moment(twin.begin)
    plan = request_plan(
        known, record, teller.predictor,
        name=ORDERS, start=start, query=query, time_unit=unit, ongoing="continue",
    )  # fmt: skip
    content = twin.compare([PlanDocument(NOW, unit, query, ongoing="continue"), plan.document])
    content["plans"] = [record.located(one, plan.places) for one in content["plans"]]
    more = [f"Orders that the model does not know, and that were left out: {others}."] if others else []
    return record.document.id, content, [writer.difference(content, more)]


def _prefetched(told: HookRequest, codes: Codes) -> Iterable[Source]:
    """The resources that were sent along. Raises Unprepared, and DocumentError for a part of a search's answer."""
    content = told.prefetch or {}
    needed = ["patient", "observations", *(["administrations"] if codes.treatments else [])]
    if missing := [name for name in needed if not isinstance(content.get(name), dict)]:
        raise Unprepared("a prefetch is missing", where="body: prefetch", expected=", ".join(missing))
    sources: list[Source] = [("prefetch.patient", "", content["patient"])]
    for name in needed[1:]:
        if is_page(content[name]):
            raise DocumentError("one page of several", where=f"prefetch.{name}", expected="all pages in one Bundle")
        sources += entries_of(content[name], f"prefetch.{name}")
    return sources + [one for one in _drafts(told) if as_dict(one[2]).get("resourceType") == "Medication"]


def _drafts(told: HookRequest) -> list[Source]:
    return list(entries_of(told.context.get("draftOrders"), "context.draftOrders"))


def _query(twin: Twin, steps: int) -> Asked:
    """Up to the longest that may be asked from now on; where nothing may, what the answer then says is why."""
    signature, limit = twin.predictor.signature, float(twin.predictor.calibration.horizons[-1])
    waited = 0.0 if twin.past.state is None else max(twin.begin - twin.past.clock, 0.0)
    ahead = min(signature.horizon - waited, limit)
    ahead = ahead if ahead > 0 else min(signature.horizon, limit)
    return Asked(at=tuple(ahead * step / steps for step in range(1, steps + 1)))
