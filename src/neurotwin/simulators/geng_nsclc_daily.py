"""Geng's lung tumour as the daily map of the cancer counterfactual benchmark, without its noise.

Source: as `geng_nsclc_map`, whose course this is. A mechanism to put inside a model, not a simulator of cohorts: one
Euler step of one day, of the logarithm of the volume, is exactly the map's day.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from neurotwin.schema import Treatment
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.geng_nsclc_map import CHEMO_DOSE, RADIO_DOSE
from neurotwin.simulators.simulator import Array, Parameter, Simulator, State, stack_state

LEAST_LEFT = 0.05
"""Share of a volume that a day leaves at least: below it a logarithm says more of rounding than of the patient."""


@dataclass(frozen=True)
class GengNsclcDaily(GengNsclc):
    """The map's day as a slope, to be stepped by Euler's method with steps of 1 d, the volume as its logarithm.

        (ln V)' = ln(1 + rho ln(K/V) - beta_c C - alpha d - beta d^2)        C' = -(1 - 2^(-1 d / T)) C        d' = -d
        chemotherapy: C <- C + 5 mg/m3        radiotherapy: d <- d + 2 Gy        at an instant, per application

    As in the benchmark, treatments are counted in applications. A fraction acts during the day after it was given, and
    takes away a share of the volume rather than a factor exp(-(...)) of it; of a volume that would be 0 or negative, a
    twentieth is left, for a logarithm. Parameters as of `GengNsclc`.
    """

    name: ClassVar[str] = "lung_tumour_daily"
    max_step: ClassVar[float] = 1.0
    parameters: ClassVar[Mapping[str, Parameter]] = GengNsclc.parameters
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="chemotherapy", unit="1", kind="bolus"),
        Treatment(name="radiotherapy", unit="1", kind="bolus"),
    )
    states: ClassVar[tuple[State, ...]] = (*GengNsclc.states, State("fraction", "Gy", (0.0, math.inf)))

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_volume, self.initial_concentration, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        volume, concentration, fraction = xp.unstack(state, axis=-1)
        killed = self.chemo_sensitivity * concentration + self.radio_alpha * fraction + self.radio_beta * fraction**2
        growth = self.growth_rate * xp.log(self.carrying_capacity / volume) - killed
        factor = 1 + growth
        left = xp.where(factor > LEAST_LEFT, factor, LEAST_LEFT * xp.ones_like(factor))
        lost = 1.0 - 2.0 ** (-1.0 / self.chemo_half_life)
        return xp.stack([volume * xp.log(left), -lost * concentration, -fraction], axis=-1)

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        volume, concentration, fraction = xp.unstack(state, axis=-1)
        chemo, radio = xp.unstack(amount, axis=-1)
        return xp.stack([volume, concentration + CHEMO_DOSE * chemo, fraction + RADIO_DOSE * radio], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """Raises SimulationError: a map of whole days has no closed form."""
        return Simulator.propagate(self, t, dt, state, control)
