"""Lines that tell the hash of the line before them, so that a line that was changed, moved or taken out is seen."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from neurotwin.bundle import strict_json

START = "0" * 64
"""What the first line tells as the hash of the line before it."""


def chained(content: Mapping[str, Any], before: str) -> bytes:
    """A line: ``content`` with the hash of the line before it, and then its own."""
    text = json.dumps({**content, "before": before}, separators=(",", ":"))
    return f'{text[:-1]},"hash":"{_hash(text)}"}}\n'.encode()


def unchained(line: bytes) -> dict[str, Any]:
    """Back from `chained`, with ``before`` and ``hash``; raises ValueError unless the line is as it was written."""
    told = strict_json(line)
    if not isinstance(told, dict) or not {"before", "hash"} <= set(told):
        raise ValueError("no line of a chain")
    content = {key: value for key, value in told.items() if key not in ("before", "hash")}
    if chained(content, told["before"]) != line.removesuffix(b"\n") + b"\n":
        raise ValueError("the line is not as it was written")
    return told


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
