"""What a sweep is: composed from ``conf/hparams_search/NAME.yaml`` and the command line, and checked first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from neurotwin import compose
from neurotwin.errors import ConfigError
from neurotwin.overrides import Swept, key_of, parsed, split
from neurotwin.sweep import engines

VALIDATION_LOSS, ABSOLUTE_ERROR, LATENCY, PARAMETERS = "validation_loss", "absolute_error", "latency", "parameters"
CURVES = {VALIDATION_LOSS: "validation/loss", ABSOLUTE_ERROR: "validation/absolute_error"}
"""Objectives that are known after each epoch: column of metrics.csv."""
MOST_COMPOSED = 40
"""Choices that are composed beforehand; more take too long."""
_WHERE = "hparams_search"


@dataclass(frozen=True)
class Settings:
    """A sweep.

    Attributes:
        name: of the study in the storage, and of the folder.
        overrides: of every trial.
        space: what is searched.
        objectives: name -> direction. `VALIDATION_LOSS` is the best validation loss, `ABSOLUTE_ERROR` the validation
            error of that epoch, `LATENCY` the median time of one answer by the exported graphs in ms, `PARAMETERS`
            the number of weights; another name is a measure of the run's.
        sampler, sampler_seed, pruner, options: names, and the arguments of Optuna's classes by name.
        seeds: a trial is trained once per seed, and its value is the mean; none: once, with the experiment's own.
        trials: how many in all; None: a whole grid.
        timeout: longest time of a trial, s.
        give_up: failures after which a sweep without any success stops.
    """

    name: str
    overrides: tuple[str, ...]
    space: tuple[Swept, ...]
    objectives: Mapping[str, Literal["minimize", "maximize"]]
    sampler: str
    sampler_seed: int
    pruner: str | None
    options: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    trials: int | None
    timeout: float | None
    give_up: int

    def identity(self) -> dict[str, Any]:
        """What must stay as it is when a sweep is gone on with."""
        return {
            "overrides": list(self.overrides),
            "search": {item.key: str(engines.distribution(item)) for item in self.space},
            "objectives": dict(self.objectives),
            "seeds": list(self.seeds),
            "grid": self.sampler == "grid",
        }

    def grid(self) -> list[dict[str, Any]]:
        """All points of the space, the last key fastest. Raises ConfigError where a key has no end of values."""
        keys = [item.key for item in self.space]
        return [dict(zip(keys, point, strict=True)) for point in product(*map(engines.values, self.space))]

    def wanted(self) -> int:
        """How many trials in all."""
        if self.sampler != "grid":
            return self.trials or 0
        whole = len(self.grid())
        return whole if self.trials is None else min(self.trials, whole)


def read_settings(arguments: Sequence[str], trials: int | None = None) -> Settings:
    """From the words of the command line: ``hparams_search...`` changes the sweep, all else its trials.

    A key that the command line gives one value is no longer searched. Raises ConfigError for what is wrong.
    """
    own = [item for item in arguments if item.lstrip("+~").startswith(_WHERE)]
    fixed, swept = split([item for item in arguments if item not in own])
    folders = [item for item in fixed if item.startswith("hydra.searchpath=")]
    plain = compose.compose("sweep", [*own, *folders])[_WHERE]
    if unknown := sorted(set(plain) - set(Settings.__annotations__) - {"search"}):
        raise ConfigError(f"unknown key {unknown[0]!r}", where=_WHERE, expected=", ".join(Settings.__annotations__))
    search = plain["search"] or {}
    single, listed = split([f"{key}={value}" for key, value in search.items()])
    if single:
        raise ConfigError(f"{single[0]} is one value", where=f"{_WHERE}.search", remedy="put it into overrides")
    said = {key_of(item) for item in parsed(fixed)} | {item.key.lstrip("+") for item in swept}
    settings = Settings(
        name=_name(plain["name"]),
        overrides=(*plain["overrides"], *fixed),
        space=(*(item for item in listed if item.key.lstrip("+") not in said), *swept),
        objectives=_objectives(plain["objectives"]),
        sampler=_word(plain["sampler"], "sampler", engines.SAMPLERS),
        sampler_seed=int(plain["sampler_seed"]),
        pruner=None if plain["pruner"] is None else _word(plain["pruner"], "pruner", engines.PRUNERS),
        options={name: dict(options or {}) for name, options in plain["options"].items()},
        seeds=_seeds(plain["seeds"]),
        trials=_number(plain["trials"] if trials is None else trials, "trials", whole=True),
        timeout=_number(plain["timeout"], "timeout"),
        give_up=_number(plain["give_up"], "give_up", whole=True) or 5,
    )
    _check(settings)
    return settings


def check_trials(settings: Settings) -> dict[str, Any]:
    """Compose the first trial, and once each choice of each key; returns the first.

    Raises:
        ConfigError: a key or a choice is wrong, or the trials would not log their losses.
    """
    first = {item.key: (item.choices or (item.low,))[0] for item in settings.space}
    config = _composed(settings, first)
    loggers = [node.get("_target_", "") for node in (config.get("logger") or {}).values() if node]
    if not any(target.endswith(".CSVLogger") for target in loggers):
        raise ConfigError(
            "the trials keep no metrics.csv",
            where="logger",
            expected="logger=csv, or 'logger=[csv,wandb]' and the like",
        )
    others = [(item, choice) for item in settings.space for choice in item.choices[1:]]
    for item, choice in others[:MOST_COMPOSED]:
        _composed(settings, {**first, item.key: choice})
    return config


def _composed(settings: Settings, params: Mapping[str, Any]) -> dict[str, Any]:
    overrides = [item.override(params[item.key]) for item in settings.space]
    return compose.compose("train", [*settings.overrides, *overrides, "paths.output_dir=trial"])


def _check(settings: Settings) -> None:
    if not settings.space:
        raise ConfigError(
            "nothing is searched", where=_WHERE, remedy="name a search, hparams_search=NAME, or give a key two values"
        )
    names = [item.key.lstrip("+") for item in settings.space]
    for name in names:
        if (
            names.count(name) > 1
            or (name == "seed" and settings.seeds)
            or name.startswith(("paths.", "hydra", "resume"))
        ):
            raise ConfigError(f"{name} cannot be searched, or not twice", where=_WHERE)
    engines.sampler(settings.sampler, settings.options.get(settings.sampler, {}), settings.sampler_seed)
    engines.pruner(settings.pruner, settings.options.get(settings.pruner or "", {}))
    if settings.sampler == "grid":
        settings.grid()
    elif settings.trials is None:
        raise ConfigError("trials is missing", where=f"{_WHERE}.trials", expected="a number, as the search has no end")
    if settings.pruner and not (len(settings.objectives) == 1 and set(settings.objectives) <= set(CURVES)):
        raise ConfigError(
            "a pruner watches what is known after each epoch",
            where=f"{_WHERE}.pruner",
            expected=f"{' or '.join(CURVES)} as the only objective",
            remedy="add hparams_search.pruner=null",
        )
    if VALIDATION_LOSS in settings.objectives and any(name.partition(".")[0] == "loss" for name in names):
        raise ConfigError(
            "trials with different losses cannot be compared by their loss",
            where=f"{_WHERE}.objectives",
            remedy=f"take {ABSOLUTE_ERROR}: '~hparams_search.objectives.{VALIDATION_LOSS}' "
            f"+hparams_search.objectives.{ABSOLUTE_ERROR}=minimize",
        )


def _objectives(given: Any) -> dict[str, Literal["minimize", "maximize"]]:
    if not isinstance(given, dict) or not given or not set(given.values()) <= {"minimize", "maximize"}:
        raise ConfigError(f"objectives is {given!r}", where=_WHERE, expected="NAME: minimize, or NAME: maximize")
    if wrong := [name for name in given if name in CURVES and given[name] == "maximize"]:
        raise ConfigError(f"{wrong[0]} is to be maximized", where=f"{_WHERE}.objectives", expected="minimize")
    return dict(given)


def _word(given: Any, part: str, known: Mapping[str, str]) -> str:
    if given not in known:
        raise ConfigError(f"no {part} named {given!r}", where=f"{_WHERE}.{part}", expected=" | ".join(known))
    return str(given)


def _seeds(given: Any) -> tuple[int, ...]:
    good = isinstance(given, list) and all(isinstance(item, int) and not isinstance(item, bool) for item in given)
    if not good or len(set(given)) < len(given) or any(item < 0 for item in given):
        raise ConfigError(f"seeds is {given!r}", where=f"{_WHERE}.seeds", expected="different whole numbers, or []")
    return tuple(given)


def _number(given: Any, part: str, *, whole: bool = False) -> Any:
    kinds = int if whole else (int, float)
    if given is not None and (isinstance(given, bool) or not isinstance(given, kinds) or not 0 < given < float("inf")):
        raise ConfigError(f"{part} is {given!r}", where=f"{_WHERE}.{part}", expected="a positive number, or null")
    return given


def _name(given: Any) -> str:
    name = str(given)
    if not name or name.startswith(".") or any(not (item.isalnum() or item in "_-.") for item in name):
        raise ConfigError(f"name is {given!r}", where=f"{_WHERE}.name", expected="letters, digits, _ - and .")
    return name
