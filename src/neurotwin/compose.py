"""The one place that knows Hydra: turns a config name and overrides into objects.

Everything below takes objects. What a configuration may name is decided in `neurotwin.targets`.
"""

import difflib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from neurotwin.errors import ConfigError, NeurotwinError
from neurotwin.extras import need
from neurotwin.paths import conf_dir
from neurotwin.targets import check_targets

FLAGS = re.compile(
    "-h|--help|--hydra-help|--version|-c|--cfg|--resolve|-p|--package|-r|--run|-m|--multirun|-sc|--shell-completion|"
    "-cp|--config-path|-cn|--config-name|-cd|--config-dir|--experimental-rerun|-i|--info"
)
"""Hydra's own options."""
EXPERIMENT_FILE = re.compile(r"experiment=.+\.ya?ml['\"]?")


def compose(config_name: str, overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """Compose and resolve a configuration to plain data.

    Args:
        config_name: a file at the top of the configuration tree, without ``.yaml``.
        overrides: in Hydra's syntax; ``experiment=FILE.yaml`` takes an experiment from a file.
        config_dir: one more folder to search, for experiments of your own.

    Raises:
        ConfigError: an unknown key or choice (the nearest is shown), a missing value, a cycle, an unreadable file.
    """
    search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
    with _with_files([*overrides, *search]) as given:
        return plain(_composed(config_name, given), config_name)


@contextmanager
def _with_files(overrides: Sequence[str]) -> Iterator[list[str]]:
    """``experiment=FILE.yaml`` as a choice of its group, in a search path that lasts as long as the context."""
    files = [
        Path(item.removeprefix("experiment=").strip("'\"")) for item in overrides if EXPERIMENT_FILE.fullmatch(item)
    ]
    if not files:
        yield list(overrides)
        return
    if not files[-1].is_file():
        raise ConfigError("no such experiment file", where=str(files[-1]), expected="a YAML file, or a name")
    with tempfile.TemporaryDirectory(prefix="neurotwin-") as folder:
        name = f"file_{re.sub(r'[^a-zA-Z0-9_]', '_', files[-1].stem)}"
        (Path(folder) / "experiment").mkdir()
        shutil.copyfile(files[-1], Path(folder) / "experiment" / f"{name}.yaml")
        given = [item for item in overrides if not EXPERIMENT_FILE.fullmatch(item)]
        paths = [item for item in given if item.startswith("hydra.searchpath=[")]
        others = [item.removeprefix("hydra.searchpath=[").removesuffix("]") for item in paths]
        search = f"hydra.searchpath=[{','.join([f'file://{folder}', *others])}]"
        yield [*(item for item in given if item not in paths), f"experiment={name}", search]


def _composed(config_name: str, overrides: Sequence[str]) -> Any:
    hydra, errors = need("hydra", "simulate"), need("omegaconf.errors", "simulate")
    if nameless := [item for item in overrides if item.lstrip("+~").startswith("=")]:
        raise _not_an_override(nameless[0])
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra.compose(config_name, list(overrides))
    except errors.OmegaConfBaseException as error:
        raise _explain_value(error, config_name) from None
    except hydra.errors.HydraException as error:
        raise _explain(error, config_name, overrides) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not readable as YAML: {_first_line(error)}", where=f"conf/{config_name}.yaml") from None
    except RecursionError:
        raise ConfigError("the configuration refers to itself", where=f"conf/{config_name}.yaml") from None
    except ValueError as error:
        # Hydra's own check of a group that was set to null.
        remedy = "drop a group with ~GROUP"
        raise ConfigError(_first_line(error), where=f"conf/{config_name}.yaml", remedy=remedy) from None


def hydra_main(config_name: str, arguments: Sequence[str], job: Callable[[dict[str, Any]], Any]) -> None:
    """Run as an ordinary Hydra application: ``-m`` sweeps, ``--cfg job`` prints, and so on.

    Raises:
        ConfigError: an option that Hydra does not know.
        SystemExit: a job failed; its error is told in one line, and the jobs before it stay.
    """
    hydra = need("hydra", "simulate")
    if unknown := [item for item in arguments if item.startswith("-") and not FLAGS.fullmatch(item.split("=")[0])]:
        raise ConfigError(
            f"unknown option {unknown[0]!r}",
            where="the command line",
            expected="KEY=VALUE, or an option of Hydra's such as -m",
        )
    with _with_files(arguments) as given:
        _run_application(hydra, config_name, given, job)


def _run_application(
    hydra: Any, config_name: str, arguments: Sequence[str], job: Callable[[dict[str, Any]], Any]
) -> None:
    if {item for item in arguments if item.startswith("-")} <= {"-m", "--multirun"}:
        _check_sweep(config_name, [item for item in arguments if not item.startswith("-")])

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


def _check_sweep(config_name: str, overrides: Sequence[str]) -> None:
    """Compose once without what is swept: a wrong key is told as in a single run, not in Hydra's many lines."""
    errors = need("hydra.errors", "simulate")
    parser = need("hydra.core.override_parser.overrides_parser", "simulate").OverridesParser.create()
    try:
        parsed = parser.parse_overrides(list(overrides))
    except errors.HydraException as error:
        raise _explain(error, config_name, overrides) from None
    fixed = [
        item.input_line for item in parsed if not item.is_sweep_override() and not item.key_or_group.startswith("hydra")
    ]
    _composed(config_name, fixed)


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
    check_targets(node, where)
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
    except (NeurotwinError, MemoryError, OSError):
        raise
    except Exception as error:
        raise ConfigError(_first_line(error), where=where) from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _explain(error: Exception, config_name: str, overrides: Sequence[str]) -> ConfigError:
    """One line out of Hydra's several, with the nearest key or the choices there are."""
    text = str(error)
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        return ConfigError(
            f"unknown key {key!r}", where=f"conf/{config_name}.yaml", remedy=_nearest(key, config_name, overrides)
        )
    if found := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = found.group(1).rpartition("/")
        choices = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        near = difflib.get_close_matches(choice, choices, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        return ConfigError(
            f"no {group or 'config'} named {choice!r}", where=f"conf/{group}", expected=" | ".join(choices), remedy=hint
        )
    if isinstance(error, need("hydra.errors", "simulate").OverrideParseException):
        return _not_an_override(error.override)
    return ConfigError(_first_line(error), where=f"conf/{config_name}.yaml")


def _not_an_override(text: str) -> ConfigError:
    return ConfigError(f"not an override: {text!r}", where="the command line", expected="KEY=VALUE")


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
            known = [
                *_keys(
                    need("omegaconf", "simulate").OmegaConf.to_container(
                        hydra.compose(config_name, others), resolve=False
                    )
                ),
                *groups,
            ]
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
