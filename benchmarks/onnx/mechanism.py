"""The mechanism itself beside its surrogate: one tumour under 13 doses of chemotherapy and 30 of radiotherapy, 90 days.

The equations, events and solvers are those of benchmarks/cohort; numba is added here.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1] / "cohort"))

import peers
from problems import Problem, geng

TOLERANCE = 1e-6
STEP = 0.25
"""Of the fixed-step solve, days."""

Solve = Callable[[], NDArray[np.float64]]
"""Gives the states ``[day, state]`` of one patient."""


def lsoda(problem: Problem) -> Solve:
    """scipy.integrate.solve_ivp with LSODA, restarted at each event."""
    run = peers.solve_ivp(problem, TOLERANCE)
    return lambda: run(1)[0]


def cvode(problem: Problem) -> Solve:
    """libroadrunner: CVODE on a compiled right-hand side."""
    run = peers.roadrunner(problem, TOLERANCE)
    return lambda: run(1)[0]


def by_numba(problem: Problem) -> Solve:
    """Kutta's 3/8 rule in steps of a quarter of a day, compiled by numba in double precision."""
    import numba

    model = problem.model.take(slice(0, 1))
    names = ("growth_rate", "carrying_capacity", "chemo_sensitivity", "chemo_half_life", "radio_alpha", "radio_beta")
    parameters = np.array([float(np.ravel(getattr(model, name))[0]) for name in names])
    segments = problem.segments
    begins = np.array([one.begin for one in segments])
    amounts = np.array([one.amount for one in segments])
    days = len(problem.times)
    compiled = numba.njit(_course)
    first = np.asarray(model.initial_state(1))[0]
    return lambda: compiled(first, parameters, begins, amounts, days)


def _course(first: Any, parameters: Any, begins: Any, amounts: Any, days: int) -> Any:
    growth, capacity, sensitivity, half_life, alpha, beta = parameters
    rate = math.log(2.0) / half_life
    volume, drug, event = first[0], first[1], 0
    found = np.empty((days, 2))
    steps = int(round(1.0 / STEP))
    for day in range(days):
        while event < len(begins) and begins[event] <= day + 1e-9:
            drug += amounts[event, 0]
            dose = amounts[event, 1]
            volume *= math.exp(-(alpha * dose + beta * dose * dose))
            event += 1
        for _ in range(steps):
            h = STEP
            k1 = volume * (growth * math.log(capacity / volume) - sensitivity * drug)
            d1 = -rate * drug
            v, d = volume + h * k1 / 3, drug + h * d1 / 3
            k2, d2 = v * (growth * math.log(capacity / v) - sensitivity * d), -rate * d
            v, d = volume + h * (k2 - k1 / 3), drug + h * (d2 - d1 / 3)
            k3, d3 = v * (growth * math.log(capacity / v) - sensitivity * d), -rate * d
            v, d = volume + h * (k1 - k2 + k3), drug + h * (d1 - d2 + d3)
            k4, d4 = v * (growth * math.log(capacity / v) - sensitivity * d), -rate * d
            volume += h * (k1 + 3 * k2 + 3 * k3 + k4) / 8
            drug += h * (d1 + 3 * d2 + 3 * d3 + d4) / 8
        found[day, 0], found[day, 1] = volume, drug
    return found


SOLVERS: dict[str, Callable[[Problem], Solve]] = {
    "mechanism, scipy LSODA": lsoda,
    "mechanism, CVODE (libroadrunner)": cvode,
    "mechanism, numba": by_numba,
}


def tumour() -> Problem:
    """One patient."""
    return geng().draw(1)
