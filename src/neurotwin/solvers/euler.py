"""Euler's method."""

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers.solver import FixedStep


class Euler(FixedStep):
    """Order 1, 1 stage. Euler, Institutionum calculi integralis (1768)."""

    tableau = Tableau(a=((),), b=(1.0,), c=(0.0,), dense=((1.0,),), error=(), order=1, dense_order=1)
