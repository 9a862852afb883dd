"""Kinds of values that a protocol leaves open: taken as they are, looked at by whoever needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurotwin.runtime.kinds import Fault


class Anything:
    """Any JSON."""

    def read(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


class Object:
    """A JSON object of any names."""

    def __init__(self, about: str = "") -> None:
        self.about = about

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Fault("not an object", "an object")
        return dict(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object"} | ({"description": self.about} if self.about else {})
