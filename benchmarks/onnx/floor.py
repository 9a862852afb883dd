"""The physical floor: the benchmark's network solved for one patient by code that is written for it (solve.cpp)."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from benchmarks.onnx.problem import STATE, Arrays, Problem
from numpy.typing import NDArray

SOURCE = Path(__file__).with_name("solve.cpp")
FLAGS = ("-O3", "-std=c++17", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC")
WIDTHS = (4, 8, 16)
"""Floats in a register."""
_FLOATS = ctypes.POINTER(ctypes.c_float)


class _Weights(ctypes.Structure):
    _fields_ = tuple((name, _FLOATS) for name in "of_state of_control known middle bias_middle out bias_out".split())


class Floor:
    """A compiled solve of one patient.

    Args:
        width: floats in a register.

    Raises:
        OSError, subprocess.CalledProcessError: no compiler, or one that does not take the source.
    """

    def __init__(self, problem: Problem, inputs: Arrays, width: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"solve{width}.so"
            command = ["g++", *FLAGS, f"-DWIDTH={width}", str(SOURCE), "-o", str(path)]
            subprocess.run(command, check=True, capture_output=True)
            self._solve = ctypes.CDLL(str(path)).solve
        field, scaler = problem.model.field, problem.model.scaler
        first, middle, last = field.linears  # type: ignore[union-attr,operator]
        of_state, of_control, of_static, _ = first.weight.detach().split(field.sizes, dim=1)  # type: ignore[arg-type]
        part = problem.model.unpack(torch.as_tensor(inputs["state"][:1]))
        known = first.bias + part["static"] @ of_static.t()
        weights = (of_state.t(), of_control.t(), known, middle.weight.t(), middle.bias, last.weight.t(), last.bias)
        self._kept = [_aligned(one.detach().numpy()) for one in weights]
        self._weights = _Weights(*(_at(one) for one in self._kept))
        self._begin = _aligned(part["core"][0, :STATE].numpy())
        self._dt = _aligned(inputs["dt"][0] / scaler.time)
        self._control = _aligned((torch.as_tensor(inputs["control"][0]) / scaler.treatment).numpy())
        self.course: NDArray[np.float32] = np.zeros((inputs["dt"].shape[1], STATE), np.float32)
        given = (ctypes.byref(self._weights), _at(self._begin), _at(self._dt), _at(self._control))
        self._given = (*given, len(self.course), _at(self.course))

    def __call__(self) -> NDArray[np.float32]:
        """The course ``[row, 8]`` of the first patient."""
        self._solve(*self._given)
        return self.course


def _aligned(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy that begins with a line of the cache: else a wide load takes two of them."""
    room = np.zeros(array.size + 16, np.float32)
    first = -room.ctypes.data % 64 // 4
    copy = room[first : first + array.size]
    copy[:] = np.asarray(array, np.float32).ravel()
    return copy


def _at(array: NDArray[np.float32]) -> "ctypes._Pointer[ctypes.c_float]":
    return array.ctypes.data_as(_FLOATS)
