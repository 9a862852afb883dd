"""Cognitive decline in Alzheimer's disease, on the ADAS-cog scale of 0 to 70 points.

Source: D. J. Conrado et al., "An updated Alzheimer's disease progression model: incorporating
non-linearity, beta regression, and a third-level random effect in NONMEM", Journal of Pharmacokinetics and
Pharmacodynamics 41(6):581-598 (2014), control arms of 15 trials; final estimates as transcribed in the library
nlmixr2lib from DDMODEL00000290.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from scipy.special import ndtr, ndtri

from neurotwin.schema import Static, Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Conrado et al., J Pharmacokinet Pharmacodyn 41:581 (2014)"

GREATEST = 70.0
"""Worst ADAS-cog score, points."""
# Subject to whom the typical values belong: a woman on Alzheimer medication; 0.72 is the mean number of alleles, which
# the source also gives to those whose genotype is not known.
REFERENCE_AGE, REFERENCE_APOE4 = 75.0, 0.72
MALE_BASELINE, APOE4_BASELINE = 0.953, 0.0372
AGE_SLOPE, APOE4_SLOPE, NO_MEDICATION_SLOPE = -0.024, 0.195, 0.698
# Variances and covariance of the subject's effects: on the log of the baseline, and added to the slope (1/a).
BASELINE_VARIANCE, SLOPE_VARIANCE, COVARIANCE = 0.156, 0.0413, 0.0224

# Proposals, near published trials in mild to moderate disease (see the sheet).
AGE_MEAN, AGE_SD, AGE_RANGE = 74.0, 7.5, (50.0, 90.0)
SHARE_OF_WOMEN, SHARE_ON_MEDICATION = 0.62, 0.8
APOE4_SHARES = (0.40, 0.48, 0.12)


@dataclass(frozen=True)
class ConradoAdas(Simulator):
    """Richards growth of the score towards its upper end.

    Time in years. States: a = ADAS-cog / 70, and what a symptomatic drug takes off the score, g (points).

        a' = s (1 - m) a (1 - a^b)        g' = k (u - g)        score = max(70 a - g, 0)

    The disease-modifying drug is set to the share m of the decline that it takes away; shares that overlap add up, to
    at most 1. It also takes that share from the slope of those who improve. The symptomatic drug is set to the points u
    that it takes off the score once it is fully at work; overlapping drugs add up. Both drugs are proposals. There is
    a closed form.

        baseline = bl (0.953 if male) (1 + 0.0372 (apoe4 - 0.72)) e^eta1
        s = (sl + eta2) (1 - 0.024 (age - 75)) (1 + 0.195 (apoe4 - 0.72)) (0.698 if on no Alzheimer medication)

    Args:
        baseline: bl, ADAS-cog at the start, points.
        slope: sl, 1/a; negative for those who improve.
        shape: b.
        symptomatic_rate: k, 1/a. Default (proposal): a half-life of four weeks.
    """

    baseline: Value = 22.2
    slope: Value = 0.153
    shape: Value = 6.91
    symptomatic_rate: Value = 9.04

    name: ClassVar[str] = "alzheimer_adas"
    time_unit: ClassVar[str] = "a"
    max_step: ClassVar[float] = 0.01
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "baseline": Parameter("1", (0.1, GREATEST), PAPER),
        "slope": Parameter("/a", (-5.0, 5.0), PAPER),
        "shape": Parameter("1", (0.1, 50.0), PAPER),
        "symptomatic_rate": Parameter("/a", (0.01, 100.0), "a half-life of four weeks", "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("relative_score", "1", (0.0, 1.0)),
        State("symptomatic_gain", "1", (0.0, GREATEST)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="disease_modifying_drug", unit="1", kind="setting", plausible=(0.0, 1.0)),
        Treatment(name="symptomatic_drug", unit="1", kind="setting", plausible=(0.0, 20.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="adas_cog", unit="1", plausible=(0.0, GREATEST), source=PAPER),
    )
    statics: ClassVar[tuple[Static, ...]] = (
        Static(name="age", unit="a", plausible=(40.0, 110.0)),
        Static(name="sex", levels=("male", "female")),
        Static(name="apoe4_alleles", unit="1", plausible=(0.0, 2.0)),
        Static(name="alzheimer_medication", levels=("no", "yes")),
    )
    typical_statics: ClassVar[tuple[float, ...]] = (REFERENCE_AGE, 1.0, REFERENCE_APOE4, 1.0)

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.baseline / GREATEST, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        score, gain = xp.unstack(state, axis=-1)
        modifying, symptomatic = xp.unstack(control, axis=-1)
        decline = self.slope * (1.0 - modifying) * score * (1.0 - score**self.shape)
        return xp.stack([decline, self.symptomatic_rate * (symptomatic - gain)], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """a(dt) = a / (a^b + (1 - a^b) exp(-b s dt))^(1/b)."""
        xp = array_namespace(state)
        score, gain = xp.unstack(state, axis=-1)
        modifying, symptomatic = xp.unstack(control, axis=-1)
        power = score**self.shape
        left = power + (1.0 - power) * xp.exp(-self.shape * self.slope * (1.0 - modifying) * dt)
        remaining = xp.exp(-self.symptomatic_rate * dt)
        return xp.stack([score * left ** (-1.0 / self.shape), symptomatic + (gain - symptomatic) * remaining], axis=-1)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        score, gain = xp.unstack(state, axis=-1)
        points = GREATEST * score - gain
        return xp.stack([xp.maximum(points, xp.zeros_like(points))], axis=-1)

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Baseline by sex and alleles, slope by age, alleles and medication."""
        baseline, slope = _factors(covariates)
        return {"baseline": self.baseline * baseline, "slope": self.slope * slope}

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """The published variability between subjects, given that the baseline is a possible score; without that between
        studies. Covariates are a proposal and independent of each other."""
        low, high = ((end - AGE_MEAN) / AGE_SD for end in AGE_RANGE)
        age = AGE_MEAN + AGE_SD * ndtri(ndtr(low) + rng.random(n) * (ndtr(high) - ndtr(low)))
        female, medicated = (
            (rng.random(n) < share).astype(np.float64) for share in (SHARE_OF_WOMEN, SHARE_ON_MEDICATION)
        )
        apoe4 = np.searchsorted(np.cumsum(APOE4_SHARES[:-1]), rng.random(n), side="right").astype(np.float64)
        known = {
            "age": age,
            "sex=male": 1 - female,
            "apoe4_alleles": apoe4,
            "alzheimer_medication=no": 1 - medicated,
        }
        baseline, slope = _factors(known)
        # The published normal, of which 0.2 % lie beyond the scale, cut off there.
        sd = math.sqrt(BASELINE_VARIANCE)
        possible = ndtr(np.log(GREATEST / (self.baseline * baseline)) / sd)
        eta_baseline = sd * ndtri(rng.random(n) * possible)
        eta_slope = COVARIANCE / BASELINE_VARIANCE * eta_baseline
        eta_slope = eta_slope + math.sqrt(SLOPE_VARIANCE - COVARIANCE**2 / BASELINE_VARIANCE) * rng.standard_normal(n)
        parameters = {
            "baseline": np.asarray(self.baseline * baseline * np.exp(eta_baseline)),
            "slope": np.asarray((self.slope + eta_slope) * slope),
        }
        return PopulationDraw(parameters, np.stack([age, female, apoe4, medicated], axis=1))


def _factors(covariates: Mapping[str, Array]) -> tuple[Array, Array]:
    """By what covariates multiply the baseline and the slope."""
    alleles = covariates["apoe4_alleles"] - REFERENCE_APOE4
    baseline = (1 - (1 - MALE_BASELINE) * covariates["sex=male"]) * (1 + APOE4_BASELINE * alleles)
    slope = (1 + AGE_SLOPE * (covariates["age"] - REFERENCE_AGE)) * (1 + APOE4_SLOPE * alleles)
    return baseline, slope * (1 - (1 - NO_MEDICATION_SLOPE) * covariates["alzheimer_medication=no"])
