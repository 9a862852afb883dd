"""Optuna's parts: samplers, pruners, and the distributions of a search space."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.overrides import Swept

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "grid": "RandomSampler", "nsga2": "NSGAIISampler"}
"""A grid is laid out beforehand; its sampler has nothing to draw."""
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "halving": "SuccessiveHalvingPruner",
}


def sampler(name: str, options: Mapping[str, Any], seed: int) -> Any:
    """A sampler with a seed of its own. Raises ConfigError for an argument that Optuna does not take."""
    return _make(need("optuna.samplers", "sweep"), SAMPLERS, name, {**options, "seed": seed})


def pruner(name: str | None, options: Mapping[str, Any]) -> Any:
    """A pruner; without a name, one that prunes nothing."""
    pruners = need("optuna.pruners", "sweep")
    return pruners.NopPruner() if name is None else _make(pruners, PRUNERS, name, options)


def _make(module: Any, known: Mapping[str, str], name: str, options: Mapping[str, Any]) -> Any:
    where = f"hparams_search.options.{name}"
    factory: Callable[..., Any] = getattr(module, known[name])
    takes = [key for key in inspect.signature(factory).parameters if key != "seed"]
    if unknown := sorted(set(options) - {*takes, "seed"}):
        near = difflib.get_close_matches(unknown[0], takes, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{name} takes no {unknown[0]}", where=where, expected=", ".join(takes), remedy=hint)
    try:
        return factory(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error).splitlines()[0], where=where) from None


def distribution(item: Swept) -> Any:
    """A key's values, as Optuna says them."""
    kinds = need("optuna.distributions", "sweep")
    if item.choices:
        return kinds.CategoricalDistribution(item.choices)
    if _is_whole(item):
        return kinds.IntDistribution(item.low, item.high, log=item.log, step=int(item.step or 1))
    return kinds.FloatDistribution(item.low, item.high, log=item.log, step=item.step)


def values(item: Swept) -> list[Any]:
    """All values of a key, for a grid. Raises ConfigError where there is no end of them."""
    if item.choices:
        return list(item.choices)
    if item.step is None and not _is_whole(item):
        raise ConfigError(f"{item.key} has no end of values", where="a grid", expected="choice(...) or range(...)")
    step = item.step or 1
    return [item.low + step * number for number in range(round((item.high - item.low) / step) + 1)]


def _is_whole(item: Swept) -> bool:
    return isinstance(item.low, int) and isinstance(item.high, int)
