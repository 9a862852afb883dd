"""Vancomycin after open-heart surgery: two compartments, renal function, albumin and weight.

Source: S. A. Alqahtani, A. S. Alsultan, H. M. Alqattan, A. Eldemerdash, T. B. Albacker, "Population pharmacokinetic
model for vancomycin used in open heart surgery: model-based evaluation of standard dosing regimens", Antimicrobial
Agents and Chemotherapy 62(7):e00088-18 (2018), 28 patients; constants as transcribed in the library nlmixr2lib.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from neurotwin.schema import Static, Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Alqahtani et al., Antimicrob Agents Chemother 62:e00088-18 (2018)"

# Subject to whom the typical clearance and central volume belong.
REFERENCE_CRCL, REFERENCE_ALBUMIN, REFERENCE_WEIGHT = 83.5, 35.5, 79.6
CRCL_EXPONENT, ALBUMIN_EXPONENT, WEIGHT_EXPONENT = 0.514, 0.854, 0.466
# Coefficients of variation between subjects, of log-normal parameters.
BETWEEN_SUBJECTS = {
    "clearance": 0.221,
    "central_volume": 0.0634,
    "intercompartmental_clearance": 0.578,
    "peripheral_volume": 0.612,
}
# Mean, SD, least and largest value among the patients.
COVARIATES = {
    "age": (51.7, 15.9, 18.0, 78.0),
    "weight": (79.6, 17.0, 52.0, 111.8),
    "creatinine_clearance": (83.5, 29.3, 33.4, 125.0),
    "albumin": (35.5, 4.5, 25.0, 44.0),
}
SHARE_OF_WOMEN = 0.39
FEMALE_FACTOR = 0.85


def creatinine_clearance(age: Value, weight: Value, serum_creatinine: Value, female: Value) -> Value:
    """Cockcroft and Gault (1976), mL/min, from years, kg, mg/dL and 1 for women."""
    return (140 - age) * weight / (72 * serum_creatinine) * (1 - (1 - FEMALE_FACTOR) * female)


@dataclass(frozen=True)
class Vancomycin(Simulator):
    """Two compartments with an infusion R (mg/h) into the central one.

    Time in hours. States: amounts A1, A2 (mg). Observed: A1 / V1 (mg/L).

        A1' = R - (CL + Q)/V1 A1 + Q/V2 A2        A2' = Q/V1 A1 - Q/V2 A2
        CL = clearance (CrCl/83.5)^0.514 (Alb/35.5)^0.854        V1 = central_volume (WT/79.6)^0.466

    The system is linear, so there is a closed form.

    Args:
        clearance: CL, L/h.
        central_volume: V1, L.
        intercompartmental_clearance: Q, L/h.
        peripheral_volume: V2, L.
        initial_central: A1 at the start, mg.
        initial_peripheral: A2 at the start, mg.
    """

    clearance: Value = 6.13
    central_volume: Value = 40.0
    intercompartmental_clearance: Value = 0.22
    peripheral_volume: Value = 3.88
    initial_central: Value = 0.0
    initial_peripheral: Value = 0.0

    name: ClassVar[str] = "vancomycin"
    time_unit: ClassVar[str] = "h"
    max_step: ClassVar[float] = 0.25
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "clearance": Parameter("L/h", (0.01, 100.0), PAPER),
        "central_volume": Parameter("L", (1.0, 500.0), PAPER),
        "intercompartmental_clearance": Parameter("L/h", (1e-4, 100.0), PAPER),
        "peripheral_volume": Parameter("L", (0.01, 500.0), PAPER),
        "initial_central": Parameter("mg", (0.0, 1e5), "no drug before the first dose", "proposal"),
        "initial_peripheral": Parameter("mg", (0.0, 1e5), "no drug before the first dose", "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("central", "mg", (0.0, math.inf)),
        State("peripheral", "mg", (0.0, math.inf)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="vancomycin", unit="mg/h", kind="infusion", plausible=(0.0, 4000.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="vancomycin_concentration", unit="mg/L", plausible=(0.0, 200.0), source=PAPER),
    )
    statics: ClassVar[tuple[Static, ...]] = (
        Static(name="age", unit="a", plausible=(18.0, 110.0)),
        Static(name="weight", unit="kg", plausible=(30.0, 250.0)),
        Static(name="serum_creatinine", unit="mg/dL", plausible=(0.1, 15.0)),
        Static(name="albumin", unit="g/L", plausible=(10.0, 60.0)),
        Static(name="sex", levels=("male", "female")),
    )
    # Serum creatinine such that the creatinine clearance is the reference, 83.5 mL/min.
    typical_statics: ClassVar[tuple[float, ...]] = (51.7, 79.6, (140 - 51.7) * 79.6 / (72 * REFERENCE_CRCL), 35.5, 0.0)

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_central, self.initial_peripheral)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        central, peripheral = xp.unstack(state, axis=-1)
        exchange = self._forth * central - self._back * peripheral
        return xp.stack([control[..., 0] - self._out * central - exchange, exchange], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """exp(A dt) x + A^-1 (exp(A dt) - 1) b R, by the two eigenvalues of A (real, negative and different)."""
        xp = array_namespace(state)
        central, peripheral = xp.unstack(state, axis=-1)
        rate = control[..., 0]
        total = self._out + self._forth + self._back + xp.zeros_like(dt)  # an array, even if all parameters are numbers
        fast = -0.5 * (total + xp.sqrt(total**2 - 4 * self._out * self._back))
        slow = self._out * self._back / fast
        first, second = xp.exp(fast * dt), xp.exp(slow * dt)
        first_integral, second_integral = xp.expm1(fast * dt) / fast, xp.expm1(slow * dt) / slow
        # A function f of A is p + q A, with p and q such that it is right for both eigenvalues.
        gap = fast - slow
        p, q = (fast * second - slow * first) / gap, (first - second) / gap
        p_in, q_in = (fast * second_integral - slow * first_integral) / gap, (first_integral - second_integral) / gap
        exchange = self._forth * central - self._back * peripheral
        return xp.stack(
            [
                p * central - q * (self._out * central + exchange) + (p_in - q_in * (self._out + self._forth)) * rate,
                p * peripheral + q * exchange + q_in * self._forth * rate,
            ],
            axis=-1,
        )

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        return xp.stack([xp.unstack(state, axis=-1)[0] / self.central_volume], axis=-1)

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Clearance by renal function and albumin, central volume by weight."""
        crcl = creatinine_clearance(
            covariates["age"], covariates["weight"], covariates["serum_creatinine"], covariates["sex=female"]
        )
        albumin = covariates["albumin"] / REFERENCE_ALBUMIN
        return {
            "clearance": self.clearance * (crcl / REFERENCE_CRCL) ** CRCL_EXPONENT * albumin**ALBUMIN_EXPONENT,
            "central_volume": self.central_volume * (covariates["weight"] / REFERENCE_WEIGHT) ** WEIGHT_EXPONENT,
        }

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Covariates with the published moments and ranges (independent of each other: proposal; serum creatinine
        follows from the creatinine clearance), and log-normal variability around the typical parameters."""
        age, weight, crcl, albumin = (_truncated_normal(*moments, rng.random(n)) for moments in COVARIATES.values())
        female = (rng.random(n) < SHARE_OF_WOMEN).astype(np.float64)
        serum_creatinine = creatinine_clearance(age, weight, 1.0, female) / crcl
        statics = np.stack([age, weight, serum_creatinine, albumin, female], axis=1)
        known = {
            "age": age,
            "weight": weight,
            "serum_creatinine": serum_creatinine,
            "albumin": albumin,
            "sex=female": female,
        }
        typical = self.typical_parameters(known)
        sd = np.sqrt(np.log1p(np.square(list(BETWEEN_SUBJECTS.values()))))
        factor = np.exp(sd * rng.standard_normal((n, len(sd))))
        parameters = {
            name: np.asarray(typical.get(name, getattr(self, name)) * factor[:, index])
            for index, name in enumerate(BETWEEN_SUBJECTS)
        }
        return PopulationDraw(parameters, statics)

    @property
    def _out(self) -> Value:
        """Rate constant of elimination, 1/h."""
        return self.clearance / self.central_volume

    @property
    def _forth(self) -> Value:
        """Rate constant central to peripheral, 1/h."""
        return self.intercompartmental_clearance / self.central_volume

    @property
    def _back(self) -> Value:
        """Rate constant peripheral to central, 1/h."""
        return self.intercompartmental_clearance / self.peripheral_volume


def _truncated_normal(
    mean: float, sd: float, low: float, high: float, uniform: NDArray[np.float64]
) -> NDArray[np.float64]:
    below, above = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return np.asarray(mean + sd * ndtri(below + uniform * (above - below)))
