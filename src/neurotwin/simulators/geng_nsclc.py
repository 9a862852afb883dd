"""Non-small-cell lung cancer under chemotherapy and radiotherapy.

Source: C. Geng, H. Paganetti, C. Grassberger, "Prediction of treatment response for combined chemo- and radiation
therapy for non-small cell lung cancer patients using a bio-mathematical model", Scientific Reports 7:13542 (2017),
with the constants of its use as a benchmark (Lim et al., NeurIPS 2018; Bica et al., ICLR 2020; Melnychuk et al., ICML
2022). The benchmark itself is a daily map with noise: see ``geng_nsclc_map``.
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
from neurotwin.simulators.spheres import sphere_volume

PAPER = "Geng et al., Sci Rep 7:13542 (2017)"
BENCHMARK = "benchmark version, Melnychuk et al., ICML 2022"

STAGES = ("I", "II", "IIIA", "IIIB", "IV")
STAGE_COUNTS = (1432, 128, 1306, 7248, 12840)
# Per stage: mean and SD of the log-diameter, and the diameters (cm) between which it is truncated.
STAGE_DIAMETERS = (
    (1.72, 4.70, 0.3, 5.0),
    (1.96, 1.63, 0.3, 13.0),
    (1.91, 9.40, 0.3, 13.0),
    (2.76, 6.87, 0.3, 13.0),
    (3.86, 8.82, 0.3, 13.0),
)
PATIENT_TYPES = ("1", "2", "3")
# Bivariate normal of (alpha, rho) before both are restricted to be positive.
ALPHA_MEAN, ALPHA_SD, RHO_MEAN, RHO_SD, CORRELATION = 0.0398, 0.168, 7e-5, 7.23e-3, 0.87
BETA_C_MEAN, BETA_C_SD = 0.028, 0.0007
ALPHA_BETA_RATIO = 10.0
TYPE_EFFECT = 0.1  # share of the mean by which patient type 1 is more radiosensitive and type 3 more chemosensitive
DEATH_VOLUME = float(sphere_volume(13.0))
"""cm3, 13 cm across: the benchmark takes a patient with this volume for dead. The ODE has no such rule."""


@dataclass(frozen=True)
class GengNsclc(Simulator):
    """Gompertz growth, log-linear kill by chemotherapy, linear-quadratic kill by radiotherapy.

    Time in days. States: volume V (cm3), concentration C (mg/m3).

        V' = V (rho ln(K/V) - beta_c C)        C' = -(ln 2 / T) C
        radiotherapy, d Gy at an instant:      V <- V exp(-(alpha d + beta d^2))
        chemotherapy, c mg/m3 at an instant:   C <- C + c

    ln(V/K) obeys a linear equation, so there is a closed form. Fractions given at one instant act as one of their sum.
    There is no death and no cure here: a tumour below one cell (1.7e-9 cm3) still regrows.

    Args:
        growth_rate: rho, 1/d. Default: the population's mean.
        carrying_capacity: K, cm3: a sphere 30 cm across.
        chemo_sensitivity: beta_c, m3/(mg.d).
        radio_alpha: alpha, 1/Gy. Default: the population's mean.
        radio_beta: beta, 1/Gy2; alpha / 10 in the published population.
        chemo_half_life: T, d.
        initial_volume: V at the start, cm3. Default (proposal): a sphere 3 cm across.
        initial_concentration: C at the start, mg/m3.
    """

    growth_rate: Value = 0.006158
    carrying_capacity: Value = 14137.166941154068
    chemo_sensitivity: Value = BETA_C_MEAN
    radio_alpha: Value = 0.17478
    radio_beta: Value = 0.017478
    chemo_half_life: Value = 1.0
    initial_volume: Value = 14.137166941154069
    initial_concentration: Value = 0.0

    name: ClassVar[str] = "lung_tumour"
    time_unit: ClassVar[str] = "d"
    max_step: ClassVar[float] = 0.25
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "growth_rate": Parameter("/d", (0.0, 1.0), f"{PAPER}; mean of the truncated population"),
        "carrying_capacity": Parameter("cm3", (1.0, 1e5), PAPER),
        "chemo_sensitivity": Parameter("m3/mg/d", (0.0, 1.0), PAPER),
        "radio_alpha": Parameter("/Gy", (0.0, 3.0), f"{PAPER}; mean of the truncated population"),
        "radio_beta": Parameter("/Gy2", (0.0, 0.3), f"{PAPER}; alpha / 10"),
        "chemo_half_life": Parameter("d", (0.01, 100.0), PAPER),
        "initial_volume": Parameter("cm3", (1e-9, 1e5), "a sphere 3 cm across", "proposal"),
        "initial_concentration": Parameter("mg/m3", (0.0, 1000.0), BENCHMARK),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("volume", "cm3", (0.0, 1e5)),
        State("concentration", "mg/m3", (0.0, math.inf)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="chemotherapy", unit="mg/m3", kind="bolus", plausible=(0.0, 20.0)),
        Treatment(name="radiotherapy", unit="Gy", kind="bolus", plausible=(0.0, 20.0)),
    )
    # Offset 1e-3 cm3 (1.2 mm across): far below what imaging resolves, so that relative growth stays a difference of
    # logs down to the smallest tumour at diagnosis (3 mm, 0.014 cm3), while a vanished tumour keeps a finite value.
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="tumour_volume", unit="cm3", plausible=(0.0, 2e4), transform="log", offset=1e-3, source=PAPER),
    )
    statics: ClassVar[tuple[Static, ...]] = (
        Static(name="patient_type", levels=PATIENT_TYPES),
        Static(name="stage", levels=STAGES),
    )
    typical_statics: ClassVar[tuple[float, ...]] = (1.0, 4.0)

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_volume, self.initial_concentration)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        volume, concentration = xp.unstack(state, axis=-1)
        growth = self.growth_rate * xp.log(self.carrying_capacity / volume) - self.chemo_sensitivity * concentration
        return xp.stack([volume * growth, -math.log(2.0) / self.chemo_half_life * concentration], axis=-1)

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        volume, concentration = xp.unstack(state, axis=-1)
        dose, fraction = xp.unstack(amount, axis=-1)
        survival = xp.exp(-(self.radio_alpha * fraction + self.radio_beta * fraction**2))
        return xp.stack([volume * survival, concentration + dose], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """x = ln(V/K) obeys x' = -rho x - beta_c C, so x(dt) = x exp(-rho dt) - beta_c C g with
        g = (exp(-rho dt) - exp(-k dt)) / (k - rho), k = ln 2 / T (g = dt exp(-k dt) where k = rho)."""
        xp = array_namespace(state)
        volume, concentration = xp.unstack(state, axis=-1)
        elimination = math.log(2.0) / self.chemo_half_life
        left = concentration * xp.exp(-elimination * dt)
        # Written with the slower of the two rates in front, so that nothing overflows.
        gap = xp.abs((elimination - self.growth_rate) * dt)
        slower = 0.5 * ((elimination + self.growth_rate) * dt - gap)
        one = xp.ones_like(gap)
        share = xp.where(gap == 0, one, -xp.expm1(-gap) / xp.where(gap == 0, one, gap))
        exposure = concentration * xp.exp(-slower) * dt * share
        growth = -xp.log(self.carrying_capacity / volume) * xp.expm1(-self.growth_rate * dt)
        return xp.stack([volume * xp.exp(growth - self.chemo_sensitivity * exposure), left], axis=-1)

    def observe(self, state: Array) -> Array:
        return state[..., :1]

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Type 1 is more sensitive to radiation, type 3 to chemotherapy, by a tenth of the published mean."""
        more = TYPE_EFFECT * ALPHA_MEAN * covariates["patient_type=1"]
        return {
            "radio_alpha": self.radio_alpha + more,
            "radio_beta": self.radio_beta + more / ALPHA_BETA_RATIO,
            "chemo_sensitivity": self.chemo_sensitivity + TYPE_EFFECT * BETA_C_MEAN * covariates["patient_type=3"],
        }

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Stage mix, truncated log-normal diameters, correlated sensitivities and growth, as in the benchmark."""
        self.refuse_overrides("growth_rate", "radio_alpha", "radio_beta", "chemo_sensitivity", "initial_volume")
        stage = rng.choice(len(STAGES), size=n, p=np.array(STAGE_COUNTS) / sum(STAGE_COUNTS))
        diameter = _diameters(stage, rng)
        alpha, rho = _alpha_rho(n, rng)
        beta_c = _positive_normal(BETA_C_MEAN, BETA_C_SD, rng.random(n))
        patient_type = rng.integers(len(PATIENT_TYPES), size=n)
        alpha = alpha + TYPE_EFFECT * ALPHA_MEAN * (patient_type == 0)
        parameters = {
            "growth_rate": rho,
            "chemo_sensitivity": beta_c + TYPE_EFFECT * BETA_C_MEAN * (patient_type == 2),
            "radio_alpha": alpha,
            "radio_beta": alpha / ALPHA_BETA_RATIO,
            "initial_volume": sphere_volume(diameter),
        }
        return PopulationDraw(parameters, np.stack([patient_type, stage], axis=1).astype(np.float64))


def _diameters(stage: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Truncated log-normal, by the inverse of the normal distribution function."""
    mean, sd, low, high = np.array(STAGE_DIAMETERS)[stage].T
    below, above = ndtr((np.log(low) - mean) / sd), ndtr((np.log(high) - mean) / sd)
    z = ndtri(below + rng.random(len(stage)) * (above - below))
    return np.asarray(np.exp(mean + sd * z))


def _alpha_rho(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pairs that are both positive, by rejection (46 % are)."""
    kept = np.zeros((0, 2))
    while len(kept) < n:
        z = rng.standard_normal((2 * n + 6, 2))
        alpha = ALPHA_MEAN + ALPHA_SD * z[:, 0]
        rho = RHO_MEAN + RHO_SD * (CORRELATION * z[:, 0] + math.sqrt(1 - CORRELATION**2) * z[:, 1])
        kept = np.concatenate([kept, np.stack([alpha, rho], axis=1)[(alpha > 0) & (rho > 0)]])
    return kept[:n, 0], kept[:n, 1]


def _positive_normal(mean: float, sd: float, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    below = ndtr(-mean / sd)
    return np.asarray(mean + sd * ndtri(below + uniform * (1 - below)))
