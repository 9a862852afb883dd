"""The Bogacki-Shampine pair."""

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.solver import FixedStep

_B = (2 / 9, 1 / 3, 4 / 9, 0.0)
_EMBEDDED = (7 / 24, 1 / 4, 1 / 3, 1 / 8)


class Bosh3(FixedStep):
    """Order 3, 4 stages (the last is the slope at the end), embedded order 2.

    Bogacki, Shampine, A 3(2) pair of Runge-Kutta formulas, Appl. Math. Lett. 2 (1989) 321. The continuous extension is
    the cubic Hermite interpolant of both ends.
    """

    tableau = Tableau(
        a=((), (1 / 2,), (0.0, 3 / 4), _B[:3]),
        b=_B,
        c=(0.0, 1 / 2, 3 / 4, 1.0),
        dense=((1.0, -4 / 3, 5 / 9), (0.0, 1.0, -2 / 3), (0.0, 4 / 3, -8 / 9), (0.0, -1.0, 1.0)),
        error=tuple(weight - other for weight, other in zip(_B, _EMBEDDED, strict=True)),
        order=3,
        dense_order=3,
    )
