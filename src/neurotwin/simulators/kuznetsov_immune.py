"""Effector cells against an immunogenic tumour: dormancy and escape.

Source: V. A. Kuznetsov, I. A. Makalkin, M. A. Taylor, A. S. Perelson, "Nonlinear dynamics of immunogenic tumors:
parameter estimation and global bifurcation analysis", Bulletin of Mathematical Biology 56:295-321 (1994), the BCL1
lymphoma of the mouse; constants as in BIOMD0000000762 of the BioModels database.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Kuznetsov et al., Bull Math Biol 56:295 (1994)"
BIOMODELS = f"{PAPER}, as in BIOMD0000000762"
START = "where the reference run starts"

ESCAPE_SIZE = 1e8
"""Cells. Between the two rest points of the default parameters, 8e6 (dormant) and 4.5e8 (escaped): proposal."""
# Coefficient of variation between animals, and the tumour at the start, log-uniform (proposals).
BETWEEN_SUBJECTS = 0.25
VARIED = ("recruitment_rate", "kill_rate", "tumour_growth_rate", "effector_death_rate", "initial_effectors")
INITIAL_TUMOUR = (1e6, 2e8)


@dataclass(frozen=True)
class KuznetsovImmune(Simulator):
    """Effector cells E and tumour cells T.

    Time in days, numbers of cells.

        E' = s (1 + x_s) + u + p E T / (g + T) - m E T - d E        T' = a T (1 - b T) - n (1 + x_n) E T

    Treatments (proposals): u, effector cells transferred per day; x_s, relative change of the influx (stimulation, as
    by IL-2); x_n, relative change of the kill rate (checkpoint inhibition). What overlaps adds up.

    The tumour never dies out: below one cell it still regrows.

    Args:
        effector_influx: s, cells per day.
        recruitment_rate: p, /d.
        recruitment_half_size: g, cells: the tumour that recruits at half of p.
        inactivation_rate: m, /d per tumour cell.
        effector_death_rate: d, /d.
        tumour_growth_rate: a, /d.
        crowding: b, per cell: one over the carrying capacity.
        kill_rate: n, /d per effector cell.
        initial_effectors: E at the start, cells.
        initial_tumour: T at the start, cells.
    """

    effector_influx: Value = 1.3e4
    recruitment_rate: Value = 0.1245
    recruitment_half_size: Value = 2.019e7
    inactivation_rate: Value = 3.422e-10
    effector_death_rate: Value = 0.0412
    tumour_growth_rate: Value = 0.18
    crowding: Value = 2e-9
    kill_rate: Value = 1.101e-7
    initial_effectors: Value = 3.2e5
    initial_tumour: Value = 5e6

    name: ClassVar[str] = "kuznetsov_immune"
    time_unit: ClassVar[str] = "d"
    max_step: ClassVar[float] = 0.1
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "effector_influx": Parameter("/d", (0.0, 1e8), BIOMODELS),
        "recruitment_rate": Parameter("/d", (0.0, 10.0), BIOMODELS),
        "recruitment_half_size": Parameter("1", (1.0, 1e12), BIOMODELS),
        "inactivation_rate": Parameter("/d", (0.0, 1e-6), BIOMODELS),
        "effector_death_rate": Parameter("/d", (0.0, 10.0), BIOMODELS),
        "tumour_growth_rate": Parameter("/d", (0.0, 10.0), BIOMODELS),
        "crowding": Parameter("1", (0.0, 1e-3), BIOMODELS),
        "kill_rate": Parameter("/d", (0.0, 1e-4), BIOMODELS),
        "initial_effectors": Parameter("1", (0.0, 1e10), START, "proposal"),
        "initial_tumour": Parameter("1", (0.0, 1e12), START, "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("effectors", "1", (0.0, 1e12)),
        State("tumour", "1", (0.0, 1e14)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="effector_transfer", unit="/d", kind="infusion", plausible=(0.0, 1e7)),
        Treatment(name="immune_stimulation", unit="1", kind="setting", plausible=(-1.0, 50.0)),
        Treatment(name="checkpoint_inhibition", unit="1", kind="setting", plausible=(-1.0, 5.0)),
    )
    # One cell as offset: the model has no smaller unit, and a tumour that has all but vanished keeps a finite value.
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="effector_cells", unit="1", plausible=(0.0, 1e12), transform="log", offset=1.0, source=PAPER),
        Variable(name="tumour_cells", unit="1", plausible=(0.0, 1e12), transform="log", offset=1.0, source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_effectors, self.initial_tumour)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        effectors, tumour = xp.unstack(state, axis=-1)
        transferred, stimulation, checkpoint = xp.unstack(control, axis=-1)
        influx = self.effector_influx * (1 + stimulation) + transferred
        recruited = self.recruitment_rate * tumour / (self.recruitment_half_size + tumour)
        lost = self.inactivation_rate * tumour + self.effector_death_rate
        growth = self.tumour_growth_rate * (1 - self.crowding * tumour)
        kill = self.kill_rate * (1 + checkpoint) * effectors
        return xp.stack([influx + (recruited - lost) * effectors, (growth - kill) * tumour], axis=-1)

    def observe(self, state: Array) -> Array:
        return state

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal rates and effector cells, and a tumour that is found anywhere between small and past escape."""
        sd = np.sqrt(np.log1p(BETWEEN_SUBJECTS**2))
        factor = np.exp(sd * rng.standard_normal((n, len(VARIED))))
        parameters = {name: np.asarray(getattr(self, name) * factor[:, index]) for index, name in enumerate(VARIED)}
        low, high = np.log(INITIAL_TUMOUR)
        return PopulationDraw(
            parameters | {"initial_tumour": np.exp(low + (high - low) * rng.random(n))}, np.zeros((n, 0))
        )
