"""What a simulated cohort was made from, as plain data."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

import neurotwin
from neurotwin.simulators.engine import Engine, Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.simulator import Simulator

LONGEST = 100
"""Numbers of an array that are written out; a longer one, such as a connectome, is told by its hash."""


def provenance(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    n_subjects: int,
    seed: int,
    method: Method,
    engine: Engine,
) -> dict[str, Any]:
    """Everything that the content of a cohort depends on, as plain data."""
    return {
        "source": "simulation",
        "simulator": describe(simulator),
        "population": describe(population),
        "protocol": describe(protocol),
        "n_subjects": n_subjects,
        "seed": seed,
        "method": method,
        "engine": describe(engine),
        "versions": {"neurotwin": neurotwin.__version__, **engine.versions},
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
    if isinstance(item, np.ndarray) and item.size > LONGEST:
        return {"shape": list(item.shape), "sha256": hashlib.sha256(np.ascontiguousarray(item).tobytes()).hexdigest()}
    if isinstance(item, (list, tuple, np.ndarray)):
        return [describe(value) for value in item]
    if isinstance(item, np.generic):
        return item.item()
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    return {"_target_": f"{type(item).__module__}.{type(item).__qualname__}"}
