"""A patient's maximum a posteriori fit: Levenberg-Marquardt on residuals of the values seen and of the prior.

One source for all solvers: it is run as Python around other people's solvers, which take nearly all of the time there,
and compiled as a whole around the compiled courses.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from benchmarks.personalise.personal_forecasts.compiled import HAS_NUMBA, jitted, surprise_of_tail
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule

DIFFERENCE = 1e-2
"""Of the forward differences, in standard deviations of the population."""
TOLERANCE = 1e-4
"""Of the log density: an iteration that gains less is the last."""
MOST = 40
FAR = 1e3


class Fitted(NamedTuple):
    """``x`` at the mode; the ``courses`` there and at ``DIFFERENCE`` along each axis ``[1 + size, output]``, whole; and
    the residuals there ``[1 + size, residual]``. ``solves`` of the past it took."""

    x: Array
    courses: Array
    residuals: Array
    solves: int


def levenberg_marquardt(residuals: Any, x: Array, plan: Schedule) -> tuple[Array, int]:
    """Mode of the posterior and how often the past was solved."""
    r = residuals(x, plan)
    cost, damping, solves = 0.5 * (r @ r), 1e-3, 1
    jacobian = np.empty((len(r), len(x)))
    for _ in range(MOST):
        for k in range(len(x)):
            moved = x.copy()
            moved[k] += DIFFERENCE
            jacobian[:, k] = (residuals(moved, plan) - r) / DIFFERENCE
        solves += len(x)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ r
        gained = 0.0
        for _ in range(8):
            trial = x - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            tried = residuals(trial, plan)
            solves += 1
            gain = cost - 0.5 * (tried @ tried)
            if gain > 0:
                x, r, cost, gained = trial, tried, cost - gain, gain
                damping = max(0.1 * damping, 1e-7)
                break
            damping *= 8
        if gained < TOLERANCE:
            break
    return x, solves


def log_residual(value: float, censor: int, expected: float, plan: Schedule) -> float:
    """Of one value; a censored one counts with the probability of lying beyond its limit."""
    u = (value - math.log(max(expected, plan.least))) / plan.sd
    if censor == 0:
        return u
    return surprise_of_tail(u) if censor < 0 else surprise_of_tail(-u)


class Fit(NamedTuple):
    """Functions of one mechanism and one way to solve it, all compiled or none.

    ``residuals(x, plan)`` of the past's values and the prior; ``course(x, plan)`` all outputs; ``fit(x, plan)`` gives a
    `Fitted`.
    """

    residuals: Callable[[Array, Schedule], Array]
    course: Callable[[Array, Schedule], Array]
    fit: Callable[[Array, Schedule], Fitted]


def fit_with(mechanism: Any, walk: Callable[[Array, Schedule, int], Array], *, compiled: bool) -> Fit:
    """The fit of ``mechanism`` (`geng` or `t1d`), whose courses ``walk`` solves."""
    if compiled and not HAS_NUMBA:
        raise ImportError("numba is not installed")
    decorate: Callable[..., Any] = jitted if compiled else _as_it_is
    parameters, prior = mechanism.parameters, mechanism.prior
    one, search = decorate(log_residual), decorate(levenberg_marquardt)

    @decorate
    def stacked(course: Array, x: Array, plan: Schedule) -> Array:
        own = prior(x, plan.context)
        n = len(plan.value)
        found = np.empty(n + len(own))
        for k in range(n):
            found[k] = one(plan.value[k], plan.censor[k], course[k], plan)
        found[n:] = own
        return found

    @decorate
    def residuals(x: Array, plan: Schedule) -> Array:
        return stacked(walk(parameters(x, plan.context), plan, plan.n_past), x, plan)

    @decorate
    def course(x: Array, plan: Schedule) -> Array:
        return walk(parameters(x, plan.context), plan, len(plan.dt))

    @decorate
    def fit(x: Array, plan: Schedule) -> tuple[Array, Array, Array, int]:
        mode, solves = search(residuals, x, plan)
        first = course(mode, plan)
        courses = np.empty((1 + len(x), len(first)))
        off = np.empty((1 + len(x), len(stacked(first, mode, plan))))
        courses[0], off[0] = first, stacked(first, mode, plan)
        for k in range(len(x)):
            moved = mode.copy()
            moved[k] += DIFFERENCE
            courses[1 + k] = course(moved, plan)
            off[1 + k] = stacked(courses[1 + k], moved, plan)
        return mode, courses, off, solves

    return Fit(residuals, course, lambda x, plan: Fitted(*fit(x, plan)))


def laplace(found: Fitted, plan: Schedule) -> tuple[Array, Array]:
    """Covariance of x, and variance of the logarithm of the course at the queries ``[query]``, linearised."""
    slope = (found.residuals[1:] - found.residuals[0]).T / DIFFERENCE
    covariance = np.linalg.inv(slope.T @ slope)
    ahead = np.log(np.maximum(found.courses[:, len(plan.value) :], plan.least))
    moved = (ahead[1:] - ahead[0]) / DIFFERENCE
    return covariance, np.einsum("kq,kl,lq->q", moved, covariance, moved)


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
