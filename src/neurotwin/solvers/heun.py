"""Heun's method with Euler's embedded."""

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.solver import FixedStep


class Heun(FixedStep):
    """Order 2, 2 stages, embedded order 1. Heun (1900)."""

    tableau = Tableau(
        a=((), (1.0,)),
        b=(1 / 2, 1 / 2),
        c=(0.0, 1.0),
        dense=((1.0, -1 / 2), (0.0, 1 / 2)),
        error=(-1 / 2, 1 / 2),
        order=2,
        dense_order=2,
    )
