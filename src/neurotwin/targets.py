"""What a configuration may name: classes of trusted packages, with arguments that fit their annotations.

A `_target_` is checked against an allow-list before anything is imported, and what it names must be a class defined
there: a dotted path also reaches what a module has imported. Packages of your own are let in by name with the
environment variable NEUROTWIN_TRUST (comma-separated). Plain values are checked against the constructor's annotations,
so that a wrong type is told by its key.
"""

import inspect
import os
import pydoc
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from neurotwin.errors import ConfigError

TRUSTED = (
    "neurotwin.data.",
    "neurotwin.models.",
    "neurotwin.solvers.",
    "neurotwin.training.",
    "neurotwin.simulators.",
    "neurotwin.trials.",
    "torch.optim.",
    "torch.nn.",
    "lightning.pytorch.Trainer",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
)
"""Where targets may be."""
DEFINED = (*TRUSTED, "lightning.pytorch.trainer.trainer.")
"""Where what they name may have been defined: a class, or a function that is one of the schedules."""
SCHEDULES = "neurotwin.training.schedule"


def check_targets(node: Any, where: str) -> None:
    """Look at all targets of plain data, then at their arguments; raises ConfigError for the first that will not do."""
    own = tuple(f"{name.strip()}." for name in os.environ.get("NEUROTWIN_TRUST", "").split(",") if name.strip())
    nodes = [(place, item) for place, item in _nodes(node, where) if "_target_" in item]
    for place, item in nodes:
        _check_target(item["_target_"], place, own)
    for place, item in nodes:
        _check_arguments(_locate(item["_target_"], place, own), item, place)


def _nodes(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All mappings below, each with its place."""
    if isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            yield from _nodes(value, f"{place}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _nodes(value, f"{place}.{number}")
    elif isinstance(node, str) and "${" in node:
        raise ConfigError(
            f"{node!r} would be resolved here",
            where=place,
            expected="a configuration whose interpolations are resolved",
        )


def _check_target(target: Any, place: str, own: tuple[str, ...]) -> None:
    """Before anything is imported."""
    private = isinstance(target, str) and any(part.startswith("_") for part in target.split("."))
    if not isinstance(target, str) or private or not target.startswith((*TRUSTED, *own)):
        raise ConfigError(
            f"target {target!r} is not trusted",
            where=place,
            expected="a class in " + ", ".join(TRUSTED),
            remedy="name your package in NEUROTWIN_TRUST to let it in",
        )


def _locate(target: str, place: str, own: tuple[str, ...]) -> Any:
    """What a trusted path names, if it was defined in a trusted place too."""
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport as error:
        raise ConfigError(
            f"target {target!r} cannot be imported", where=place, remedy=str(error).splitlines()[0]
        ) from None
    if found is None:
        raise ConfigError(f"no target {target!r}", where=place, expected="a class that can be imported")
    home = f"{getattr(found, '__module__', '')}."
    if target.startswith(own) or (inspect.isclass(found) and home.startswith(DEFINED)) or home == f"{SCHEDULES}.":
        return found
    raise ConfigError(f"target {target!r} is not trusted", where=place, expected="a class defined there, or a schedule")


def _check_arguments(factory: Any, node: dict[str, Any], place: str) -> None:
    """Compare plain values with the annotations of the constructor."""
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return
    for key, value in node.items():
        if key in hints and not key.startswith("_") and not _fits(value, hints[key]):
            hint = hints[key]
            words = hint.__name__ if isinstance(hint, type) else re.sub(r"[\w.]+\.(\w+)", r"\1", str(hint))
            raise ConfigError(f"{key} is {value!r}", where=f"{place}.{key}", expected=words)


def _fits(value: Any, hint: Any) -> bool:
    """Could plain data be meant by an annotation? In doubt, yes: the constructor will say."""
    origin, choices = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in choices)
    if origin is Literal:
        return value in choices
    if hint in (int, float, bool, str, None, NoneType):
        kinds: Any = {int: int, float: (int, float), bool: bool, str: str}.get(hint, NoneType)
        return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    if not isinstance(value, int | float | str):
        return True
    # A number or a word where an object, a list or a mapping is meant; a path may be a word.
    return (
        not isinstance(origin or hint, type)
        or origin is type
        or (isinstance(value, str) and hint is Path)
        or hint is object
    )
