"""Low-grade glioma under chemotherapy: the equations that Ribba 2012 (PCV) and Mazzocco 2015 (temozolomide) share."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.schema import Variable
from neurotwin.simulators.simulator import Array, Simulator, State, Value, stack_state

RIBBA = "Ribba et al., Clin Cancer Res 18:5071 (2012)"
MAZZOCCO = "Mazzocco et al., CPT Pharmacometrics Syst Pharmacol 4:728 (2015)"
LARGEST = 1e4
"""mm, ten metres: a state beyond it is a fault of the numbers, not a tumour."""


@dataclass(frozen=True)
class GliomaChemo(Simulator):
    """Proliferative tissue P, quiescent tissue Q, damaged quiescent tissue D and a virtual drug C.

    Time in months (30.4375 d). P, Q and D are parts of the mean tumour diameter (mm); one cycle of therapy is one unit
    of C, given at an instant. tau is the time since the first dose, 0 before it.

        C' = -KDE C
        P' = lambda P (1 - (P + Q + D)/K) + k_DP D - k_PQ P - gamma KDE C exp(-res tau) P
        Q' = k_PQ P - gamma KDE C Q
        D' = gamma KDE C Q - k_DP D - delta D

    Resistance acts on the proliferative tissue only. When therapy began is remembered by the state: a dose sets
    ``treated`` to 1, and ``therapy_time`` (tau) runs from then on. Doses at one instant act as one of their sum.

    Not a model by itself: the published ones are its subclasses, which give the defaults and describe the fields.
    """

    growth_rate: Value
    carrying_capacity: Value
    quiescence_rate: Value
    repair_rate: Value
    death_rate: Value
    drug_efficacy: Value
    resistance_rate: Value
    drug_elimination: Value
    initial_proliferative: Value
    initial_quiescent: Value

    time_unit: ClassVar[str] = "mo"
    states: ClassVar[tuple[State, ...]] = (
        State("drug", "1", (0.0, 1e3)),
        State("proliferative", "mm", (0.0, LARGEST)),
        State("quiescent", "mm", (0.0, LARGEST)),
        State("damaged", "mm", (0.0, LARGEST)),
        State("treated", "1", (0.0, 1.0)),
        State("therapy_time", "mo", (0.0, 1e4)),
    )
    # As measured on MRI: the cube root of the product of the three largest perpendicular diameters.
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="mean_tumour_diameter", unit="mm", plausible=(0.0, 500.0), source=RIBBA),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, 0.0, self.initial_proliferative, self.initial_quiescent, 0.0, 0.0, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        drug, proliferative, quiescent, damaged, treated, therapy_time = xp.unstack(state, axis=-1)
        elimination = self.drug_elimination * drug
        kill = self.drug_efficacy * elimination
        room = 1 - (proliferative + quiescent + damaged) / self.carrying_capacity
        resting, repaired, hit = self.quiescence_rate * proliferative, self.repair_rate * damaged, kill * quiescent
        lost = kill * xp.exp(-self.resistance_rate * therapy_time) * proliferative
        return xp.stack(
            [
                -elimination,
                self.growth_rate * proliferative * room + repaired - resting - lost,
                resting - hit,
                hit - repaired - self.death_rate * damaged,
                xp.zeros_like(drug),
                treated,
            ],
            axis=-1,
        )

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        drug, proliferative, quiescent, damaged, treated, therapy_time = xp.unstack(state, axis=-1)
        dose = amount[..., 0]
        begun = xp.where(dose > 0, xp.ones_like(treated), treated)
        return xp.stack([drug + dose, proliferative, quiescent, damaged, begun, therapy_time], axis=-1)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        _, proliferative, quiescent, damaged, _, _ = xp.unstack(state, axis=-1)
        return xp.stack([proliferative + quiescent + damaged], axis=-1)


def log_normal(cv: dict[str, float], n: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Factors around 1 by field name, each ``[n]``, with these coefficients of variation: omega^2 = ln(1 + CV^2)."""
    sd = np.sqrt(np.log1p(np.square(list(cv.values()))))
    factor = np.exp(sd * rng.standard_normal((n, len(sd))))
    return {name: factor[:, index] for index, name in enumerate(cv)}
