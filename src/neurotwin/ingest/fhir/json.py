"""JSON of a FHIR source, read strictly: one meaning or none. Decimal numbers keep all their digits."""

import json
from decimal import Decimal
from hashlib import blake2b
from typing import Any

MAX_DEPTH = 64
"""Levels of objects and lists in a resource; FHIR itself needs about a dozen."""

Resource = dict[str, Any]


class JsonFault(ValueError):
    """Why a text is not the JSON that is read here; its words name no content."""


def parse_json(text: bytes) -> Any:
    """An object from UTF-8 JSON, decimals as `Decimal`.

    Raises:
        JsonFault: not UTF-8, not JSON, a key twice in an object, NaN or Infinity, nested too deep, or a number of
            thousands of digits.
    """
    try:
        return json.loads(
            text.decode("utf-8"), parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_unique
        )
    except JsonFault:
        raise
    except UnicodeDecodeError:
        raise JsonFault("bytes that are not UTF-8") from None
    except RecursionError:
        raise JsonFault("objects nested too deep") from None
    except (ValueError, ArithmeticError):
        raise JsonFault("text that is not JSON") from None


def _no_number(word: str) -> object:
    raise JsonFault("NaN or Infinity, which JSON does not have")


def _unique(pairs: list[tuple[str, Any]]) -> Resource:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise JsonFault("an object with one key twice")
    return found


def digest_of(resource: Resource) -> bytes:
    """8 bytes that stand for what a resource says; ``meta`` and the narrative ``text`` are left out.

    Raises:
        ValueError: text that is no Unicode (half of a surrogate pair).
    """
    said = {key: value for key, value in resource.items() if key not in ("meta", "text")}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return blake2b(text.encode("utf-8"), digest_size=8).digest()


def levels_of(resource: Resource) -> tuple[bool, bool]:
    """Whether a resource is nested beyond `MAX_DEPTH`, and whether something in it is modified by an extension.

    Contained resources do not count for the second: they are looked at only where something refers to them.
    """
    level: list[Any] = [resource]
    modified = "implicitRules" in resource
    for depth in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                modified = modified or bool(one.get("modifierExtension"))
                below += [item for key, item in one.items() if depth or key != "contained"]
            else:
                below += one
        level = [one for one in below if isinstance(one, dict | list)]
        if not level:
            return False, modified
    return True, modified


def as_dict(value: Any) -> Resource:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Resource]:
    """The objects of a list; none where it is not a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Text as it stands, a number with all its digits, a truth value as FHIR writes it; "" for all else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    return value if isinstance(value, str) else ""
