"""Levodopa in Parkinson's disease: oral doses, plasma, two tissues, and the motor response with its delay.

Source: S. Suksai, S. Suantai, P. Wandee, "A computational pharmacokinetic-pharmacodynamic framework for simulating and
comparing individualized levodopa dosing in Parkinson's disease", Frontiers in Pharmacology 17:1817435 (2026); its
nominal configuration as transcribed in the library nlmixr2lib. The values were chosen from the literature by its
authors; nothing was fitted to patients.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.linear import propagate_linear
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Suksai et al., Front Pharmacol 17:1817435 (2026), nominal configuration"

# Proposal: coefficient of variation of each of these, log-normal and independent.
BETWEEN_SUBJECTS = 0.3
VARIED = (
    "absorption_rate",
    "to_tissue_rate",
    "from_tissue_rate",
    "to_brain_rate",
    "from_brain_rate",
    "elimination_rate",
    "equilibration_rate",
    "central_volume",
    "baseline_response",
    "greatest_effect",
    "half_effect_concentration",
)


@dataclass(frozen=True)
class Levodopa(Simulator):
    """First-order absorption, plasma with two tissues in parallel, an effect site and a sigmoid response.

    Time in hours. States: amounts in the depot, plasma, tissue and brain (mg), concentration Ce at the effect site
    (mg/L). An oral dose goes to the depot, an infusion of R mg/h (proposal: levodopa-carbidopa intestinal gel, whose
    absorption within minutes is taken as immediate) to the plasma.

        depot'  = -ka depot
        plasma' = ka depot + R - (k12 + k13 + kel) plasma + k21 tissue + k31 brain
        tissue' = k12 plasma - k21 tissue            brain' = k13 plasma - k31 brain
        Ce'     = ke0 (plasma/V - Ce)                E = E0 + Emax Ce^h / (EC50^h + Ce^h)

    The system is linear up to E, so there is a closed form. The brain compartment does not drive the response: the
    effect site follows the plasma. Doses at one instant, and overlapping infusions, add up.

    Args:
        absorption_rate: ka, 1/h.
        to_tissue_rate: k12, 1/h.
        from_tissue_rate: k21, 1/h.
        to_brain_rate: k13, 1/h.
        from_brain_rate: k31, 1/h.
        elimination_rate: kel, 1/h.
        equilibration_rate: ke0, 1/h.
        central_volume: V, L.
        baseline_response: E0, on a scale like the treatment response scale.
        greatest_effect: Emax, on the same scale.
        half_effect_concentration: EC50, mg/L.
        hill_coefficient: h.
    """

    absorption_rate: Value = 1.2
    to_tissue_rate: Value = 0.6
    from_tissue_rate: Value = 0.5
    to_brain_rate: Value = 0.25
    from_brain_rate: Value = 0.2
    elimination_rate: Value = 0.35
    equilibration_rate: Value = 0.6
    central_volume: Value = 20.0
    baseline_response: Value = 30.0
    greatest_effect: Value = 10.0
    half_effect_concentration: Value = 2.5
    hill_coefficient: Value = 2.0

    name: ClassVar[str] = "levodopa"
    time_unit: ClassVar[str] = "h"
    max_step: ClassVar[float] = 0.0625
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "absorption_rate": Parameter("/h", (0.01, 50.0), PAPER),
        "to_tissue_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "from_tissue_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "to_brain_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "from_brain_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "elimination_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "equilibration_rate": Parameter("/h", (0.0, 50.0), PAPER),
        "central_volume": Parameter("L", (0.1, 1000.0), PAPER),
        "baseline_response": Parameter("1", (0.0, 200.0), PAPER),
        "greatest_effect": Parameter("1", (0.0, 200.0), PAPER),
        "half_effect_concentration": Parameter("mg/L", (0.01, 100.0), PAPER),
        "hill_coefficient": Parameter("1", (1.0, 20.0), PAPER),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("depot", "mg", (0.0, math.inf)),
        State("plasma", "mg", (0.0, math.inf)),
        State("tissue", "mg", (0.0, math.inf)),
        State("brain", "mg", (0.0, math.inf)),
        State("effect_site", "mg/L", (0.0, math.inf)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="oral_levodopa", unit="mg", kind="bolus", plausible=(0.0, 1000.0)),
        Treatment(name="levodopa_infusion", unit="mg/h", kind="infusion", plausible=(0.0, 400.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="levodopa_concentration", unit="mg/L", plausible=(0.0, 200.0), source=PAPER),
        Variable(name="motor_response", unit="1", plausible=(0.0, 400.0), source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, 0.0, 0.0, 0.0, 0.0, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        depot, plasma, tissue, brain, effect = xp.unstack(state, axis=-1)
        absorbed = self.absorption_rate * depot
        to_tissue = self.to_tissue_rate * plasma - self.from_tissue_rate * tissue
        to_brain = self.to_brain_rate * plasma - self.from_brain_rate * brain
        return xp.stack(
            [
                -absorbed,
                absorbed + control[..., 1] - self.elimination_rate * plasma - to_tissue - to_brain,
                to_tissue,
                to_brain,
                self.equilibration_rate * (plasma / self.central_volume - effect),
            ],
            axis=-1,
        )

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        depot, *others = xp.unstack(state, axis=-1)
        return xp.stack([depot + amount[..., 0], *others], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """By the exponential of the matrix of rates."""
        xp = array_namespace(state)
        zero = xp.zeros_like(state[..., 0])
        ka, k12, k21, k13, k31, kel, ke0 = (
            zero + rate
            for rate in (
                self.absorption_rate,
                self.to_tissue_rate,
                self.from_tissue_rate,
                self.to_brain_rate,
                self.from_brain_rate,
                self.elimination_rate,
                self.equilibration_rate,
            )
        )
        rows = (
            (-ka, zero, zero, zero, zero),
            (ka, -(k12 + k13 + kel), k21, k31, zero),
            (zero, k12, -k21, zero, zero),
            (zero, k13, zero, -k31, zero),
            (zero, ke0 / self.central_volume, zero, zero, -ke0),
        )
        matrix = xp.stack([xp.stack(list(row), axis=-1) for row in rows], axis=-2)
        source = xp.stack([zero, control[..., 1], zero, zero, zero], axis=-1)
        return propagate_linear(matrix, source, dt, state)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        _, plasma, _, _, effect = xp.unstack(state, axis=-1)
        # Rounding after a long pause may leave a concentration just below 0, of which there is no power.
        relative = xp.where(effect > 0, effect, xp.zeros_like(effect)) / self.half_effect_concentration
        driven = relative**self.hill_coefficient
        response = self.baseline_response + self.greatest_effect * driven / (1.0 + driven)
        return xp.stack([plasma / self.central_volume, response], axis=-1)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal variability of 30 % around the model's values, all parameters but the Hill coefficient."""
        sd = math.sqrt(math.log1p(BETWEEN_SUBJECTS**2))
        factor = np.exp(sd * rng.standard_normal((n, len(VARIED))))
        return PopulationDraw(
            {name: getattr(self, name) * factor[:, index] for index, name in enumerate(VARIED)}, np.zeros((n, 0))
        )
