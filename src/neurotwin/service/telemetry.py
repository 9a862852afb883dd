"""Outermost of all: an id for each request, counts and times for Prometheus, the audit line, no word of a fault."""

from __future__ import annotations

import os
import re
import time
import uuid
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neurotwin.service.door import Door
from neurotwin.service.faults import on_any, route_of

GIVEN_ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
"""Of a caller's own ids only UUIDs are taken: other text could be about a patient."""
AUDITED = ("/v1/", "/v2/models/", "/cds-services/", "/fhir/", "/login", "/population")
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counts of one worker; with several, each writes to a folder that all read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "neurotwin_requests", "Requests by route and status", ("method", "route", "status"), registry=own
        )
        self.seconds = Histogram(
            "neurotwin_request_seconds", "Time to the last byte", ("route",), buckets=BUCKETS, registry=own
        )
        self.answers = Counter("neurotwin_answers", "Answers by model and status", ("model", "status"), registry=own)
        self.reasons = Counter("neurotwin_reasons", "Reasons of answers", ("model", "reason"), registry=own)
        self.open = Gauge("neurotwin_requests_open", "Requests under way", multiprocess_mode="livesum", registry=own)

    def text(self) -> bytes:
        """What Prometheus reads."""
        if MULTIPROCESS not in os.environ:
            return bytes(generate_latest(self.registry))
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=str(Path(os.environ[MULTIPROCESS])))
        return bytes(generate_latest(registry))


class Telemetry:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, door: Door, metrics: Metrics) -> None:
        self.app, self.door, self.metrics = app, door, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identity = _identity(scope)
        scope["neurotwin.request_id"] = identity
        status, begin = 0, time.perf_counter()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
                self._audit(scope, status)  # before the answer leaves: none is given that the log does not tell
            await send(message)

        self.metrics.open.inc()
        try:
            await self.app(scope, receive, told)
        except Exception as error:
            request = Request(scope)
            response = await on_any(request, error)
            if not status:
                await response(scope, receive, told)
        finally:
            self.metrics.open.dec()
            self._count(scope, status, time.perf_counter() - begin)

    def _audit(self, scope: Scope, status: int) -> None:
        if self.door.audit is None or not scope["path"].startswith(AUDITED):
            return
        entry = {
            "request_id": scope["neurotwin.request_id"],
            "method": _method(scope),
            "route": route_of(Request(scope)),
        }
        self.door.audit.append({**entry, "status": status, **scope.get("neurotwin.audit", {})})

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_of(Request(scope))
        self.metrics.requests.labels(_method(scope), route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        told = scope.get("neurotwin.audit", {})
        for answer in told.get("answers", ()):
            self.metrics.answers.labels(told["model"], answer).inc()
        for reason in told.get("reasons", ()):
            self.metrics.reasons.labels(told["model"], reason).inc()


def _identity(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if GIVEN_ID.fullmatch(given) else str(uuid.uuid4())


def _method(scope: Scope) -> str:
    """Of the methods that exist: a caller may send any word."""
    known = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return scope["method"] if scope["method"] in known else "OTHER"
