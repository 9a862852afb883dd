"""Style sheet and scripts, from memory."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.service.faults import NotFound

router = APIRouter()
KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    """A file of ``static``; a browser asks again each time whether it changed."""
    found = _files().get(name)
    if found is None:
        raise NotFound("no such file", where="path: name")
    content, kind, tag = found
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Content, kind and tag by name. The style sheet begins with that of all of neurotwin's pages."""
    common = resources.files("neurotwin.pages").joinpath("page.css").read_bytes()
    found = {}
    for item in resources.files("neurotwin.service.pages").joinpath("static").iterdir():
        kind = KINDS.get("." + item.name.rpartition(".")[2])
        if kind is not None:
            content = (common if item.name == "page.css" else b"") + item.read_bytes()
            found[item.name] = (content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
