"""The exported forecast of benchmarks/onnx, by number of patients and by rows of their plan."""

import copy
from pathlib import Path

import torch
from benchmarks.growth.curves import Work
from benchmarks.onnx.problem import ROWS, Problem
from benchmarks.onnx.routes import TORCH, onnx_of, session_of

from neurotwin.export.graphs import write_onnx
from neurotwin.solvers.folded import VARIANTS, exported_for

PATIENTS = 64
"""When rows are varied."""


class Forecasts:
    """All outputs of ``forecast.onnx`` in onnxruntime, and the model itself in torch.

    Args:
        folder: where `export` puts the graphs.
    """

    name = "exported forecast"
    routes = (TORCH, *map(onnx_of, VARIANTS))
    axes = {
        "patients": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
        "rows": (22, 45, 90, 180, 270, 360, 540, 720),
    }
    quick = {"patients": (8, 16, 32, 64, 128)}

    def __init__(self, folder: Path) -> None:
        self.folder, self.problem = folder, Problem()

    def export(self) -> None:
        """Both variants of the graph."""
        tensors = {name: torch.as_tensor(one) for name, one in self.problem.inputs(3).items()}
        for variant in VARIANTS:
            with exported_for(variant):
                write_onnx(self.problem.graph, tensors, self.problem.graph.output_names, self._path(variant), {})

    def ready(self, route: str, against: str, value: int) -> Work:
        """A forecast of so many patients or rows."""
        return self._forecast(route, *((value, ROWS) if against == "patients" else (PATIENTS, value)))

    def small(self, route: str) -> Work:
        """One patient, two rows."""
        return self._forecast(route, 1, 2)

    def _path(self, variant: str) -> Path:
        return self.folder / f"{variant}.onnx"

    def _forecast(self, route: str, patients: int, rows: int) -> Work:
        problem = copy.copy(self.problem)
        problem.rows = rows
        inputs = problem.inputs(patients)
        if route == TORCH:
            tensors = [torch.as_tensor(one) for one in inputs.values()]

            def forecast() -> None:
                with torch.inference_mode():
                    problem.graph(*tensors)

            return forecast
        variant = next(one for one in VARIANTS if onnx_of(one) == route)
        session = session_of(self._path(variant).read_bytes())
        given = {item.name: inputs[item.name] for item in session.get_inputs()}
        return lambda: session.run(None, given)
