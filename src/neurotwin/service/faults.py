"""Errors as answers: a status, a code and a place. Never a value, never what stood in the request.

Shape: ``{"error": {"code", "message", "where", "expected", "remedy"}, "request_id"}``; under ``/v2`` the Open Inference
Protocol's ``{"error": string}``, and under ``/fhir`` an OperationOutcome.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.errors import (
    ArtefactError,
    DeadlineError,
    DocumentError,
    ExtraMissingError,
    InputError,
    NeurotwinError,
    ResourceError,
    StoreBusyError,
    StoreConflictError,
    StoreError,
    UnknownPatientError,
)

LOG = logging.getLogger("neurotwin.service")


class RequestError(InputError):
    """A request that cannot be served as it is; ``status`` is HTTP's."""

    code = "NT-5000"
    status = 400


class NotFound(RequestError):
    """No such model or page."""

    code = "NT-5040"
    status = 404


class NotOffered(RequestError):
    """This service was started without what is asked for."""

    code = "NT-5010"
    status = 409


class Busy(RequestError):
    """Too many at once; the same request may be sent again."""

    code = "NT-5030"
    status = 503


STATUSES: tuple[tuple[type[NeurotwinError], int], ...] = (
    (UnknownPatientError, 404),
    (StoreConflictError, 409),
    (StoreBusyError, 503),
    (StoreError, 503),
    (DeadlineError, 422),
    (ExtraMissingError, 409),
    (DocumentError, 422),
    (ArtefactError, 503),
    (ResourceError, 503),
    (InputError, 422),
)

ISSUES = {
    400: "structure",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    408: "timeout",
    409: "conflict",
    413: "too-long",
    422: "invalid",
    503: "throttled",
}
"""FHIR's kinds of issue, by status."""


def status_of(error: NeurotwinError) -> int:
    """HTTP's status for an error."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, DocumentError) and error.what.startswith(("not strict JSON", "the document is empty")):
        return 400
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def tell(request: Request, error: NeurotwinError) -> Response:
    """The answer to a request that failed."""
    return answer(request, status_of(error), error.code, error.what, error.where, error.expected, error.remedy)


def answer(
    request: Request, status: int, code: str, what: str, where: str = "", expected: str = "", remedy: str = ""
) -> Response:
    """An error in the shape of the path's protocol."""
    identity = request.scope.get("neurotwin.request_id", "")
    content, media = shaped(request.url.path, status, identity, code, what, where, expected, remedy)
    headers = {"retry-after": "1"} if status == 503 else {}
    return Response(json.dumps(content), status, headers, media)


def shaped(
    path: str, status: int, identity: str, code: str, what: str, where: str = "", expected: str = "", remedy: str = ""
) -> tuple[dict[str, Any], str]:
    """An error's content and media type, by the protocol of a path."""
    if path.startswith("/v2"):
        return {"error": f"{code} {what}" + (f" at {where}" if where else "")}, "application/json"
    if path.startswith("/fhir/"):
        more = "; ".join(part for part in (where, expected, remedy, f"request {identity}" if identity else "") if part)
        issue = {"severity": "error", "code": ISSUES.get(status, "processing"), "details": {"text": f"{code} {what}"}}
        issue |= {"diagnostics": more} if more else {}
        return {"resourceType": "OperationOutcome", "issue": [issue]}, "application/fhir+json"
    parts = {"code": code, "message": what, "where": where, "expected": expected, "remedy": remedy}
    content: dict[str, Any] = {"error": {key: part for key, part in parts.items() if part}}
    return content | ({"request_id": identity} if identity else {}), "application/json"


async def on_neurotwin(request: Request, error: Exception) -> Response:
    """Errors of neurotwin."""
    if not isinstance(error, NeurotwinError):
        raise error
    if status_of(error) >= 500 and not isinstance(error, Busy | StoreBusyError):
        LOG.error("%s %s: %s", request.method, route_of(request), error.code)
    return tell(request, error)


async def on_http(request: Request, error: Exception) -> Response:
    """Errors of the framework: no such path, no such method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = {404: "no such path", 405: "not a method of this path"}.get(status, HTTPStatus(status).phrase.lower())
    response = answer(request, status, f"NT-5{status}"[:7], what)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def on_any(request: Request, error: Exception) -> Response:
    """A fault of neurotwin's own: the log tells its kind and place, neither tells what the request held."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else "?"
    LOG.error("%s %s: %s at %s", request.method, route_of(request), type(error).__name__, place)
    return answer(request, 500, "NT-5500", "a fault of the service", remedy="tell its operator the request_id")


def route_of(request: Request) -> str:
    """The route's template: a path itself may hold a patient's pseudonym."""
    return str(getattr(request.scope.get("route"), "path", "-"))
