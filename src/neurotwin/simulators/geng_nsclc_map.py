"""The cancer counterfactual benchmark: the daily map made from Geng's model, with its quirks.

Source: cancer simulation of Melnychuk, Frauen, Feuerriegel, "Causal Transformer for Estimating Counterfactual
Outcomes", ICML 2022 (after Lim et al. 2018 and Bica et al. 2020). Day by day, e being noise with SD 0.01:

    V[t] = V[t-1] (1 + rho ln(K/V[t-1]) - beta_c C[t-1] - (alpha d[t-1] + beta d[t-1]^2) + e[t])
    C[t] = C[t-1] / 2 + 5 chemo[t]          d[t] = 2 radio[t]

It is not the ODE sampled daily. What differs, and must stay to compare with published numbers:

- radiotherapy takes away alpha d + beta d^2 of the volume, not exp(-(...)): at 2 Gy and alpha / beta = 10 the volume
  turns negative once alpha exceeds about 0.417 (2 % of patients);
- a negative volume always counts as recovery, because exp(-V density) is then infinite;
- noise scales with the volume and enters the dynamics, it is not an assay's;
- a treatment given on day t acts on day t + 1; none is given on day 0 of a factual course;
- the day that ends a course keeps the treatments drawn on it, and its volume becomes 13 cm across (death) or 0
  (recovery); later days are 0;
- in counterfactual courses volumes are not clipped and nobody dies or recovers: use `roll_out`. A volume that has
  turned negative makes the next one NaN; the reference drops such rows.

All functions take a `GengNsclc` whose parameters are arrays ``[batch]`` (or numbers), and are deterministic: noise and
uniform draws are inputs.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import SimulationError
from neurotwin.simulators.geng_nsclc import DEATH_VOLUME, GengNsclc
from neurotwin.simulators.spheres import sphere_diameter

Array = NDArray[np.float64]

CHEMO_DOSE = 5.0
"""mg/m3 per application."""
RADIO_DOSE = 2.0
"""Gy per application."""
CELL_DENSITY = 5.8e8
"""Cells per cm3."""
NOISE_SD = 0.01
WINDOW = 15
"""Days over which the policy averages the diameter."""
LARGEST_DIAMETER = 13.0
"""cm; the scale of the policy and the size at death."""


class Factual(NamedTuple):
    """Courses under the benchmark's policy; days after a course's end are 0.

    Attributes:
        volume: ``[batch, day]`` cm3.
        concentration: ``[batch, day]`` mg/m3.
        chemo, radio: ``[batch, day]`` 1 where given.
        last_day: ``[batch]`` day on which the course ends.
        died, recovered: ``[batch]``.
    """

    volume: Array
    concentration: Array
    chemo: Array
    radio: Array
    last_day: NDArray[np.int64]
    died: NDArray[np.bool_]
    recovered: NDArray[np.bool_]


def next_volume(patients: GengNsclc, volume: Array, concentration: Array, radio: Array, noise: ArrayLike) -> Array:
    """Volume on the next day; ``radio`` is 1 where a fraction was given. NaN where ``volume`` is negative."""
    dose = RADIO_DOSE * radio
    kill = patients.chemo_sensitivity * concentration + patients.radio_alpha * dose + patients.radio_beta * dose**2
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = patients.growth_rate * np.log(patients.carrying_capacity / volume)
        return np.asarray(volume * (1 + growth - kill + np.asarray(noise, dtype=np.float64)))


def next_concentration(patients: GengNsclc, concentration: Array, chemo: Array) -> Array:
    """Concentration on the next day, on which ``chemo`` (0 or 1) is given."""
    return np.asarray(concentration * np.exp(-np.log(2.0) / patients.chemo_half_life) + CHEMO_DOSE * chemo)


def treatment_probability(volumes: Array, strength: ArrayLike) -> Array:
    """Probability of either treatment, ``[batch]``, from the volumes ``[batch, day]`` of the days before (the last 15
    count). ``strength`` is the confounding gamma: 0 treats half of the days, whatever the tumour."""
    diameter = sphere_diameter(volumes[:, -WINDOW:]).mean(axis=1)
    return np.asarray(1 / (1 + np.exp(-np.asarray(strength) / LARGEST_DIAMETER * (diameter - LARGEST_DIAMETER / 2))))


def roll_out(patients: GengNsclc, chemo: Array, radio: Array, noise: Array) -> tuple[Array, Array]:
    """Volume and concentration ``[batch, day]`` under given treatments ``[batch, day]``, nobody dying or recovering.

    Day 0 is the patients' initial volume, and their initial concentration plus what is given on that day. To branch
    off a course, start from patients whose initial values are those of the branching day (without its chemotherapy).
    """
    _check(chemo, radio, noise)
    volume, concentration = np.empty_like(noise), np.empty_like(noise)
    volume[:, 0] = patients.initial_volume
    concentration[:, 0] = patients.initial_concentration + CHEMO_DOSE * chemo[:, 0]
    for day in range(1, noise.shape[1]):
        last = volume[:, day - 1], concentration[:, day - 1]
        volume[:, day] = next_volume(patients, *last, radio[:, day - 1], noise[:, day])
        concentration[:, day] = next_concentration(patients, last[1], chemo[:, day])
    return volume, concentration


def follow(
    patients: GengNsclc, strength: float, *, noise: Array, recovery_draw: Array, chemo_draw: Array, radio_draw: Array
) -> Factual:
    """Factual courses: each day a drug is given where its uniform draw is below `treatment_probability`.

    All draws are ``[batch, day]``; column 0 is not used.
    """
    _check(recovery_draw, chemo_draw, radio_draw, noise)
    n, days = noise.shape
    volume, concentration, chemo, radio = (np.zeros((n, days)) for _ in range(4))
    volume[:, 0], concentration[:, 0] = patients.initial_volume, patients.initial_concentration
    alive, last_day = np.ones(n, dtype=bool), np.full(n, days - 1)
    died, recovered = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for day in range(1, days):
        last = volume[:, day - 1], concentration[:, day - 1]
        size = next_volume(patients, *last, radio[:, day - 1], noise[:, day])
        probability = treatment_probability(volume[:, :day], strength)
        chemo[:, day] = alive & (chemo_draw[:, day] < probability)
        radio[:, day] = alive & (radio_draw[:, day] < probability)
        concentration[:, day] = np.where(alive, next_concentration(patients, last[1], chemo[:, day]), 0.0)
        dies = alive & (size > DEATH_VOLUME)
        with np.errstate(over="ignore"):
            recovers = alive & ~dies & (recovery_draw[:, day] < np.exp(-size * CELL_DENSITY))
        volume[:, day] = np.where(alive, np.where(dies, DEATH_VOLUME, np.where(recovers, 0.0, size)), 0.0)
        last_day = np.where(dies | recovers, day, last_day)
        died, recovered, alive = died | dies, recovered | recovers, alive & ~dies & ~recovers
    return Factual(volume, concentration, chemo, radio, last_day, died, recovered)


def _check(*tables: Array) -> None:
    shapes = {np.shape(table) for table in tables}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise SimulationError(
            f"treatments, draws and noise have shapes {sorted(shapes)}",
            where="geng_nsclc_map",
            expected="one shape [batch, day]",
        )
