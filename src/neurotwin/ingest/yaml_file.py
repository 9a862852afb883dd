"""YAML as plain data, from a file of modest size without anchors, aliases, tags or repeated keys.

Only ``true``, ``false``, ``null`` and decimal numbers are more than text; ``no``, ``007`` and dates stay text, and a
key is always text.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from neurotwin.errors import IngestError
from neurotwin.extras import need

MAX_BYTES = 1 << 20
MAX_DEPTH = 40


class _KeyFault(Exception):
    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


def read_yaml(path: Path) -> Any:
    """Content of a YAML file.

    Raises:
        IngestError: not a regular file, too large, not UTF-8, not YAML, or with an anchor, alias, tag or repeated key.
    """
    if not path.is_file():
        raise IngestError("no mapping file here", where=str(path), expected="a YAML file")
    if path.stat().st_size > MAX_BYTES:
        raise IngestError(
            "a mapping file this large is not read", where=str(path), expected=f"at most {MAX_BYTES} bytes"
        )
    try:
        return parse_yaml(path.read_bytes().decode("utf-8-sig"), where=str(path))
    except UnicodeDecodeError:
        raise IngestError("the mapping is not UTF-8 text", where=str(path), remedy="save it as UTF-8") from None


def parse_yaml(text: str, where: str = "mapping") -> Any:
    """Content of YAML text; see `read_yaml`."""
    yaml = need("yaml", "simulate")
    try:
        _check_events(yaml, text, where)
        return yaml.load(text, Loader=_loader())
    except _KeyFault as fault:
        raise IngestError(
            str(fault),
            where=f"{where} line {fault.line}",
            expected="distinct keys of text",
            remedy='put a number in quotes, as in "1": low',
        ) from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise IngestError(f"not YAML: {error.problem or error.context}", where=f"{where} {line}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise IngestError("not YAML", where=where) from None


def _check_events(yaml: Any, text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = f"{where} line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise IngestError("an anchor or alias", where=place, expected="plain YAML", remedy="write the content out")
        if getattr(event, "tag", None):
            raise IngestError("a tag", where=place, expected="plain YAML without tags")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise IngestError("nested too deeply", where=place, expected=f"at most {MAX_DEPTH} levels")


@cache
def _loader() -> Any:
    yaml = need("yaml", "simulate")

    class PlainLoader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """SafeLoader with fewer implicit types and no repeated keys."""

        yaml_implicit_resolvers: dict[str, Any] = {}

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            content: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    raise _KeyFault("a key that is not text", key_node.start_mark.line + 1)
                if key in content:
                    raise _KeyFault(f"the key {key!r} stands twice", key_node.start_mark.line + 1)
                content[key] = self.construct_object(value_node, deep=True)
            return content

    PlainLoader.add_constructor("tag:yaml.org,2002:map", PlainLoader.construct_mapping)
    for tag, pattern, first in (
        ("bool", r"true|false", "tf"),
        ("null", r"~|null|", "~n\0"),
        ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
        ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf", "-+.0123456789"),
    ):
        resolver = re.compile(f"^(?:{pattern})$")
        PlainLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", resolver, [*first.replace("\0", ""), *([""] if "\0" in first else [])]
        )
    return PlainLoader
