"""From a body to an answer: what every route of the native API does."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from neurotwin.runtime import PatientDocument, Predictor, Twin, parse_document
from neurotwin.service.door import Door

Question = TypeVar("Question")


def twin_of(door: Door, predictor: Predictor, patient: PatientDocument | str) -> Twin:
    """The twin of a document, or of a pseudonym in the store. Raises UnknownPatientError, NotOffered."""
    if isinstance(patient, str):
        return door.need_store().twin(patient, predictor)
    return Twin.of(predictor, patient)


async def ask(
    request: Request,
    kind: type[Question],
    predictor: Predictor,
    work: Callable[[Question], dict[str, Any]],
    *,
    seconds: float | None = None,
    status: int = 200,
) -> Response:
    """Parse the body in a thread, answer it there, and tell the audit log of which model, about whom, and how."""
    body = await request.body()
    found = await Door.of(request).compute(partial(_answer, kind, body, work), seconds=seconds)
    question, content = found
    patient = getattr(question, "patient", None)
    note(request, predictor, patient if isinstance(patient, str | None) else patient.id, content)
    return reply(request, content, status)


def note(request: Request, predictor: Predictor | None, patient: str | None, content: dict[str, Any]) -> None:
    """What the audit log will tell of this request."""
    told = request.scope.setdefault("neurotwin.audit", {})
    if predictor is not None:
        told |= {"model": predictor.bundle.name, "sha256": predictor.bundle.sha256}
    audit = Door.of(request).audit
    if patient is not None and audit is not None:
        told["subject"] = audit.subject(patient)
    answers = content.get("plans", [content])
    if all("status" in answer for answer in answers):
        told |= {"answers": sorted({answer["status"] for answer in answers})}
        told |= {"reasons": sorted({reason for answer in answers for reason in answer["reasons"]})}


def reply(request: Request, content: dict[str, Any], status: int = 200) -> Response:
    """JSON, with the request's id in place of the runtime's own."""
    stamp(request, content)
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def stamp(request: Request, content: dict[str, Any]) -> None:
    """Put the request's id in place of the runtime's own."""
    identity = request.scope["neurotwin.request_id"]
    for answer in content.get("plans", ()):
        if "request_id" in answer:
            answer["request_id"] = identity
    content["request_id"] = identity


def _answer(
    kind: type[Question], body: bytes, work: Callable[[Question], dict[str, Any]]
) -> tuple[Question, dict[str, Any]]:
    question = parse_document(kind, body, "body")
    return question, work(question)
