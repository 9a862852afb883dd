"""A Runge-Kutta tableau folded into the last layer of a network.

No stage is ever combined with others by operators of its own: with kappa_i the stages without the last layer's bias,
and A the tableau's rows from the second on with the weights of the solution as the last, each stage computes
q_i = sigma_i * sum_j A_ij kappa_j at once, as the product of its last layer to which earlier q are added (any kappa_j
is a combination of q_1 .. q_j). The scales sigma make that sum one of plain additions. The bias of a stage rides along
as one more column of q, which is the same for all.
"""

from typing import NamedTuple

import numpy as np

from neurotwin.runge_kutta import Tableau


class Stage(NamedTuple):
    """How one q comes about: ``own`` * kappa + ``beta`` * sum of ``sign`` * q over ``terms`` ``(number, sign)``.

    Attributes:
        scale: sigma.
        ones: what the column of ones holds.
    """

    own: float
    beta: float
    terms: tuple[tuple[int, int], ...]
    scale: float
    ones: float


class Fold(NamedTuple):
    """A tableau, folded.

    Attributes:
        stages: in order.
        answers: ``[stage, power]`` coefficients of theta, theta^2, ... of each q in the state at a fraction of a step.
    """

    stages: tuple[Stage, ...]
    answers: tuple[tuple[float, ...], ...]


def fold(tableau: Tableau) -> Fold | None:
    """The tableau folded; None where a stage is not used by the next one, or a sum is not one of plain additions."""
    size = len(tableau.b)
    rows = [*tableau.a[1:], tableau.b]
    matrix = np.array([[*row, *([0.0] * (size - len(row)))] for row in rows])
    if not np.diag(matrix).all():
        return None
    inverse = np.linalg.inv(matrix)
    earlier = [(matrix[i, :i] @ np.linalg.inv(matrix[:i, :i])).round(12) if i else np.zeros(0) for i in range(size)]
    scales: dict[int, float] = {size - 1: 1.0}
    units = [1.0] * size
    for number in reversed(range(size)):
        used = {i: abs(float(weight)) for i, weight in enumerate(earlier[number]) if weight}
        if not used:
            continue
        known = [i for i in used if i in scales] or [max(used)]
        units[number] = used[known[0]] / scales.setdefault(known[0], 1.0)
        for i, weight in used.items():
            if abs(scales.setdefault(i, weight / units[number]) - weight / units[number]) > 1e-9:
                return None
    stages: list[Stage] = []
    for number in range(size):
        scale = scales.get(number, 1.0)
        signs = {i: 1 if weight > 0 else -1 for i, weight in enumerate(earlier[number]) if weight}
        turned = -1 if signs and max(signs.values()) < 0 else 1
        terms = tuple((i, turned * sign) for i, sign in signs.items())
        beta = turned * scale * units[number] if terms else 1.0
        ones = beta * sum(sign * stages[i].ones for i, sign in terms) if terms else 1.0
        if not ones and number < size - 1:
            return None
        stages.append(Stage(float(matrix[number, number]) * scale, beta, terms, scale, ones))
    dense = np.array(tableau.dense)
    answers = [inverse[:, i] @ dense / stages[i].scale for i in range(size)]
    return Fold(tuple(stages), tuple(tuple(float(x) for x in one) for one in answers))
