"""Solvers over a Timeline: one verb, one file per method."""

from neurotwin.solvers.adaptive import Torchdiffeq
from neurotwin.solvers.bosh3 import Bosh3
from neurotwin.solvers.dopri5 import Dopri5
from neurotwin.solvers.euler import Euler
from neurotwin.solvers.heun import Heun
from neurotwin.solvers.mechanism import TorchEngine
from neurotwin.solvers.midpoint import Midpoint
from neurotwin.solvers.mlp_field import MlpField
from neurotwin.solvers.odesolve import Solution, odesolve
from neurotwin.solvers.rk4 import Rk4
from neurotwin.solvers.rows import Rows, over_rows
from neurotwin.solvers.solver import NON_FINITE, OK, STEP_BUDGET, FixedStep, Solver

__all__ = [
    "NON_FINITE",
    "OK",
    "STEP_BUDGET",
    "Bosh3",
    "Dopri5",
    "Euler",
    "FixedStep",
    "Heun",
    "Midpoint",
    "MlpField",
    "Rk4",
    "Rows",
    "Solution",
    "Solver",
    "TorchEngine",
    "Torchdiffeq",
    "odesolve",
    "over_rows",
]
