"""From a body to an answer: what every route of the native API does."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from neurotwin.runtime import PatientDocument, Predictor, Twin, parse_document
from neurotwin.runtime.deadline import check_time
from neurotwin.service.door import Door

Question = TypeVar("Question")


class AboutPatient(Protocol):
    """A question about a patient document, or about a pseudonym in the store."""

    @property
    def patient(self) -> PatientDocument | str:
        """Who it is about."""


About = TypeVar("About", bound=AboutPatient)


async def ask_twin(
    request: Request,
    model: str,
    kind: type[About],
    answer: Callable[[Twin, About], dict[str, Any]],
    *,
    search: bool = False,
) -> Response:
    """`ask` the twin of the question's patient under a model. Raises NotFound, UnknownPatientError, NotOffered."""
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: About) -> dict[str, Any]:
        who = question.patient
        twin = door.need_store().twin(who, predictor) if isinstance(who, str) else Twin.of(predictor, who)
        return answer(twin, question)

    return await ask(request, kind, predictor, work, search=search)


async def ask(
    request: Request,
    kind: type[Question],
    predictor: Predictor,
    work: Callable[[Question], dict[str, Any]],
    *,
    search: bool = False,
) -> Response:
    """Parse the body in a thread, answer it there, and tell the audit log of which model, about whom, and how."""
    door, body, identity = Door.of(request), await request.body(), request.scope["neurotwin.request_id"]
    question, content, text = await (door.search if search else door.compute)(
        partial(_answer, kind, body, work, identity)
    )
    patient = getattr(question, "patient", None)
    note(request, predictor, patient if isinstance(patient, str | None) else patient.id, content)
    return Response(text, media_type="application/json")


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


def reply(request: Request, content: dict[str, Any]) -> Response:
    """JSON, with the request's id in place of the runtime's own. For what is short: it is written while others wait."""
    return Response(written(content, request.scope["neurotwin.request_id"]), media_type="application/json")


async def told(request: Request, work: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], Response]:
    """What ``work`` gives, and its `reply`, written in the thread where it was made."""
    identity = request.scope["neurotwin.request_id"]

    def both() -> tuple[dict[str, Any], str]:
        content = work()
        return content, written(content, identity)

    content, text = await Door.of(request).compute(both)
    return content, Response(text, media_type="application/json")


def written(content: dict[str, Any], identity: str) -> str:
    """JSON under the request's id. Raises DeadlineError: a long answer is not begun when the time is up."""
    check_time()
    stamp(content, identity)
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def stamp(content: dict[str, Any], identity: str) -> None:
    """Put the request's id in place of the runtime's own."""
    for answer in content.get("plans", ()):
        if "request_id" in answer:
            answer["request_id"] = identity
    content["request_id"] = identity


def _answer(
    kind: type[Question], body: bytes, work: Callable[[Question], dict[str, Any]], identity: str
) -> tuple[Question, dict[str, Any], str]:
    question = parse_document(kind, body, "body")
    content = work(question)
    return question, content, written(content, identity)
