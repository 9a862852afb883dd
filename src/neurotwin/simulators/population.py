"""Who the virtual patients are: their parameters and covariates."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neurotwin.errors import SimulationError
from neurotwin.simulators.simulator import PopulationDraw, Simulator


class Population(Protocol):
    """Draws virtual patients of a simulator."""

    def draw(self, simulator: Simulator, n: int, rng: np.random.Generator) -> PopulationDraw:
        """``n`` patients."""
        ...


@dataclass(frozen=True)
class Published:
    """The variability published for the model, written down in the model's own file."""

    def draw(self, simulator: Simulator, n: int, rng: np.random.Generator) -> PopulationDraw:
        return simulator.published_population(n, rng)


@dataclass(frozen=True)
class Proposed:
    """A variability that this project proposes where none was published; the model's sheet says where from."""

    def draw(self, simulator: Simulator, n: int, rng: np.random.Generator) -> PopulationDraw:
        return simulator.proposed_population(n, rng)


@dataclass(frozen=True)
class Typical:
    """No variability: everyone has the simulator's parameters, for the given or else the typical covariates.

    Args:
        statics: covariates by name, a number or the name of a level; those not named are the model's typical ones.
    """

    statics: dict[str, float | str] | None = None

    def draw(self, simulator: Simulator, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Raises SimulationError for a covariate or level that the model does not have."""
        raw = np.tile(np.array(simulator.typical_statics, dtype=np.float64), (n, 1))
        names = [static.name for static in simulator.statics]
        for name, value in (self.statics or {}).items():
            if name not in names:
                raise SimulationError(f"no covariate {name!r}", where="population", expected=" | ".join(names))
            raw[:, names.index(name)] = _number(simulator, names.index(name), value)
        columns, _ = simulator.schema.encode_statics(raw)
        covariates = dict(zip(simulator.schema.static_columns, columns.T, strict=True))
        parameters = simulator.typical_parameters(covariates)
        return PopulationDraw(
            {name: np.broadcast_to(value, (n,)).astype(np.float64) for name, value in parameters.items()}, raw
        )


def _number(simulator: Simulator, index: int, value: float | str) -> float:
    static = simulator.statics[index]
    if static.levels:
        if str(value) not in static.levels:
            raise SimulationError(f"{static.name} is {value!r}", where="population", expected=" | ".join(static.levels))
        return float(static.levels.index(str(value)))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise SimulationError(f"{static.name} is {value!r}", where="population", expected=f"a number in {static.unit}")
    return float(value)
