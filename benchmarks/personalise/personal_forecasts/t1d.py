"""Type 1 diabetes of `neurotwin.simulators.t1d_uvapadova` for fitting: its fitted population, and its course.

Inferred: all that this population varies, each in standard deviations from its age group's mean on the population's own
scale, but for body weight, which is known, and insulin at rest, which follows from the other parameters and the known
basal rate. The prior is the population's truncated normal distribution of all of them, held to what is known; its edge
is softened a little, so that a search can feel it.
"""

import math
from functools import cache

import numpy as np
from benchmarks.personalise.personal_forecasts.compiled import jitted
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule

from neurotwin.episodes import Episodes
from neurotwin.simulators import t1d_patients
from neurotwin.simulators.t1d_parameters import PARAMETERS
from neurotwin.simulators.t1d_uvapadova import LONG_AGO, PMOL_PER_UNIT, T1dUvaPadova

FITTED, CONSTANT = t1d_patients.FITTED, t1d_patients.CONSTANT
KNOWN, DERIVED = FITTED.index("body_weight"), FITTED.index("fasting_insulin")
NAMES = tuple(name for name in FITTED if name not in ("body_weight", "fasting_insulin"))
SIZE, N = len(NAMES), len(FITTED)
PLACES = np.array([FITTED.index(name) for name in NAMES])
SHARE = np.array([name in t1d_patients.SHARES for name in FITTED])
LEAST = 1.0
"""mg/dL"""
F, FSNC, KE1, KE2, HE = (float(getattr(T1dUvaPadova, name)) for name in CONSTANT)
WALL = 30.0
"""Steepness of the population's edge: a tenth of a standard deviation beyond it is a hundredth as likely."""
STEP = 5.0
"""Longest step of the compiled course, min; shorter where a rate of the patient asks for it."""
(BW, GB, IB, EGPB, KABS, KMAX, KMIN, B, D, VG, VI, K1, K2, VMX, KM0, P2U, KP2, KP3, KI, M1, M2, KD, KA1, KA2,
 KSC) = range(N)  # fmt: skip


@cache
def _population() -> tuple[Array, Array, Array]:
    """Mean and SD ``[group, parameter]``, and the inverse of a square root of the correlations."""
    mean, sd, root = t1d_patients._fit()
    return mean, sd, np.linalg.inv(root)


WHITE = np.ascontiguousarray(_population()[2])


@jitted
def deviations(x: Array, context: Array) -> Array:
    """``[parameter]`` in the order of the population: what is free, what is known, what follows."""
    mean, sd = context[2 : 2 + N], context[2 + N : 2 + 2 * N]
    found = np.zeros(N)
    for k in range(SIZE):
        found[PLACES[k]] = x[k]
    found[KNOWN] = (math.log(context[0]) - mean[KNOWN]) / sd[KNOWN]
    raised = np.exp(mean + sd * found)
    m1, m2, vi = raised[M1], raised[M2], raised[VI]
    hepatic = m1 * HE / (1 - HE)
    per_insulin = vi * (m2 * HE * 2 / 3 + hepatic * m2 / (m1 + hepatic)) * context[0] * 60 / PMOL_PER_UNIT
    found[DERIVED] = (math.log(context[1] / per_insulin) - mean[DERIVED]) / sd[DERIVED]
    return found


@jitted
def parameters(x: Array, context: Array) -> Array:
    """``[parameter]`` in the order of the population and in the simulator's units."""
    own, mean, sd = deviations(x, context), context[2 : 2 + N], context[2 + N : 2 + 2 * N]
    theta = np.exp(mean + sd * own)
    for k in range(N):
        if SHARE[k]:
            theta[k] = theta[k] / (1 + theta[k])
    theta[KMIN] *= theta[KMAX]
    return theta


@jitted
def prior(x: Array, context: Array) -> Array:
    """Residuals whose halved squares are minus the log density of ``x``, but for a constant. The known basal rate is
    insulin at rest times a function of the others, so on logarithms the change of variables costs nothing. The last
    ones keep every deviation within the population's 2 standard deviations."""
    own, found = deviations(x, context), np.empty(2 * N)
    found[:N] = WHITE @ own
    found[N:] = WALL * np.maximum(np.abs(own) - t1d_patients.MOST_SD, 0.0)
    return found


@jitted
def slopes(y: Array, p: Array, given: float, eating: float, meal: float, q: Array, out: Array) -> None:
    """Right-hand side into ``out`` ``[13]``; ``q`` holds what follows from rest: kp1, Vm0, m4, m30."""
    stomach = y[0] + y[1]
    kgut = p[KMAX]
    if meal > 0:
        slowing = math.tanh(2.5 * (stomach / meal - p[B]) / (1 - p[B]))
        kgut = p[KMIN] + (p[KMAX] - p[KMIN]) / 2 * (slowing - math.tanh(2.5 * (stomach / meal - p[D]) / p[D]) + 2)
    level, exchange = y[5] / p[VI], p[K1] * y[3] - p[K2] * y[4]
    made = max(q[0] - p[KP2] * y[3] - p[KP3] * y[8], 0.0)
    lost = FSNC + KE1 * max(y[3] - KE2, 0.0)
    out[0] = 1000 * eating - p[KMAX] * y[0]
    out[1] = p[KMAX] * y[0] - kgut * y[1]
    out[2] = kgut * y[1] - p[KABS] * y[2]
    out[3] = made + F * p[KABS] * y[2] / p[BW] - lost - exchange
    out[4] = exchange - (q[1] + p[VMX] * y[6]) * y[4] / (p[KM0] + y[4])
    out[5] = p[M1] * y[9] + p[KA1] * y[10] + p[KA2] * y[11] - (p[M2] + q[2]) * y[5]
    out[6] = p[P2U] * (level - p[IB] - y[6])
    out[7] = p[KI] * (level - y[7])
    out[8] = p[KI] * (y[7] - y[8])
    out[9] = p[M2] * y[5] - (p[M1] + q[3]) * y[9]
    out[10] = given - (p[KA1] + p[KD]) * y[10]
    out[11] = p[KD] * y[10] - p[KA2] * y[11]
    out[12] = p[KSC] * (y[3] - y[12])
    for k in (3, 4):  # glucose stands still below 0
        if y[k] < 0:
            out[k] = 0.0


@jitted
def at_rest(p: Array, q: Array, y: Array) -> float:
    """Fill the constants ``q`` and the state ``y`` of rest; returns the basal rate, pmol/kg/min."""
    plasma, insulin = p[GB] * p[VG], p[IB] * p[VI]
    net = p[EGPB] - FSNC - KE1 * max(plasma - KE2, 0.0)
    tissue = (p[K1] * plasma - net) / p[K2]
    q[0] = p[EGPB] + p[KP2] * plasma + p[KP3] * p[IB]
    q[1] = net * (p[KM0] + tissue) / tissue
    q[2], q[3] = p[M2] * HE * 2 / 3, p[M1] * HE / (1 - HE)
    liver = p[M2] * insulin / (p[M1] + q[3])
    basal = q[2] * insulin + q[3] * liver
    depot = basal / (p[KA1] + p[KD])
    y[:] = 0.0
    y[3], y[4], y[5], y[7], y[8], y[9] = plasma, tissue, insulin, p[IB], p[IB], liver
    y[10], y[11], y[12] = depot, p[KD] * depot / p[KA2], plasma
    return basal


@jitted
def walk(p: Array, plan: Schedule, rows: int) -> Array:
    """Sensor glucose (mg/dL) ``[output]`` at the outputs of the first ``rows``, by RK4."""
    y, q, z = np.zeros(13), np.zeros(4), np.zeros(13)
    k1, k2, k3, k4 = np.zeros(13), np.zeros(13), np.zeros(13), np.zeros(13)
    basal = at_rest(p, q, y)
    before, eaten, since = 0.0, 0.0, LONG_AGO
    longest = min(STEP, 2.2 / max(p[KABS], p[M1] + q[3] + p[M2] + q[2]))
    found, number = np.empty(len(plan.dt)), 0
    for row in range(rows):
        grams = plan.jump[row, 3]
        if grams > 0:
            if since > 1.001:
                before, eaten = y[0] + y[1], 0.0
            eaten, since = eaten + grams, 0.0
        change, infusion, bolus, eating = plan.control[row]
        given = basal * max(1 + change, 0.0) + (infusion / 60 + bolus) * PMOL_PER_UNIT / p[BW]
        meal, steps = before + 1000 * eaten, int(math.ceil(plan.dt[row] / longest - 1e-9))
        h = plan.dt[row] / max(steps, 1)
        for _ in range(steps):
            slopes(y, p, given, eating, meal, q, k1)
            for k in range(13):
                z[k] = y[k] + 0.5 * h * k1[k]
            slopes(z, p, given, eating, meal, q, k2)
            for k in range(13):
                z[k] = y[k] + 0.5 * h * k2[k]
            slopes(z, p, given, eating, meal, q, k3)
            for k in range(13):
                z[k] = y[k] + h * k3[k]
            slopes(z, p, given, eating, meal, q, k4)
            for k in range(13):
                y[k] += h / 6 * (k1[k] + 2 * k2[k] + 2 * k3[k] + k4[k])
        since += plan.dt[row]
        if plan.output[row]:
            found[number] = y[12] / p[VG]
            number += 1
    return found[:number]


def context(one: Episodes) -> Array:
    """Of the only patient of ``one``: body weight, basal rate (U/h), means and SDs of the age group's population."""
    known = dict(zip(one.schema.static_columns, one.static[0], strict=True))
    group = next(index for index, name in enumerate(t1d_patients.GROUPS) if known[f"age_group={name}"] > 0)
    mean, sd, _ = _population()
    return np.array([known["body_weight"], known["basal_insulin"], *mean[group], *sd[group]])


def named(theta: Array, context: Array) -> dict[str, float]:
    """All parameters by the simulator's names, for other people's solvers."""
    fitted = dict(zip(FITTED, theta.tolist(), strict=True))
    constant = dict(zip(CONSTANT, (F, FSNC, KE1, KE2, HE), strict=True))
    return {name: (fitted | constant)[name] for name in PARAMETERS}


def first_state(number: dict[str, float]) -> Array:
    """At rest, all sixteen states of the simulator."""
    return np.asarray(T1dUvaPadova(**number).initial_state(1))[0]


def seen(state: Array, number: dict[str, float]) -> float:
    """Glucose at the sensor, mg/dL."""
    return float(state[12]) / number["glucose_volume"]
