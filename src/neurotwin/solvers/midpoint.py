"""The explicit midpoint rule."""

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.solver import FixedStep


class Midpoint(FixedStep):
    """Order 2, 2 stages. Runge (1895)."""

    tableau = Tableau(
        a=((), (1 / 2,)),
        b=(0.0, 1.0),
        c=(0.0, 1 / 2),
        dense=((1.0, -1.0), (0.0, 1.0)),
        error=(),
        order=2,
        dense_order=2,
    )
