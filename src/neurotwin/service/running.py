"""Run the service: one process, or several behind one socket that a parent starts anew when they die."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import uvicorn
from prometheus_client import multiprocess
from uvicorn.supervisors import Multiprocess

from neurotwin.errors import InputError, NeurotwinError
from neurotwin.service.app import create_app
from neurotwin.service.connections import TimedConnections
from neurotwin.service.settings import Settings
from neurotwin.service.telemetry import MULTIPROCESS

LOG = logging.getLogger("neurotwin.service")
BACKLOG = 2048
ENVIRONMENT = "NEUROTWIN_SERVE"
"""Variable in which a worker finds its settings."""
WORKER = "neurotwin.service.running:worker"


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first, for at most ``limits.drain`` seconds.

    Args:
        tell: is told in a line where the service listens.

    Raises what `create_app` raises, and InputError when the address cannot be bound.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    listener = _bind(settings)
    settings = replace(settings, port=listener.getsockname()[1])
    with listener, tempfile.TemporaryDirectory(prefix="neurotwin-metrics-") as folder:
        if settings.workers > 1:
            os.environ |= {ENVIRONMENT: settings.to_json(), MULTIPROCESS: folder}
            create_app(settings).state.door.close()  # what is wrong is told once, in one line, not by every worker
            tell(_address(settings))
            Workers(_config(settings, WORKER), [listener]).run()
        else:
            app = create_app(settings)
            tell(_address(settings))
            for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises again what ended it: it has ended well
                signal.signal(number, _nothing)
            uvicorn.Server(_config(settings, app)).run([listener])


class Workers(Multiprocess):
    """Worker processes of which the metrics forget what died with one of them: its requests are no longer open."""

    def keep_subprocess_alive(self) -> None:
        """Look after the workers."""
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        for pid in before:
            if pid is not None and pid not in [process.pid for process in self.processes]:
                multiprocess.mark_process_dead(pid)


def worker() -> object:
    """The application of a worker process, whose settings its parent handed down."""
    settings = Settings.from_json(os.environ[ENVIRONMENT])
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        return create_app(settings)
    except NeurotwinError as error:
        LOG.error("%s", error)
        sys.exit(error.exit_code)


def _end_with_parent() -> None:
    """A worker whose parent was killed would go on without anybody who could stop it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _nothing(sign: int, frame: FrameType | None) -> None:
    """Neither exits nor raises."""


def _config(settings: Settings, app: object) -> uvicorn.Config:
    limits = settings.limits
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=isinstance(app, str),
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        backlog=BACKLOG,
        http=TimedConnections,
        ws="none",
        h11_max_incomplete_event_size=limits.header,
        timeout_keep_alive=int(limits.receive),
        timeout_graceful_shutdown=int(limits.drain),
        log_config=None,
        access_log=False,  # paths hold pseudonyms; the audit log tells who asked what
        server_header=False,
        proxy_headers=False,
    )


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named: only then does asyncio send small packets at once (TCP_NODELAY); else 40 ms are lost.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"the address cannot be bound ({error.strerror or type(error).__name__})",
            where=f"{settings.host}:{settings.port}",
            remedy="choose another with --host, --port",
        ) from None
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


def _address(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"neurotwin serves on http://{host}:{settings.port} (Ctrl-C ends it)"
