"""Connections with a deadline: a request's head must arrive in time, also one that never begins."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from neurotwin.service.settings import Limits


class TimedConnections(H11Protocol):
    """uvicorn's h11 protocol, which bounds a head's bytes, with a bound of its seconds too.

    uvicorn itself waits for ever on a connection that says nothing, and counts such connections as work that is
    under way. Body and answer have deadlines of their own in the application.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.limits: Limits = self.config.loaded_app.state.door.settings.limits
        self._wait: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._begin()

    def data_received(self, data: bytes) -> None:
        before: Any = self.cycle  # None before the first request
        if self._wait is None and (before is None or before.response_complete):
            self._begin()  # the head of a further request
        super().data_received(data)
        if self.cycle is not before:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._wait = self.loop.call_later(self.limits.receive, self.transport.abort)

    def _end(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
