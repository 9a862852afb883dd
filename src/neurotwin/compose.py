"""The one place that knows Hydra: turns a config name and overrides into objects.

Everything below takes objects. A `_target_` is checked against an allow-list before anything is imported; packages of
your own are let in by name with the environment variable NEUROTWIN_TRUST (comma-separated).
"""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from neurotwin.errors import ConfigError, NeurotwinError
from neurotwin.extras import need
from neurotwin.paths import conf_dir

TRUSTED = ("neurotwin.", "torch.optim.", "torch.nn.", "lightning.pytorch.")


def compose(config_name: str, overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """Compose and resolve a configuration to plain data.

    Args:
        config_name: a file at the top of the configuration tree, without ``.yaml``.
        overrides: in Hydra's syntax.
        config_dir: one more folder to search, for experiments of your own.

    Raises:
        ConfigError: an unknown key or choice (the nearest is shown), a missing value, a cycle, an unreadable file.
    """
    hydra, errors = need("hydra", "simulate"), need("omegaconf.errors", "simulate")
    search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = hydra.compose(config_name, [*overrides, *search])
        return plain(config)
    except errors.OmegaConfBaseException as error:
        raise ConfigError(_first_line(error), where=f"conf/{config_name}.yaml") from None
    except hydra.errors.HydraException as error:
        raise _explain(error, config_name, overrides) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not readable as YAML: {_first_line(error)}", where=f"conf/{config_name}.yaml") from None
    except RecursionError:
        raise ConfigError("the configuration refers to itself", where=f"conf/{config_name}.yaml") from None


def plain(config: Any) -> dict[str, Any]:
    """A composed configuration as plain data, every interpolation resolved, nothing missing."""
    content = need("omegaconf", "simulate").OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return dict(content)


def build(node: Any, where: str) -> Any:
    """Instantiate plain data with `_target_` keys.

    Raises:
        ConfigError: a target that is not trusted, or an argument that its constructor refuses.
    """
    for target in _targets(node):
        trusted = (*TRUSTED, *(f"{name.strip()}." for name in os.environ.get("NEUROTWIN_TRUST", "").split(",") if name.strip()))
        if not isinstance(target, str) or not target.startswith(trusted):
            raise ConfigError(f"target {target!r} is not trusted", where=where, expected="a target in " + ", ".join(TRUSTED),
                              remedy="name your package in NEUROTWIN_TRUST to let it in")  # fmt: skip
    hydra = need("hydra.utils", "simulate")
    errors = need("hydra.errors", "simulate")
    try:
        return hydra.instantiate(node, _convert_="all")
    except errors.InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, NeurotwinError):
            raise cause from None
        raise ConfigError(_first_line(cause), where=where) from None


def call(factory: Any, where: str, *args: Any, **more: Any) -> Any:
    """Call a partial that `build` made; what its constructor refuses becomes a ConfigError."""
    try:
        return factory(*args, **more)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(_first_line(error), where=where) from None


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_target_":
                yield value
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _explain(error: Exception, config_name: str, overrides: Sequence[str]) -> ConfigError:
    """One line out of Hydra's several, with the nearest key or the choices there are."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        return ConfigError(f"unknown key {key!r}", where=f"conf/{config_name}.yaml", remedy=_nearest(key, config_name, overrides))
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = found.group(1).rpartition("/")
        choices = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        near = difflib.get_close_matches(choice, choices, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        return ConfigError(f"no {group or 'config'} named {choice!r}", where=f"conf/{group}", expected=" | ".join(choices), remedy=hint)
    if found := re.search(r"Could not override '([^']+)'.*No match", text, re.DOTALL):
        return ConfigError(f"unknown group {found.group(1)!r}", where=f"conf/{config_name}.yaml")
    return ConfigError(_first_line(error), where=f"conf/{config_name}.yaml")


def _nearest(key: str, config_name: str, overrides: Sequence[str]) -> str:
    """The key most like a wrong one, among those of the composed configuration without it."""
    others = [item for item in overrides if item.split("=")[0].lstrip("+~") != key]
    groups = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    try:
        hydra = need("hydra", "simulate")
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            known = [*_keys(need("omegaconf", "simulate").OmegaConf.to_container(hydra.compose(config_name, others), resolve=False)), *groups]
    except need("hydra.errors", "simulate").HydraException:
        known = groups
    near = difflib.get_close_matches(key, known, 1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"add it with +{key}=... if it is meant"


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            path = f"{prefix}{key}"
            yield path
            yield from _keys(value, f"{path}.")
