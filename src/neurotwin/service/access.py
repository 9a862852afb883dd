"""Who may ask: the ``Host`` that was meant, the page that asks, and the token.

A page of another site that a browser has open may send requests here too, also under a name that was pointed at this
machine (DNS rebinding). So the host must be one that the service goes by, and the origin, where a browser tells one,
this service itself. Both hold on loopback as well, where no token is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from neurotwin.service.faults import shaped
from neurotwin.service.settings import Settings, is_loopback, is_wildcard

COOKIE = "neurotwin_session"
FREE = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/login", "/assets/page.css"})
"""Paths that need no token: they tell nothing of models or patients."""


class Access:
    """ASGI middleware: 400 for another host, 403 for another origin, 401 without the token."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.hosts = {settings.host.strip("[]").lower(), *(host.lower() for host in settings.hosts)}
        if is_loopback(settings.host) or is_wildcard(settings.host):
            self.hosts |= {"localhost", "127.0.0.1", "::1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._fault(scope["path"], headers)
        if fault is None:
            await self.app(scope, receive, send)
            return
        status, code, what = fault
        remedy = "tell it the name with --allow-host" if code == "NT-5001" else ""
        body, media = shaped(scope["path"], status, "", code, what, remedy=remedy)
        challenge = [(b"www-authenticate", b'Bearer realm="neurotwin"')] if status == 401 else []
        if status == 401 and "text/html" in headers.get(b"accept", "") and scope["method"] == "GET":
            status, challenge = 303, [(b"location", b"/login")]
        content = json.dumps(body).encode()
        kind = [(b"content-type", media.encode()), (b"content-length", b"%d" % len(content)), *challenge]
        if b"transfer-encoding" in headers or headers.get(b"content-length", "0") != "0":
            kind.append((b"connection", b"close"))  # the body is not waited for: it may never end
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": content})

    def _fault(self, path: str, headers: dict[bytes, str]) -> tuple[int, str, str] | None:
        if _host(headers.get(b"host", "")) not in self.hosts:
            return 400, "NT-5001", "a host that this service does not go by"
        origin = headers.get(b"origin")
        if origin is not None and _netloc(origin) != headers.get(b"host", "").lower():
            return 403, "NT-5002", "a page of another origin"
        if not self.settings.token or path in FREE or self._shown(headers):
            return None
        return 401, "NT-5003", "no token, or not this one"

    def _shown(self, headers: dict[bytes, str]) -> bool:
        kind, _, token = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return is_token(token.strip(), self.settings.token)
        try:
            jar = SimpleCookie(headers.get(b"cookie", ""))
        except CookieError:
            return False
        own = jar.get(COOKIE)
        return own is not None and is_token(own.value, session_of(self.settings.token))


def is_token(shown: str, token: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(shown.encode(), token.encode())


def session_of(token: str) -> str:
    """What a browser that has shown the token keeps in its cookie instead of it."""
    return hmac.new(token.encode(), b"neurotwin session", hashlib.sha256).hexdigest()


def _netloc(origin: str) -> str:
    """Host and port of an ``Origin`` header; empty, which is no host, when it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host(header: str) -> str:
    """The host of a ``Host`` header, without port; empty when it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
