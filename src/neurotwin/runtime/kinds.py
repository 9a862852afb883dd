"""Kinds of values that a document may hold. Each reads one strictly and knows its JSON Schema.

Plain Python on purpose: an application that starts for a single answer should not wait for a validation library. No
fault tells a value or a name that stood in the document, only the place among the names that are known here.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, Protocol

import numpy as np

FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST_TEXT = 100


class Fault(ValueError):
    """What is wrong, and where: a path of known names and positions."""

    def __init__(self, what: str, expected: str = "") -> None:
        super().__init__(what)
        self.what, self.expected, self.path = what, expected, list[str]()

    def under(self, part: str | int) -> "Fault":
        """The same fault, one level further out."""
        self.path.insert(0, str(part))
        return self


class Kind(Protocol):
    """Reads one value and describes itself."""

    def read(self, value: Any) -> Any:
        """The value, or a `Fault`."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema, draft 2020-12."""


class Number:
    """A finite number; neither a boolean nor text."""

    def read(self, value: Any) -> float:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
            raise Fault("not a number", "a number")
        try:
            number = float(value)
        except OverflowError:
            raise Fault("a number is too large", "a finite number") from None
        if not math.isfinite(number):
            raise Fault("a number is not finite", "a finite number")
        return number

    def schema(self) -> dict[str, Any]:
        return {"type": "number"}


class Text:
    """Short text without control characters; with ``choices``, one of them."""

    def __init__(self, choices: tuple[str, ...] = ()) -> None:
        self.choices = choices

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Fault("not text", "text")
        if self.choices and value not in self.choices:
            raise Fault("not one of the choices", " or ".join(self.choices))
        if len(value) > LONGEST_TEXT or FORBIDDEN.search(value):
            raise Fault("text is too long or holds control characters", f"at most {LONGEST_TEXT} printable characters")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)} if self.choices else {"type": "string", "maxLength": LONGEST_TEXT}


class Flag:
    """True or false, and nothing that merely means it."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Fault("not a boolean", "true or false")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class ListOf:
    """Several of one kind, as a tuple."""

    def __init__(self, item: Kind, most: int) -> None:
        self.item, self.most = item, most

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Fault("not a list", "a list")
        if len(value) > self.most:
            raise Fault(f"{len(value)} entries", f"at most {self.most}")
        items = []
        for number, item in enumerate(value):
            try:
                items.append(self.item.read(item))
            except Fault as fault:
                raise fault.under(number) from None
        return tuple(items)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.most}


class MapOf:
    """Names that the document chooses, each with a value of one kind. A fault tells the position, not the name."""

    def __init__(self, item: Kind, most: int) -> None:
        self.item, self.most = item, most

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Fault("not an object", "an object")
        if len(value) > self.most:
            raise Fault(f"{len(value)} entries", f"at most {self.most}")
        content = {}
        for number, (name, item) in enumerate(value.items()):
            try:
                content[Text().read(name)] = self.item.read(item)
            except Fault as fault:
                raise fault.under(number) from None
        return content

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.schema(), "maxProperties": self.most}


class Either:
    """Text as it is, anything else as ``other``."""

    def __init__(self, other: Kind) -> None:
        self.other = other

    def read(self, value: Any) -> Any:
        return Text().read(value) if isinstance(value, str) else self.other.read(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Text().schema(), self.other.schema()]}


class Record:
    """A frozen dataclass whose fields were declared with `has`. What its ``__post_init__`` raises names no value."""

    def __init__(self, cls: type[Any]) -> None:
        own = fields(cls)
        self.cls = cls
        self.kinds: dict[str, Kind] = {item.name: item.metadata["kind"] for item in own}
        needed = (item.name for item in own if item.default is MISSING and item.default_factory is MISSING)
        self.required = frozenset(needed)
        self.nullable = frozenset(item.name for item in own if item.default is None)

    def read(self, value: Any) -> Any:
        if isinstance(value, self.cls):  # built by hand, so that nothing has looked at it yet
            value = vars(value)
        if not isinstance(value, Mapping):
            raise Fault("not an object", "an object")
        if missing := self.required - value.keys():
            raise Fault("a field is missing", ", ".join(sorted(missing)))
        content = {}
        for name, item in value.items():
            if name not in self.kinds:
                raise self._unknown(name)
            if item is not None or name not in self.nullable:
                try:
                    content[name] = self.kinds[name].read(item)
                except Fault as fault:
                    raise fault.under(name) from None
        return self.cls(**content)

    def schema(self) -> dict[str, Any]:
        shapes = {name: kind.schema() for name, kind in self.kinds.items()}
        for name in self.nullable:
            shapes[name] = {"anyOf": [shapes[name], {"type": "null"}]}
        about = " ".join((self.cls.__doc__ or "").split())
        return {
            "title": self.cls.__name__,
            "description": about,
            "type": "object",
            "properties": shapes,
            "required": sorted(self.required),
            "additionalProperties": False,
        }

    def _unknown(self, name: Any) -> Fault:
        from difflib import get_close_matches  # only a fault needs it

        near = get_close_matches(str(name)[:LONGEST_TEXT], self.kinds, n=1)
        return Fault("unknown field", f"perhaps {near[0]}" if near else ", ".join(self.kinds))


def has(kind: Kind, *, default: Any = MISSING, factory: Callable[[], Any] | None = None) -> Any:
    """A dataclass field of a document; without a default it is required, with None it may be null."""
    if factory is not None:
        return field(default_factory=factory, metadata={"kind": kind})
    return field(default=default, metadata={"kind": kind})
