"""The classical order-4 method in Kutta's 3/8 form."""

from neurotwin.runge_kutta import RK4
from neurotwin.solvers.solver import FixedStep


class Rk4(FixedStep):
    """Order 4, 4 stages, no embedded pair. Kutta (1901), the 3/8 rule (the tableau of torchdiffeq's ``rk4``)."""

    tableau = RK4
