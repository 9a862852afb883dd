"""Is the process alive, does it take requests, and what does it count."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from neurotwin.service.door import Door

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Liveness")
async def alive() -> Response:
    """200 while the process answers at all."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", summary="Readiness")
async def ready(request: Request) -> Response:
    """200 while requests are taken; 503 while the service drains."""
    door = Door.of(request)
    return JSONResponse({"status": "ready" if door.ready else "draining"}, 200 if door.ready else 503)


@router.get("/metrics", summary="Counts and times, for Prometheus")
async def metrics(request: Request) -> Response:
    """No label tells of a patient."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
