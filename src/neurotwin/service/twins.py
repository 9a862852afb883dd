"""Twins that live in the store: told of what happens, asked at any time, watched."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.errors import UnknownPatientError
from neurotwin.runtime import PatientDocument, PlanDocument, Predictor, parse_document
from neurotwin.service.asking import ask, note, reply, told
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.questions import ForecastQuestion, OverviewQuery, RetractQuestion
from neurotwin.store import Filter, Store

router = APIRouter(prefix="/v1/twins", tags=["twins"])
KEPT = 20
"""Forecasts that a patient's page tells of."""


@router.get("", summary="All patients, by risk", **described())
async def overview(request: Request) -> Response:
    """Patients with their last forecast; the query's names are those of `neurotwin.store.Filter`."""
    door = Door.of(request)
    store = door.need_store()
    numbers = {"min_risk", "limit", "offset"}
    filters = {key: _number(value) if key in numbers else value for key, value in request.query_params.items()}
    query = parse_document(OverviewQuery, filters, "query")
    chosen = Filter(**{**asdict(query), "limit": int(query.limit), "offset": int(query.offset)})
    _, answer = await told(request, lambda: {"patients": [_plain(asdict(one)) for one in store.patients(chosen)]})
    return answer


@router.get("/{id}", summary="What is kept of a patient", **described())
async def look(request: Request, id: str) -> Response:
    """The documents that were told, and the last forecasts."""
    _, answer = await told(request, partial(_record, Door.of(request).need_store(), id))
    note(request, None, id, {})
    return answer


@router.delete("/{id}", summary="Erase a patient", **described())
async def forget(request: Request, id: str) -> Response:
    """Documents, states, plans and forecasts are deleted, and the pseudonym may begin anew."""
    door = Door.of(request)
    if not await door.compute(partial(door.need_store().forget, id)):
        raise UnknownPatientError("no such patient", where="path: id")
    note(request, None, id, {})
    return reply(request, {"erased": True})


@router.post("/{id}/observe", summary="Tell of what happened", status_code=200, **described(PatientDocument))
async def observe(request: Request, id: str, model: str | None = None) -> Response:
    """Keep a patient document, or what is new of it. With an ``Idempotency-Key`` it may be sent again safely."""
    door = Door.of(request)
    store, predictor = door.need_store(), door.chosen(model)
    key = request.headers.get("idempotency-key")

    def work(document: PatientDocument) -> dict[str, Any]:
        kept = store.observe(id, document, predictor, request=key)
        notes = kept.notes
        return {
            "id": id,
            "version": kept.version,
            "request": kept.request,
            "repeated": kept.repeated,
            "refused": {str(reason): places for reason, places in notes.refused.items()},
            "warned": {str(reason): places for reason, places in notes.warned.items()},
            "inputs_ignored": notes.ignored,
            "converted": notes.converted,
        }

    answer = await ask(request, PatientDocument, predictor, work)
    note(request, predictor, id, {})
    return answer


@router.post("/{id}/retract", summary="Take back what was told in error", **described(RetractQuestion))
async def retract(request: Request, id: str) -> Response:
    """The document of a request stays in the history, marked; twins are built again without it."""
    store = Door.of(request).need_store()
    body = await request.body()

    def work() -> dict[str, Any]:
        question = parse_document(RetractQuestion, body, "body")
        return {"id": id, "version": store.retract(id, question.request)}

    content = await Door.of(request).compute(work)
    note(request, None, id, {})
    return reply(request, content)


@router.post("/{id}/forecast", summary="Ask a twin", **described(ForecastQuestion))
async def forecast(request: Request, id: str, model: str | None = None) -> Response:
    """A forecast of one plan, or a comparison of several; kept with the patient unless ``keep`` is false."""
    door = Door.of(request)
    store, predictor = door.need_store(), door.chosen(model)

    def work(question: ForecastQuestion) -> dict[str, Any]:
        loaded = store.load(id, predictor)
        plans = (question.plan,) if question.plan is not None else question.plans or ()
        content = loaded.twin.forecast(plans[0]) if question.plan is not None else loaded.twin.compare(plans)
        if question.risk is not None:
            content["watched"] = loaded.twin.risk(question.risk.event, question.risk.horizon, question.plan)
        if question.keep:
            _keep(store, id, predictor, plans, content, loaded.version)
        return content

    answer = await ask(request, ForecastQuestion, predictor, work)
    note(request, predictor, id, {})
    return answer


@router.get("/{id}/alerts", summary="What a twin finds odd", **described())
async def alerts(request: Request, id: str, model: str | None = None) -> Response:
    """Observations outside their forecasts, drift, stuck and stale signals."""
    door = Door.of(request)
    store, predictor = door.need_store(), door.chosen(model)
    content, answer = await told(request, lambda: store.twin(id, predictor).alerts())
    note(request, predictor, id, content)
    return answer


def _keep(
    store: Store,
    id: str,
    predictor: Predictor,
    plans: tuple[PlanDocument, ...],
    content: dict[str, Any],
    version: int,
) -> None:
    risk, event = _watched(content.get("watched") or {}, predictor.signature.time_unit)
    for plan, answer in zip(plans, content.get("plans", [content]), strict=True):
        kept = {key: part for key, part in answer.items() if key != "watched"}
        store.save_forecast(id, predictor, plan, kept, version=version, risk=risk, event=event)


def _watched(answer: dict[str, Any], time_unit: str) -> tuple[float | None, dict[str, Any] | None]:
    """The risk of an answer of `Twin.risk`, and which event within which time it is of."""
    risk = answer.get("risk")
    if risk is None:
        return None, None
    return risk["probability"], {**answer["event"], "within": risk["after"], "time_unit": time_unit}


def _record(store: Store, id: str) -> dict[str, Any]:
    history = store.history(id)
    return {
        "id": id,
        "version": history[-1].version if history else 0,
        "history": [_plain(asdict(entry)) for entry in history],
        "forecasts": [_plain(asdict(one)) for one in store.forecasts(id, limit=KEPT)],
    }


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in content.items()}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text  # the query's own kinds say what is wrong with it
