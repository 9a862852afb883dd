"""Whole solves on a GPU: one launch of a Triton kernel per direction.

A program takes a tile of patients through all rows and all stages of a method. Forward keeps the states at which
slopes are taken; backward is the discrete adjoint (Hager, Numer. Math. 2000;87:247-282) with the network's units
computed again from them, so that of a solve no unit is kept. Sums over patients are added in one order, whatever ran
first.

Importing this package imports triton, which reads TRITON_INTERPRET then.
"""

from neurotwin.solvers.triton_kernels.solve import MOST_UNITS, triton_solve

__all__ = ["MOST_UNITS", "triton_solve"]
