"""Overrides in Hydra's syntax, taken apart: what is fixed, what is swept, and the experiment file for the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.paths import conf_dir

EXAMPLE = "choice(a, b), range(8, 65, 8), interval(0.1, 1), int(interval(1, 9)) or tag(log, interval(1e-4, 1e-2))"


@dataclass(frozen=True)
class Swept:
    """A key whose value is searched for: among ``choices``, or from ``low`` to ``high``, both of them allowed.

    Attributes:
        key: as on the command line, with its ``+`` and ``@PACKAGE``.
        choices: numbers, booleans, or words in the syntax of an override.
        step: distance of the values allowed, or None for any. Whole ends mean whole values.
        log: equal ratios are equally likely.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False

    def override(self, value: Any) -> str:
        """The override that sets this value."""
        return f"{self.key}={word(value)}"


def word(value: Any) -> str:
    """A choice or number as it stands in an override."""
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def quoted(value: str | Path) -> str:
    """Text of any characters, as the value of an override."""
    kinds = need("hydra.core.override_parser.types", "simulate")
    return str(kinds.QuotedString(str(value), kinds.Quote.single).with_quotes())


def parsed(overrides: Sequence[str]) -> list[Any]:
    """Hydra's own objects, one per override; raises ConfigError for what is none."""
    parser = need("hydra.core.override_parser.overrides_parser", "simulate").OverridesParser.create()
    found = []
    for text in overrides:
        try:
            if text.lstrip("+~").startswith("="):
                raise ValueError
            found.append(parser.parse_override(text))
        except (need("hydra.errors", "simulate").HydraException, ValueError):
            raise ConfigError(f"not an override: {text!r}", expected=f"KEY=VALUE; to be searched: {EXAMPLE}") from None
    return found


def key_of(override: Any) -> str:
    """The key of a parsed override, without ``+`` and ``~``."""
    return str(override.get_key_element()).lstrip("+~")


def split(overrides: Sequence[str]) -> tuple[list[str], list[Swept]]:
    """What is fixed, as text, and what is swept. Raises ConfigError for what cannot be searched."""
    fixed, searched = [], []
    for text, override in zip(overrides, parsed(overrides), strict=True):
        if override.is_sweep_override():
            searched.append(_swept(override, text))
        else:
            fixed.append(text)
    return fixed, searched


def _swept(override: Any, text: str) -> Swept:
    key, value = override.get_key_element(), override.value()
    kinds = need("hydra.core.override_parser.types", "simulate")
    try:
        if override.is_interval_sweep():
            found = Swept(key, low=value.start, high=value.end, log="log" in value.tags)
        elif override.is_range_sweep():
            values = sorted(value.range())
            found = Swept(key, low=values[0], high=values[-1], step=abs(value.step), log="log" in value.tags)
        elif isinstance(value, kinds.Glob):
            raise ValueError
        else:
            found = Swept(key, choices=tuple(_choice(item, kinds) for item in override.sweep_iterator()))
        if not found.choices and not (found.low < found.high and (found.low > 0 or not found.log)):
            raise ValueError
        if found.log and found.step not in (None, 1):
            raise ValueError
    except (ValueError, IndexError):
        raise ConfigError(
            f"{text!r} cannot be searched", expected=EXAMPLE, remedy="low < high, log above 0 and without a step"
        ) from None
    return found


def _choice(item: Any, kinds: Any) -> Any:
    return item if isinstance(item, bool | int | float) else kinds.Transformer.str(item)


def experiment_file(overrides: Sequence[str], comments: Sequence[str]) -> tuple[str, list[str]]:
    """The text of an experiment that says what these overrides say, and those that no file can say.

    Those are deletions of values and settings of Hydra itself. ``experiment=FILE.yaml`` is taken in.
    """
    file = _Experiment()
    left = []
    for text, override in zip(overrides, parsed(overrides), strict=True):
        group = str(override.key_or_group)
        is_group = (conf_dir() / group).is_dir()
        if group.startswith("hydra") or (override.is_delete() and not is_group):
            left.append(text)
        elif group == "experiment":
            file.take(override.value())
        elif is_group:
            file.choose(override)
        else:
            _merge(file.values, _nested(group.split("."), override.value()))
    head = ["# @package _global_", *(f"# {line}" for line in comments)]
    return "\n".join(head) + "\n" + yaml.safe_dump(file.content(), sort_keys=False, allow_unicode=True), left


class _Experiment:
    """An experiment as it grows: Hydra wants the choices that are overridden at the end of the defaults."""

    def __init__(self) -> None:
        self.before: list[Any] = []
        self.chosen: dict[str, Any] = {}
        self.values: dict[str, Any] = {}

    def take(self, named: Any) -> None:
        """Start from another experiment: by name, or by the path of a file, which is read."""
        if not str(named).endswith((".yaml", ".yml")):
            self.before += named if isinstance(named, list) else [] if named is None else [named]
            return
        content = yaml.safe_load(Path(named).read_text())
        for item in content.pop("defaults", []):
            if isinstance(item, dict) and next(iter(item)).startswith("override "):
                self.chosen.update(item)
            elif item != "_self_":
                self.before.append(item)
        _merge(self.values, content)

    def choose(self, override: Any) -> None:
        """A choice of a group; none where the group is deleted."""
        place = f"/{override.key_or_group}" + (f"@{override.package}" if override.package else "")
        if override.is_add():
            self.before.append({place: override.value()})
        else:
            self.chosen[f"override {place}"] = None if override.is_delete() else override.value()

    def content(self) -> dict[str, Any]:
        chosen = [{place: choice} for place, choice in self.chosen.items()]
        return {"defaults": [*self.before, "_self_", *chosen], **self.values}


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if path[1:] else value}


def _merge(values: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value
