"""The lung tumour of `neurotwin.simulators.geng_nsclc` for fitting: its published population as a map from standard
normal numbers to parameters (exact, by Rosenblatt's transformation, 1952), and its course.

Inferred, each with one number: radio_alpha (of which radio_beta is a tenth), growth_rate given radio_alpha,
chemo_sensitivity, and the diameter at the start given the stage. Patient type and stage are known.
"""

import math

import numpy as np
from benchmarks.personalise.personal_forecasts.compiled import jitted, ndtri, upper_tail
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule
from scipy.special import ndtr

from neurotwin.episodes import Episodes
from neurotwin.simulators import geng_nsclc as paper

NAMES = ("growth_rate", "chemo_sensitivity", "radio_alpha", "initial_volume")
SIZE = 4
LEAST = 1e-12
"""cm3, a thousandth of a cell."""
STEP = 0.5
"""Longest step of the compiled course, d: within 1e-4 of the closed form."""
K, HALF_LIFE = math.log(paper.GengNsclc.carrying_capacity), paper.GengNsclc.chemo_half_life
RHO_SD = paper.RHO_SD * math.sqrt(1 - paper.CORRELATION**2)
SLOPE = paper.CORRELATION * paper.RHO_SD / paper.ALPHA_SD


def _table_of_alpha() -> tuple[Array, Array]:
    """z, and the alpha whose share of the population lies below it as that of the standard normal below z: of pairs
    (alpha, rho) both above 0."""
    alpha = np.linspace(0.0, paper.ALPHA_MEAN + 9 * paper.ALPHA_SD, 40_001)
    density = np.exp(-0.5 * ((alpha - paper.ALPHA_MEAN) / paper.ALPHA_SD) ** 2)
    density *= ndtr((paper.RHO_MEAN + SLOPE * (alpha - paper.ALPHA_MEAN)) / RHO_SD)
    steps = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    z = np.linspace(-8.0, 8.0, 3201)
    return z, np.interp(ndtr(z), steps / steps[-1], alpha)


Z, ALPHA = _table_of_alpha()


@jitted
def truncated(mean: float, sd: float, z: float) -> float:
    """Quantile, at the probability of z, of a normal distribution above 0; by the upper tail, which keeps digits."""
    return mean - sd * ndtri(upper_tail(-mean / sd) * upper_tail(z))


@jitted
def parameters(x: Array, context: Array) -> Array:
    """``[growth_rate, chemo_sensitivity, radio_alpha, initial_volume]`` of standard normal ``x``."""
    place = (min(max(x[0], -7.999), 7.999) + 8.0) * 200.0
    low = int(place)
    alpha = ALPHA[low] + (place - low) * (ALPHA[low + 1] - ALPHA[low])
    rho = truncated(paper.RHO_MEAN + SLOPE * (alpha - paper.ALPHA_MEAN), RHO_SD, x[1])
    beta_c = truncated(paper.BETA_C_MEAN, paper.BETA_C_SD, x[2])
    share = upper_tail(-x[3])
    diameter = math.exp(context[2] + context[3] * ndtri(context[4] + share * (context[5] - context[4])))
    return np.array([rho, beta_c + context[1], alpha + context[0], math.pi / 6 * diameter**3])


@jitted
def prior(x: Array, context: Array) -> Array:
    """Residuals whose halved squares are minus the log density of ``x``."""
    return x


@jitted
def walk(theta: Array, plan: Schedule, rows: int) -> Array:
    """Volumes ``[output]`` at the outputs of the first ``rows``; RK4 in ln V, in which the equation is linear."""
    rho, beta_c, alpha = theta[0], theta[1], theta[2]
    volume, drug, rate = math.log(theta[3]), 0.0, math.log(2.0) / HALF_LIFE
    found, number = np.empty(len(plan.dt)), 0
    for row in range(rows):
        chemo, dose = plan.jump[row, 0], plan.jump[row, 1]
        drug += chemo
        volume -= alpha * dose + 0.1 * alpha * dose * dose
        steps = int(math.ceil(plan.dt[row] / STEP - 1e-9))
        h = plan.dt[row] / max(steps, 1)
        for _ in range(steps):
            half = drug * (1 - 0.5 * rate * h)
            second = drug - 0.5 * rate * h * half
            full = drug - rate * h * second
            a = rho * (K - volume) - beta_c * drug
            b = rho * (K - volume - 0.5 * h * a) - beta_c * half
            c = rho * (K - volume - 0.5 * h * b) - beta_c * second
            d = rho * (K - volume - h * c) - beta_c * full
            volume += h / 6 * (a + 2 * b + 2 * c + d)
            drug -= rate * h / 6 * (drug + 2 * half + 2 * second + full)
        if plan.output[row]:
            found[number] = math.exp(volume)
            number += 1
    return found[:number]


def context(one: Episodes) -> Array:
    """Of the only patient of ``one``: what type 1 and 3 add to alpha and beta_c; mean, SD and both ends of the
    truncated normal distribution of the log-diameter."""
    known = dict(zip(one.schema.static_columns, one.static[0], strict=True))
    stage = next((index for index, name in enumerate(paper.STAGES) if known.get(f"stage={name}", 0.0) > 0), 0)
    mean, sd, low, high = paper.STAGE_DIAMETERS[stage]
    ends = ndtr((np.log([low, high]) - mean) / sd)
    more = (paper.TYPE_EFFECT * paper.ALPHA_MEAN * known["patient_type=1"],
            paper.TYPE_EFFECT * paper.BETA_C_MEAN * known["patient_type=3"])  # fmt: skip
    return np.array([*more, mean, sd, *ends])


def named(theta: Array, context: Array) -> dict[str, float]:
    """All parameters by the simulator's names, for other people's solvers."""
    own = dict(zip(NAMES, theta.tolist(), strict=True))
    own |= {"radio_beta": own["radio_alpha"] / paper.ALPHA_BETA_RATIO, "chemo_half_life": HALF_LIFE}
    return own | {"carrying_capacity": math.exp(K), "initial_concentration": 0.0}


def first_state(number: dict[str, float]) -> Array:
    """``[volume, concentration]``"""
    return np.array([number["initial_volume"], 0.0])


def seen(state: Array, number: dict[str, float]) -> float:
    """The volume."""
    return float(state[0])
