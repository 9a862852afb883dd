"""The application: routes, middleware, and errors as answers."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from neurotwin import __version__
from neurotwin.errors import NeurotwinError
from neurotwin.service import faults, health, live, native, pages, twins
from neurotwin.service.access import Access
from neurotwin.service.door import Door
from neurotwin.service.limits import WholeRequests
from neurotwin.service.protocols import cds_hooks, fhir, open_inference
from neurotwin.service.protocols.codes import read_codes
from neurotwin.service.settings import Settings
from neurotwin.service.telemetry import Metrics, Telemetry

ROUTERS = (
    health.router,
    native.router,
    twins.router,
    live.router,
    open_inference.router,
    fhir.router,
    cds_hooks.router,
    pages.router,
)
ABOUT = (
    "Forecasts of patients' twins, with intervals, reasons to stay silent, comparisons and searches. "
    "Research software, not a medical device."
)


def create_app(settings: Settings) -> FastAPI:
    """The application of one service, models loaded and their golden cases answered.

    Raises:
        ArtefactError: a bundle is not what it should be.
        ConfigError: two bundles have one name.
        StoreError: the store cannot be reached; ExtraMissingError: its libraries are not installed.
    """
    door, metrics = Door(settings), Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _drain_on((signal.SIGTERM, signal.SIGINT), door)
        yield
        door.close()

    app = FastAPI(
        title="neurotwin",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.door, app.state.metrics = door, metrics
    app.state.codes = read_codes(settings.fhir_map, door.models)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(NeurotwinError, faults.on_neurotwin)
    app.add_exception_handler(HTTPException, faults.on_http)
    # The last one added is the outermost.
    app.add_middleware(WholeRequests, limits=settings.limits)
    app.add_middleware(Access, settings=settings)
    app.add_middleware(Telemetry, door=door, metrics=metrics)
    return app


def _drain_on(signals: tuple[signal.Signals, ...], door: Door) -> None:
    """Live streams end, and readiness says no, as soon as the process is told to stop: uvicorn waits for both."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signals:
        before = signal.getsignal(number)

        def stop(sign: int, frame: FrameType | None, before: Any = before) -> None:
            # A search may have longer than the drain: it is told in time to answer that it could not end.
            door.drain(0.8 * door.settings.limits.drain)
            if callable(before):
                before(sign, frame)

        signal.signal(number, stop)
