"""Which backends there are here, and what each can solve."""

import importlib.util
import os

import torch
from torch import Tensor

from neurotwin.errors import SolverError
from neurotwin.solvers.mlp_field import MlpField
from neurotwin.solvers.solver import BACKENDS, FixedStep, VectorField

MOST_UNITS = {"fused": 4096, "triton": 128}
"""Of a layer."""
ANY_FIELD = {"cpu": "solver.backend=torch", "cuda": "solver.backend=cuda_graph or torch"}
"""What solves any vector field, by device."""


def available() -> tuple[str, ...]:
    """The backends that can be used on this machine (``fused`` needs a C++ compiler, looked for at its first use)."""
    there = {"torch", "fused"}
    if torch.cuda.is_available():
        there.add("cuda_graph")
    if importlib.util.find_spec("triton") is not None and (torch.cuda.is_available() or interpreted()):
        there.add("triton")
    return tuple(name for name in BACKENDS if name in there)


def interpreted() -> bool:
    """Whether Triton's interpreter stands in for a GPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def capturing() -> bool:
    """Whether a CUDA graph is being recorded."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def check_device(backend: str, device: torch.device) -> None:
    """Raise SolverError where a backend for GPUs is not there, or is asked to solve on another device."""
    wrong = None
    if backend not in available():
        has_triton = importlib.util.find_spec("triton") is not None
        wrong = "no package triton" if backend == "triton" and not has_triton else "no CUDA device"
    elif device.type != "cuda" and not (backend == "triton" and interpreted() and device.type == "cpu"):
        wrong = f"the state is on {device}"
    if wrong is not None:
        raise SolverError(
            f"the {backend} backend is not available: {wrong}",
            where="solver.backend",
            expected=f"one of {', '.join(available())}",
            remedy="solver.backend=torch solves on any device",
        )


def expressible(vector_field: VectorField, state: Tensor, solver: FixedStep) -> MlpField:
    """The vector field, if the solver's backend can solve it: otherwise a SolverError names what it cannot do."""
    wrong, most, device = None, MOST_UNITS[solver.backend], state.device.type
    if not isinstance(vector_field, MlpField):
        wrong = f"{getattr(vector_field, '__qualname__', type(vector_field).__name__)} is no MlpField"
    elif (solver.backend == "fused" and device != "cpu") or not _single(state):
        wrong = f"the state is {state.dtype} on {state.device}"
    elif max(layer.out_features for layer in vector_field.linears) > most:
        wrong = f"a layer has more than {most} units"
    elif solver.has_error:
        wrong = f"it has no error estimate, which {type(solver).__name__} gives"
    if wrong is not None:
        kind = "the CPU" if solver.backend == "fused" else "a GPU"
        raise SolverError(
            f"the {solver.backend} backend cannot solve this: {wrong}",
            where="solver.backend",
            expected=f"a network of SiLU layers as vector field (neurotwin.solvers.MlpField), in float32 on {kind}",
            remedy=f"{ANY_FIELD.get(device, ANY_FIELD['cpu'])} solves any vector field on any device",
        )
    return vector_field  # type: ignore[return-value]


def _single(state: Tensor) -> bool:
    """Whether a state is of single precision, or is cast to it: in mixed precision it may come in less."""
    if state.dtype == torch.float32:
        return True
    return torch.is_autocast_enabled(state.device.type) and state.dtype in (torch.bfloat16, torch.float16)
