"""The one place that knows Hydra: turns a config name and overrides into objects.

Everything below takes objects. A `_target_` is checked against an allow-list before anything is imported, and what it
names must be a class defined there: a dotted path also reaches what a module has imported. Packages of your own are let
in by name with the environment variable NEUROTWIN_TRUST (comma-separated). Arguments are checked against the
constructor's annotations, so that a wrong type is told by its key.
"""

import difflib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from neurotwin.errors import ConfigError, NeurotwinError
from neurotwin.extras import need
from neurotwin.paths import conf_dir

TRUSTED = (
    "neurotwin.data.", "neurotwin.models.", "neurotwin.solvers.", "neurotwin.training.", "neurotwin.simulators.", "torch.optim.", "torch.nn.",
    "lightning.pytorch.Trainer", "lightning.pytorch.callbacks.", "lightning.pytorch.loggers.",
)  # fmt: skip
"""Where targets may be."""
DEFINED = (*TRUSTED, "lightning.pytorch.trainer.trainer.")
"""Where what they name may have been defined: a class, or a function that is one of the schedules."""
SCHEDULES = "neurotwin.training.schedule"
FLAGS = (
    "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run", "-m", "--multirun", "-sc",
    "--shell-completion", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir", "--experimental-rerun", "-i", "--info",
)  # fmt: skip
"""Hydra's own options."""


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
        return plain(config, config_name)
    except errors.OmegaConfBaseException as error:
        raise _explain_value(error, config_name) from None
    except hydra.errors.HydraException as error:
        raise _explain(error, config_name, overrides) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not readable as YAML: {_first_line(error)}", where=f"conf/{config_name}.yaml") from None
    except RecursionError:
        raise ConfigError("the configuration refers to itself", where=f"conf/{config_name}.yaml") from None


def hydra_main(config_name: str, arguments: Sequence[str], job: Callable[[dict[str, Any]], Any]) -> None:
    """Run as an ordinary Hydra application: ``-m`` sweeps, ``--cfg job`` prints, and so on.

    Raises:
        ConfigError: an option that Hydra does not know.
        SystemExit: a job failed; its error is told in one line, and the jobs before it stay.
    """
    hydra = need("hydra", "simulate")
    if unknown := [item for item in arguments if item.startswith("-") and item.split("=")[0] not in FLAGS]:
        raise ConfigError(f"unknown option {unknown[0]!r}", where="the command line", expected="KEY=VALUE, or an option of Hydra's such as -m")

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)  # type: ignore[untyped-decorator]
    def application(config: Any) -> Any:
        try:
            return job(plain(config, config_name))
        except NeurotwinError as error:
            # Hydra would print a traceback and lose the exit code.
            print(error, file=sys.stderr)
            raise SystemExit(error.exit_code) from None

    sys.argv = [sys.argv[0], *arguments]
    application()


def plain(config: Any, config_name: str) -> dict[str, Any]:
    """A composed configuration as plain data, every interpolation resolved, nothing missing; else ConfigError."""
    errors = need("omegaconf.errors", "simulate")
    try:
        return dict(need("omegaconf", "simulate").OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    except errors.OmegaConfBaseException as error:
        raise _explain_value(error, config_name) from None


def build(node: Any, where: str) -> Any:
    """Instantiate plain data with `_target_` keys.

    Raises:
        ConfigError: a target that is not trusted, or an argument that its constructor refuses.
    """
    hydra = need("hydra.utils", "simulate")
    errors = need("hydra.errors", "simulate")
    own = tuple(f"{name.strip()}." for name in os.environ.get("NEUROTWIN_TRUST", "").split(",") if name.strip())
    nodes = list(_nodes(node, where))
    for place, item in nodes:
        _check_target(item.get("_target_", ""), place, own)
    try:
        for place, item in nodes:
            if "_target_" in item:
                _check_arguments(_locate(item["_target_"], place, own), item, place)
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
    except (NeurotwinError, MemoryError, OSError):
        raise
    except Exception as error:
        raise ConfigError(_first_line(error), where=where) from None


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
        raise ConfigError(f"{node!r} would be resolved here", where=place, expected="a configuration whose interpolations are resolved")


def _check_target(target: Any, place: str, own: tuple[str, ...]) -> None:
    """Before anything is imported."""
    if target == "":
        return
    private = isinstance(target, str) and any(part.startswith("_") for part in target.split("."))
    if not isinstance(target, str) or private or not target.startswith((*TRUSTED, *own)):
        raise ConfigError(f"target {target!r} is not trusted", where=place, expected="a class in " + ", ".join(TRUSTED),
                          remedy="name your package in NEUROTWIN_TRUST to let it in")  # fmt: skip


def _locate(target: str, place: str, own: tuple[str, ...]) -> Any:
    """What a trusted path names, if it was defined in a trusted place too."""
    try:
        found = need("hydra.utils", "simulate").get_object(target)
    except ImportError:
        raise ConfigError(f"no target {target!r}", where=place, expected="a class that can be imported") from None
    home = f"{getattr(found, '__module__', '')}."
    if target.startswith(own or "\0") or (inspect.isclass(found) and home.startswith(DEFINED)) or home == f"{SCHEDULES}.":
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
            words = str(getattr(hints[key], "__name__", hints[key])).replace("typing.", "").replace("pathlib.", "").replace("torch.", "")
            raise ConfigError(f"{key} is {value!r}", where=f"{place}.{key}", expected=words)


def _fits(value: Any, hint: Any) -> bool:
    """Could plain data be meant by an annotation? In doubt, yes: the constructor will say."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in choices)
    if origin is Literal:
        return value in choices
    if hint in (int, float, bool, str, None, NoneType):
        kinds = {int: int, float: (int, float), bool: bool, str: str}.get(hint, NoneType)
        return isinstance(value, kinds) and (hint is bool or not isinstance(value, bool))
    if not isinstance(value, int | float | str):
        return True
    # A number or a word where an object, a list or a mapping is meant; a path may be a word.
    return not isinstance(origin or hint, type) or origin is type or (isinstance(value, str) and hint is Path) or hint is object


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
    if isinstance(error, need("hydra.errors", "simulate").OverrideParseException):
        return ConfigError(f"not an override: {error.override!r}", where="the command line", expected="KEY=VALUE")
    return ConfigError(_first_line(error), where=f"conf/{config_name}.yaml")


def _explain_value(error: Any, config_name: str) -> ConfigError:
    """One line out of OmegaConf's several, with the key."""
    key, where = str(getattr(error, "full_key", None) or ""), f"conf/{config_name}.yaml"
    if isinstance(error, need("omegaconf.errors", "simulate").MissingMandatoryValue):
        return ConfigError(f"{key} is missing", where=where, expected=f"{key}=...")
    return ConfigError(_first_line(error), where=f"{where}: {key}" if key else where)


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
