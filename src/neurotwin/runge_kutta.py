"""Explicit Runge-Kutta steps with dense output, on any array library.

One step function serves the numpy engine of the simulators and the torch solvers: it only adds and multiplies.
Source of notation: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, section II.1 and II.6.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Field = Callable[[Any, Any], Any]


class Tableau(NamedTuple):
    """A Butcher tableau with its continuous extension.

    Attributes:
        a: rows of the strictly lower triangular matrix, row i has i entries (row 0 is empty).
        b: weights of the solution.
        c: nodes.
        dense: per stage, coefficients of theta, theta^2, ... of the weight b_i(theta), which is ``b`` at theta = 1.
        error: weights of the solution minus those of the embedded one, or empty where there is no embedded pair.
        order: order of the solution.
        dense_order: order of the continuous extension.
    """

    a: Sequence[Sequence[float]]
    b: Sequence[float]
    c: Sequence[float]
    dense: Sequence[Sequence[float]]
    error: Sequence[float]
    order: int
    dense_order: int


class Step(NamedTuple):
    """Result of one step from ``begin``: the state at its ``end`` and its ``stages`` (slopes)."""

    begin: Any
    end: Any
    stages: tuple[Any, ...]


def runge_kutta_step(tableau: Tableau, field: Field, t: Any, dt: Any, state: Any) -> Step:
    """One step of length ``dt`` (``[batch]``-shaped like ``t``, broadcast over the state's last axis).

    ``field(t, state)`` returns the slope, shaped like ``state`` ``[batch, state]``.
    """
    stages: list[Any] = []
    width = dt[..., None]
    for row, node in zip(tableau.a, tableau.c, strict=True):
        inner = state if not row else state + width * _combine(row, stages)
        stages.append(field(t + node * dt if node else t, inner))
    return Step(state, state + width * _combine(tableau.b, stages), tuple(stages))


def dense_state(tableau: Tableau, step: Step, dt: Any, theta: Any) -> Any:
    """State at the fraction ``theta`` (``[batch]``) of the step, by the continuous extension."""
    weights = [dense_weight(tableau, stage, theta)[..., None] for stage in range(len(tableau.b))]
    return step.begin + dt[..., None] * sum(weight * slope for weight, slope in zip(weights, step.stages, strict=True))


def dense_weight(tableau: Tableau, stage: int, theta: Any) -> Any:
    """Weight of a stage in the state at the fraction ``theta`` of a step."""
    return _horner(tableau.dense[stage], theta)


def step_error(tableau: Tableau, step: Step, dt: Any) -> Any:
    """Estimated error of the step, shaped like the state. Only for tableaus with an embedded pair."""
    return dt[..., None] * _combine(tableau.error, step.stages)


def _combine(weights: Sequence[float], stages: Sequence[Any]) -> Any:
    return sum(weight * slope for weight, slope in zip(weights, stages, strict=True) if weight)


def _horner(coefficients: Sequence[float], theta: Any) -> Any:
    """Polynomial without constant term."""
    value = coefficients[-1] * theta
    for coefficient in reversed(coefficients[:-1]):
        value = (value + coefficient) * theta
    return value


RK4 = Tableau(
    a=((), (1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
    b=(1 / 8, 3 / 8, 3 / 8, 1 / 8),
    c=(0.0, 1 / 3, 2 / 3, 1.0),
    dense=((1.0, -15 / 8, 1.0), (0.0, 15 / 8, -3 / 2), (0.0, 3 / 8, 0.0), (0.0, -3 / 8, 1 / 2)),
    error=(),
    order=4,
    dense_order=3,
)
"""Kutta's 3/8 rule (1901), with the only cubic continuous extension of order 3 that
uses its four stages (solve the four order conditions at theta)."""
