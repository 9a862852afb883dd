"""Fused solves on the CPU: the whole of a row, or of a plan, in one call of compiled code, forward and backward."""

from neurotwin.solvers.fused.library import INSTRUCTION_SETS, Library, library
from neurotwin.solvers.fused.solve import fused_solve

__all__ = ["INSTRUCTION_SETS", "Library", "fused_solve", "library"]
