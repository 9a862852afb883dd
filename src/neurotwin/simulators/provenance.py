"""What a simulated cohort was made from, as plain data."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import scipy

import neurotwin
from neurotwin.simulators.engine import Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.simulator import Simulator


def provenance(
    simulator: Simulator, population: Population, protocol: Protocol, n_subjects: int, seed: int, method: Method
) -> dict[str, Any]:
    """Everything that the content of a cohort depends on, as plain data."""
    versions = {"neurotwin": neurotwin.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    return {
        "source": "simulation",
        "simulator": describe(simulator),
        "population": describe(population),
        "protocol": describe(protocol),
        "n_subjects": n_subjects,
        "seed": seed,
        "method": method,
        "versions": versions,
    }


def describe(item: Any) -> Any:
    """An object as plain data: its class and its fields."""
    if is_dataclass(item) and not isinstance(item, type):
        kind = type(item)
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}"} | {
            f.name: describe(getattr(item, f.name)) for f in fields(item)
        }
    if isinstance(item, Mapping):
        return {str(key): describe(value) for key, value in item.items()}
    if isinstance(item, (list, tuple, np.ndarray)):
        return [describe(value) for value in item]
    if isinstance(item, np.generic):
        return item.item()
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    return {"_target_": f"{type(item).__module__}.{type(item).__qualname__}"}
