"""Bytes and seconds that a request may take until it is complete. Answers begin only then."""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neurotwin.service.access import FREE
from neurotwin.service.faults import shaped
from neurotwin.service.settings import Limits

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Sent with every answer that does not tell its own: answers are about patients and are kept by nobody."""


class WholeRequests:
    """ASGI middleware that reads a request's body first, up to the limits, and hands it on in one piece."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        fault: tuple[int, str, str] | None = None
        body = b""
        try:
            async with asyncio.timeout(self.limits.receive):
                body, fault = await self._read(scope, receive)
        except TimeoutError:
            fault = (408, "NT-5080", "the request took too long to arrive")
        if fault is None:
            await self.app(scope, _replay(body, receive), send)
        elif fault[0]:
            await _refuse(scope, send, *fault)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, str, str] | None]:
        headers, limit = dict(scope["headers"]), self.limits.header
        head = len(scope["raw_path"]) + len(scope["query_string"])
        if head + sum(len(name) + len(value) for name, value in scope["headers"]) > limit:
            return b"", (431, "NT-5131", f"the head is larger than {limit} bytes")
        # Who has shown no token sends a login form at most: many bodies at once are memory.
        longest = min(self.limits.body, limit) if scope["path"] in FREE else self.limits.body
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or len(told) > 12 or int(told) > longest:
            return b"", (413, "NT-5130", f"the body is larger than {longest} bytes")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return b"", (415, "NT-5150", "a compressed body")
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"", (0, "", "")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > longest:
                return b"", (413, "NT-5130", f"the body is larger than {longest} bytes")
            if not message.get("more_body", False):
                return b"".join(parts), None


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def give() -> Message:
        nonlocal told
        if not told:
            told = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return give


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [*message.get("headers", ()), *(pair for pair in HEADERS if pair[0] not in own)]
        await send(message)

    return told


async def _refuse(scope: Scope, send: Send, status: int, code: str, what: str) -> None:
    body, media = shaped(scope["path"], status, "", code, what)
    # What was not read stays in the connection: it is of no further use.
    headers = [(b"content-type", media.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
