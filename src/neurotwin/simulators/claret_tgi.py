"""Tumour growth inhibition with a drug effect that wears off: the sum of the longest diameters.

Source: L. Claret, P. Girard, P. M. Hoff, E. Van Cutsem, K. P. Zuideveld, K. Jorga, J. Fagerberg, R. Bruno, "Model-based
prediction of phase III overall survival in colorectal cancer on the basis of phase II tumor dynamics", Journal of
Clinical Oncology 27:4103-4108 (2009); constants as in MODEL1708310001 of the BioModels database.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Claret et al., J Clin Oncol 27:4103 (2009)"
BIOMODELS = f"{PAPER}, as in MODEL1708310001"
START = "where the reference run starts"

# Variances of the log of the parameters between patients: the paper's fluorouracil arm as a public exercise transcribes
# it, not checked against the paper, so proposals here; and of the size at the start (proposal).
VARIANCES = {"growth_rate": 0.556, "kill_rate": 0.540, "resistance_rate": 0.450, "initial_size": 0.2}
LARGEST_UNTREATED = 1000.0
"""mm after a year without treatment: who would pass it is drawn again (proposal)."""
YEAR = 365.25 / 7


@dataclass(frozen=True)
class ClaretTgi(Simulator):
    """Exponential growth, and a kill that is proportional to exposure and fades with time.

    Time in weeks from the start of the study. State: the sum of the longest diameters y (mm). Exposure E is a setting
    in whatever unit the kill rate was estimated for; what overlaps adds up.

        y' = KL y - KD exp(-lambda t) E y

    The effect fades from time 0 on, treated or not: let therapy begin at time 0, as in the paper. Time stands in the
    equation itself, so the same state goes on differently at another time.

    Args:
        growth_rate: KL, /wk.
        kill_rate: KD, /wk per unit of exposure.
        resistance_rate: lambda, /wk.
        initial_size: y at the start, mm.
    """

    growth_rate: Value = 0.021
    kill_rate: Value = 0.025
    resistance_rate: Value = 0.053
    initial_size: Value = 60.0

    name: ClassVar[str] = "claret_tgi"
    time_unit: ClassVar[str] = "wk"
    max_step: ClassVar[float] = 0.5
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "growth_rate": Parameter("/wk", (0.0, 2.0), BIOMODELS),
        "kill_rate": Parameter("/wk", (0.0, 5.0), BIOMODELS),
        "resistance_rate": Parameter("/wk", (0.0, 5.0), BIOMODELS),
        "initial_size": Parameter("mm", (0.0, 2000.0), START, "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (State("size", "mm", (0.0, math.inf)),)
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="exposure", unit="1", kind="setting", plausible=(0.0, 20.0)),
    )
    # 1 mm: below what imaging resolves, so that growth stays a difference of logs.
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="tumour_size", unit="mm", plausible=(0.0, 2000.0), transform="log", offset=1.0, source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_size)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        fading = xp.exp(-self.resistance_rate * t)
        rate = self.growth_rate - self.kill_rate * fading * control[..., 0]
        return xp.stack([rate * state[..., 0]], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """y exp(KL dt - KD E exp(-lambda t) (1 - exp(-lambda dt)) / lambda), and dt for the fraction at lambda = 0."""
        xp = array_namespace(state)
        faded = self.resistance_rate * dt
        one = xp.ones_like(faded)
        share = xp.where(faded == 0, one, -xp.expm1(-faded) / xp.where(faded == 0, one, faded))
        effect = self.kill_rate * control[..., 0] * xp.exp(-self.resistance_rate * t) * dt * share
        return xp.stack([state[..., 0] * xp.exp(self.growth_rate * dt - effect)], axis=-1)

    def observe(self, state: Array) -> Array:
        return state

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal variability; who would grow past `LARGEST_UNTREATED` is drawn again."""
        sd = np.sqrt(list(VARIANCES.values()))
        drawn = {name: np.zeros(n) for name in VARIANCES}
        left = np.arange(n)
        while len(left):
            factor = np.exp(sd * rng.standard_normal((len(left), len(sd))))
            for index, name in enumerate(VARIANCES):
                value = np.broadcast_to(getattr(self, name), (n,))
                drawn[name][left] = value[left] * factor[:, index]
            grown = drawn["initial_size"][left] * np.exp(drawn["growth_rate"][left] * YEAR)
            left = left[grown > LARGEST_UNTREATED]
        return PopulationDraw(drawn, np.zeros((n, 0)))
