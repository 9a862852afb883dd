"""The benchmark's tumour patients: parameters, one day's growth, and factual cohorts, drawn in the published order.

Model: Geng et al., Sci. Rep. 7:13542 (2017); as a benchmark: Lim et al., NeurIPS 2018; Bica et al., ICLR 2020;
Melnychuk et al., ICML 2022, whose order of random draws this module keeps, so that a seed gives the published data
sets. Volumes are cm3, days are whole, a dose of chemotherapy is 5 mg/m3 and one of radiotherapy 2 Gy.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import truncnorm

Array = NDArray[np.float64]
Flags = NDArray[np.uint8]

N_DAYS = 60
WINDOW = 15
"""Days over which the policy averages the diameter."""
CELLS_PER_CM3 = 5.8e8
CHEMO_DOSE, CHEMO_DECAY = 5.0, 0.5
RADIO_DOSE = 2.0
NOISE = 0.01
"""Standard deviation of a day's relative growth."""
BETA_RATIO = 10.0
"""alpha / beta of the linear-quadratic law."""
RADIO_KILL = RADIO_DOSE + RADIO_DOSE**2 / BETA_RATIO
"""What one fraction removes, per alpha: alpha * d + beta * d^2."""
STAGES = {
    "I": (1432, 1.72, 4.70, 0.3, 5.0),
    "II": (128, 1.96, 1.63, 0.3, 13.0),
    "IIIA": (1306, 1.91, 9.40, 0.3, 13.0),
    "IIIB": (7248, 2.76, 6.87, 0.3, 13.0),
    "IV": (12840, 3.86, 8.82, 0.3, 13.0),
}
"""Stage -> count (Detterbeck and Gibson 2008), location and scale of ln diameter (cm), its bounds."""
ALPHA, RHO, BETA_C = (0.0398, 0.168), (7e-5, 7.23e-3), (0.028, 7e-4)
"""Mean and standard deviation before truncation to above 0."""
CORRELATION = 0.87
"""Between alpha and rho."""
ALPHA_SHIFT, BETA_C_SHIFT = 0.1 * ALPHA[0], 0.1 * BETA_C[0]
"""Added to alpha of patient type 1, to beta_c of patient type 3."""


def volume_of(diameter: Any) -> Any:
    """Volume of a sphere."""
    return 4 / 3 * np.pi * (diameter / 2) ** 3


def diameter_of(volume: Any) -> Any:
    """Diameter of a sphere; not a number where the volume is negative, as in the published code."""
    return ((volume / (4 / 3 * np.pi)) ** (1 / 3)) * 2


CAPACITY = volume_of(30.0)
DEATH_VOLUME = volume_of(13.0)
"""Also what errors are divided by: 1150.3465 cm3."""


@dataclass(frozen=True)
class Patients:
    """Parameters ``[patient]``.

    Attributes:
        kind: patient type 1, 2 or 3, the only covariate that a model sees.
        volume: on day 0, cm3.
        alpha: killed by radiotherapy, 1/Gy; beta = alpha / 10.
        rho: growth rate, 1/d.
        beta_c: killed by chemotherapy, m3/mg/d.
    """

    kind: NDArray[np.int64]
    volume: Array
    alpha: Array
    rho: Array
    beta_c: Array

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, index: Any) -> Self:
        """Some patients."""
        return type(self)(**{item.name: getattr(self, item.name)[index] for item in fields(self)})


@dataclass(frozen=True)
class Factual:
    """What happened ``[patient, day]``; 0 after ``last``.

    Attributes:
        volume: cm3.
        chemo, radio: whether it was given on that day, after the volume was measured.
        last: ``[patient]`` last day with a volume.
        died, recovered: ``[patient]`` how it ended, if before the last day.
    """

    volume: Array
    chemo: Flags
    radio: Flags
    last: NDArray[np.int64]
    died: NDArray[np.bool_]
    recovered: NDArray[np.bool_]


def draw_patients(random: np.random.RandomState, n: int) -> Patients:
    """Parameters of ``n`` patients, in the published order of draws (legacy numpy stream)."""
    names = sorted(STAGES)
    counts = np.array([STAGES[name][0] for name in names], dtype=np.float64)
    stage = random.choice(names, n, p=counts / counts.sum())
    diameters = []
    for name in names:
        _, location, scale, low, high = STAGES[name]
        bounds = [(np.log(end) - location) / scale for end in (low, high)]
        draws = truncnorm.rvs(*bounds, size=int((stage == name).sum()), random_state=random)
        diameters.append(np.exp(draws * scale + location))
    cross = CORRELATION * ALPHA[1] * RHO[1]
    mean, covariance = [ALPHA[0], RHO[0]], [[ALPHA[1] ** 2, cross], [cross, RHO[1] ** 2]]
    pairs = np.zeros((0, 2))
    while len(pairs) < n:
        drawn = random.multivariate_normal(mean, covariance, size=n)
        pairs = np.concatenate([pairs, drawn[(drawn > 0).all(axis=1)]])
    kind = random.choice([1, 2, 3], n)
    low = -BETA_C[0] / BETA_C[1]
    beta_c = BETA_C[0] + BETA_C[1] * truncnorm.rvs(low, np.inf, size=n, random_state=random)
    order = np.arange(n)
    random.shuffle(order)
    return Patients(
        kind=kind,
        volume=volume_of(np.concatenate(diameters)),
        alpha=pairs[:n, 0] + np.where(kind == 1, ALPHA_SHIFT, 0.0),
        rho=pairs[:n, 1],
        beta_c=beta_c + np.where(kind == 3, BETA_C_SHIFT, 0.0),
    ).take(order)


def treatment_chance(gamma: float, mean_diameter: Any) -> Any:
    """Probability of each treatment on a day: the larger the tumour was, the likelier, by ``gamma``."""
    largest = diameter_of(DEATH_VOLUME)
    return 1.0 / (1.0 + np.exp(-gamma / largest * (mean_diameter - largest / 2)))


def grown(patients: Patients, volume: Any, concentration: Any, radio: Any, noise: Any) -> Any:
    """Volume a day later. ``concentration`` is the chemotherapy's, mg/m3; ``radio`` 1 where a fraction is given."""
    dose = RADIO_DOSE * radio
    killed = patients.alpha * dose + patients.alpha / BETA_RATIO * dose**2
    rate = patients.rho * np.log(CAPACITY / volume) - patients.beta_c * concentration - killed
    return volume * (1 + rate + noise)


@dataclass(frozen=True)
class Chances:
    """Random numbers of a factual cohort, each ``[patient, day]``: growth noise (scaled), and three uniforms."""

    noise: Array
    recovery: Array
    chemo: Array
    radio: Array

    @classmethod
    def draw(cls, random: np.random.RandomState, n: int) -> Self:
        """In the published order."""
        noise = NOISE * random.randn(n, N_DAYS)
        return cls(noise, *(random.rand(n, N_DAYS) for _ in range(3)))


def simulate_factual(patients: Patients, gamma: float, chances: Chances) -> Factual:
    """Act out a confounded policy from day 1 on, until the last day, death or recovery."""
    n = len(patients)
    volume, concentration = np.zeros((n, N_DAYS)), np.zeros((n, N_DAYS))
    chemo, radio = np.zeros((n, N_DAYS), np.uint8), np.zeros((n, N_DAYS), np.uint8)
    last = np.full(n, N_DAYS - 1)
    died, recovered = np.zeros(n, bool), np.zeros(n, bool)
    volume[:, 0] = patients.volume
    here = np.arange(n)
    for day in range(1, N_DAYS):
        some = patients.take(here)
        size = grown(some, volume[here, day - 1], concentration[here, day - 1], radio[here, day - 1],
                     chances.noise[here, day])  # fmt: skip
        past = diameter_of(volume[here, max(day - WINDOW, 0) : day])
        chance = treatment_chance(gamma, past.mean(axis=1))
        radio[here, day] = chances.radio[here, day] < chance
        chemo[here, day] = chances.chemo[here, day] < chance
        concentration[here, day] = CHEMO_DECAY * concentration[here, day - 1] + CHEMO_DOSE * chemo[here, day]
        dead = size > DEATH_VOLUME
        # A negative volume recovers too: its exponential is above 1.
        well = ~dead & (chances.recovery[here, day] < np.exp(np.minimum(-size * CELLS_PER_CM3, 1.0)))
        volume[here, day] = np.where(dead, DEATH_VOLUME, np.where(well, 0.0, size))
        ended = here[dead | well]
        last[ended], died[here[dead]], recovered[here[well]] = day, True, True
        here = here[~(dead | well)]
    return Factual(volume, chemo, radio, last, died, recovered)
