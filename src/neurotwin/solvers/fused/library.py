"""The compiled solve: built on first use by torch's own extension builder, called through its C interface."""

import ctypes
import functools
import logging
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

LOG = logging.getLogger(__name__)
SOURCE = Path(__file__).with_name("solve.cpp")
FLAGS = ("-O3", "-std=c++17", "-fno-math-errno", "-fopenmp")
INSTRUCTION_SETS = ("plain", "avx2", "avx512")
_FLOATS = ctypes.POINTER(ctypes.c_float)


class Sequence(ctypes.Structure):
    """A time-dependent input ``[batch, row, ...]`` with its strides (problem.h)."""

    _fields_ = (("at", _FLOATS), ("batch", ctypes.c_long), ("row", ctypes.c_long))


class Problem(ctypes.Structure):
    """What one call solves (problem.h)."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("batch", "rows", "threads")),
        *((name, ctypes.c_int) for name in ("state", "moved", "hidden", "layers", "stages", "degree")),
        *((name, _FLOATS) for name in ("a", "b", "dense")),
        ("scale", ctypes.c_float),
        ("begin", _FLOATS),
        *((name, Sequence) for name in ("first", "drift", "clock", "dt", "query", "keep")),
        *((name, _FLOATS) for name in ("weight_in", "weight_clock", "weight_mid", "bias_mid")),
        *((name, _FLOATS) for name in ("weight_out", "bias_out")),
    )


class Course(ctypes.Structure):
    """Where a forward call writes (problem.h)."""

    _fields_ = tuple((name, _FLOATS) for name in ("at_query", "states", "final"))


class Gradients(ctypes.Structure):
    """What a backward call reads and writes (problem.h)."""

    _fields_ = tuple(
        (name, _FLOATS)
        for name in (
            *("states", "of_query", "of_final", "begin", "first", "drift"),
            *("weight_in", "weight_clock", "weight_mid", "bias_mid", "weight_out", "bias_out"),
        )
    )


class Library:
    """The functions of the compiled solve.

    Args:
        path: of the shared object.

    Attributes:
        best, chosen: numbers in `INSTRUCTION_SETS`: the best that the processor has, and the one in use.
    """

    def __init__(self, path: str) -> None:
        self._code = ctypes.CDLL(path)
        self.best = self.chosen = int(self._code.instruction_set())

    @property
    def instructions(self) -> str:
        """The instruction set in use."""
        return INSTRUCTION_SETS[self.chosen]

    def forward(self, problem: Problem, course: Course) -> None:
        """Solve. Raises MemoryError."""
        self._done(self._code.solve_forward(ctypes.byref(problem), ctypes.byref(course), self.chosen))

    def backward(self, problem: Problem, gradients: Gradients) -> None:
        """Go back through a solve. Raises MemoryError."""
        self._done(self._code.solve_backward(ctypes.byref(problem), ctypes.byref(gradients), self.chosen))

    @staticmethod
    def _done(found: int) -> None:
        if not found:
            raise MemoryError("no memory for a fused solve")


@functools.cache
def library() -> Library | None:
    """The compiled solve, built on first use (some seconds); None, with one line in the log, where it cannot be."""
    from torch.utils import cpp_extension

    before = os.environ.get("PATH", "")
    try:
        # ninja comes with the train extra, but its folder is not on the path unless the environment is activated.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
        path = cpp_extension.load(
            "neurotwin_fused_solve",
            [str(SOURCE)],
            extra_cflags=list(FLAGS),
            extra_ldflags=["-fopenmp"],
            is_python_module=False,
        )
        return Library(str(path))
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        told = str(error).strip().splitlines()
        LOG.warning(
            "solver.backend fused: no compiled solve (%s); solving with torch instead", told[0] if told else error
        )
        return None
    finally:
        os.environ["PATH"] = before


def sequence(tensor: Tensor) -> Sequence:
    """How compiled code sees ``[batch, row, ...]``, whose last axis, if there is a third one, must be contiguous."""
    return Sequence(floats(tensor), tensor.stride(0), tensor.stride(1))


def floats(tensor: Tensor | None) -> "ctypes._Pointer[ctypes.c_float] | None":
    """The address of a tensor's first number."""
    return None if tensor is None else ctypes.cast(tensor.data_ptr(), _FLOATS)


def threads() -> int:
    """As many as torch uses."""
    return torch.get_num_threads()
