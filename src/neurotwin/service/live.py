"""Alerts as they happen, over server-sent events: works across workers, since the store is what is watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from neurotwin.errors import StoreBusyError, UnknownPatientError
from neurotwin.runtime import Predictor
from neurotwin.service.asking import note
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.faults import Busy
from neurotwin.store import Store

router = APIRouter(prefix="/v1/twins", tags=["twins"])
LOOK, HEARTBEAT = 0.5, 15.0
"""Seconds between two looks at the store, and between two signs of life."""


@router.get("/{id}/alerts/live", summary="Alerts as they happen (server-sent events)", **described())
async def live(request: Request, id: str, model: str | None = None) -> Response:
    """Event ``alerts`` after each change of the record: its version, and the alerts that were not told before.

    The first event tells all. A client that comes back with ``Last-Event-ID`` (the version) is told at once when the
    record changed meanwhile, and of nothing else.
    """
    door = Door.of(request)
    store, predictor = door.need_store(), door.chosen(model)
    _check_streams(door)
    first = await door.compute(partial(_look, store, predictor, id))
    _check_streams(door)  # others began meanwhile
    note(request, predictor, id, {})
    last = request.headers.get("last-event-id", "")
    stream = _events(request, door, store, predictor, id, first, _version(last))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def _check_streams(door: Door) -> None:
    if door.streams >= door.settings.limits.streams:
        raise Busy("too many live streams", where="service", remedy="close one, or add workers")


async def _events(
    request: Request,
    door: Door,
    store: Store,
    predictor: Predictor,
    id: str,
    found: tuple[int, list[dict[str, Any]]],
    last: int,
) -> AsyncIterator[bytes]:
    door.streams += 1
    told: set[str] = set()
    quiet = 0.0
    try:
        while True:
            version, alerts = found
            new = [alert for alert in alerts if _key(alert) not in told]
            if version != last:
                content = json.dumps({"version": version, "alerts": new}, allow_nan=False)
                yield f"event: alerts\nid: {version}\ndata: {content}\n\n".encode()
                last, quiet = version, 0.0
            told |= {_key(alert) for alert in alerts}
            while found[0] == version:
                await asyncio.sleep(LOOK)
                if not door.ready or await request.is_disconnected():
                    return
                quiet += LOOK
                if quiet >= HEARTBEAT:
                    quiet = 0.0
                    yield b": alive\n\n"
                with suppress(Busy, StoreBusyError):  # looked at again in a moment
                    if await door.compute(partial(store.version, id)) != version:
                        found = await door.compute(partial(_look, store, predictor, id))
    except UnknownPatientError:
        return  # erased meanwhile: nothing more will happen
    finally:
        door.streams -= 1


def _version(text: str) -> int:
    """The version that a client saw last; -1 where it tells none."""
    return int(text) if text.isdecimal() and len(text) <= 18 else -1


def _look(store: Store, predictor: Predictor, id: str) -> tuple[int, list[dict[str, Any]]]:
    loaded = store.load(id, predictor)
    return loaded.version, loaded.twin.alerts()["alerts"] or []


def _key(alert: dict[str, Any]) -> str:
    return f"{alert['kind']} {alert['channel']} {alert['t']}"
