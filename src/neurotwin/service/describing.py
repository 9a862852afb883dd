"""What OpenAPI tells of a route: the body's JSON Schema with an example, and the errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from neurotwin.service.questions import schema_of

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "where", "expected", "remedy")},
        },
        "request_id": {"type": "string"},
    },
}
FAULTS = {
    400: "The body is no strict JSON, or the host is another",
    401: "No token, or not this one",
    404: "No such model, patient or path",
    409: "It contradicts what is kept, or the service has no store",
    412: "What the service needs was not sent along",
    413: "The body is too large",
    422: "A field is missing, unknown or out of range, or the answer takes too long",
    503: "Too many at once: come again",
}


def described(
    body: type[Any] | None = None, *, name: str = "", faults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Keyword arguments of a route.

    Args:
        body: the document that is sent; its fields make the schema.
        name: of the example, by default the body's own.
        faults: JSON Schema of an error by media type, where the route's protocol has its own.
    """
    more: dict[str, Any] = {}
    if body is not None:
        content: dict[str, Any] = {"schema": schema_of(body)}
        if example := examples().get(name or body.__name__):
            content["example"] = example
        more = {"requestBody": {"required": True, "content": {"application/json": content}}}
    told = {media: {"schema": schema} for media, schema in (faults or {"application/json": ERROR}).items()}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": what, "content": told} for status, what in FAULTS.items()
    }
    return {"openapi_extra": more, "responses": responses}


@cache
def examples() -> dict[str, Any]:
    """Bodies by the name of their document."""
    text = resources.files("neurotwin.service").joinpath("examples.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
