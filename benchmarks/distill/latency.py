"""Forecasts of one patient, straight in onnxruntime, beside the solve written by hand."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from benchmarks.onnx.floor import WIDTHS, Floor
from benchmarks.onnx.problem import ROWS, Arrays, Problem

from neurotwin.bundle import FORECAST
from neurotwin.events import Doses, Observations, Queries
from neurotwin.export.graphs import ForecastGraph, write_onnx
from neurotwin.export.parity import plan_arrays
from neurotwin.models import DistilledFlow
from neurotwin.runtime import Predictor
from neurotwin.runtime.lanes import ROW_COST, spread
from neurotwin.timeline import build_timeline

SPAN = 0.05
"""Seconds that a route is called for in each turn."""
FLOOR = "C++ solve"
FEW, DAILY, HELD = "four doses", "a dose a day", "two infusions that change daily"
Forecast = Callable[[], Any]


def doses_of(plan: str, horizon: float) -> list[tuple[float, int, float]]:
    """Time, treatment and amount of the doses of a plan."""
    if plan == FEW:
        return [(15.0 * number, 0, 5.0) for number in range(4)]
    return [(float(day), 1, 2.0) for day in range(int(horizon))]


def arrays_of(predictor: Predictor, plan: str, lanes: bool) -> Arrays:
    """The forecast graph's inputs for ``ROWS`` evenly spaced queries up to the bundle's horizon."""
    signature = predictor.signature
    times = np.linspace(0, 0.999 * signature.horizon, ROWS + 1)[1:]
    time_, treatment, amount = zip(*doses_of(plan, signature.horizon), strict=True)
    blank = np.zeros((1, signature.n_static_columns))
    timeline = build_timeline(
        start=np.zeros(1),
        static=blank,
        static_mask=blank,
        n_variables=len(signature.variables),
        n_treatments=len(signature.treatments),
        observations=Observations.of([], [], [], []),
        doses=Doses.of(0, time_, np.nan, treatment, amount),
        queries=Queries.of(0, times),
        max_step=signature.max_step,
    )
    cost = ROW_COST if signature.distilled is None else 0
    wide, n_lanes, _ = spread(timeline, np.zeros(ROWS, int), signature.n_draws, cost) if lanes else (timeline, 1, None)
    return plan_arrays(wide, np.zeros((n_lanes, signature.state_size), np.float32))


def routes(bundles: dict[str, Path]) -> dict[tuple[str, str], Forecast]:
    """(route, plan) -> a forecast."""
    problem = Problem()
    found: dict[tuple[str, str], Forecast] = {}
    for width in WIDTHS:
        try:
            found[f"{FLOOR}, {32 * width} bits", HELD] = Floor(problem, problem.inputs(1), width)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{FLOOR}, {32 * width} bits: left out ({type(error).__name__})", flush=True)
    for name, label in (("teacher", "solved"), ("student", "distilled")):
        predictor = Predictor.load(bundles[name])
        session = session_of((bundles[name] / FORECAST).read_bytes())
        for plan in (FEW, DAILY):
            found[f"{label}, onnxruntime", plan] = _straight(session, arrays_of(predictor, plan, lanes=True))
    graphs = (("solved", problem.graph), ("distilled, weights not trained", untrained(problem)))
    for label, graph in graphs:
        found[f"{label}, onnxruntime", HELD] = _straight(exported(problem, graph), problem.inputs(1))
    return found


def untrained(problem: Problem) -> ForecastGraph:
    """A flow map for the floor's own model: its time is that of a trained one, its answers mean nothing."""
    torch.manual_seed(0)
    made = DistilledFlow(problem.cohort.schema, problem.scaling, lambda *_: problem.model)
    return ForecastGraph(made.eval()).eval()


def exported(problem: Problem, graph: ForecastGraph) -> ort.InferenceSession:
    """The graph in onnxruntime."""
    tensors = {name: torch.as_tensor(one) for name, one in problem.inputs(3).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecast.onnx"
        write_onnx(graph, tensors, graph.output_names, path, {})
        return session_of(path.read_bytes())


def session_of(content: bytes) -> ort.InferenceSession:
    """One thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _straight(session: ort.InferenceSession, inputs: Arrays) -> Forecast:
    used = {item.name: inputs[item.name] for item in session.get_inputs()}
    return lambda: session.run(None, used)


def measure(found: dict[tuple[str, str], Forecast], repeats: int) -> list[dict[str, Any]]:
    """All routes in turns: least CPU time of a turn's mean, and least of the turns' medians of wall time."""
    cpu: dict[tuple[str, str], list[float]] = {key: [] for key in found}
    wall: dict[tuple[str, str], list[float]] = {key: [] for key in found}
    for forecast in found.values():
        forecast()
    for _ in range(repeats):
        for key, forecast in found.items():
            calls, until, begun = [], time.perf_counter() + SPAN, time.process_time()
            while (now := time.perf_counter()) < until:
                forecast()
                calls.append(time.perf_counter() - now)
            cpu[key].append((time.process_time() - begun) / len(calls))
            wall[key].append(float(np.median(calls)))
    floor = min((min(cpu[key]) for key in found if key[0].startswith(FLOOR)), default=None)
    floor_p50 = min((min(wall[key]) for key in found if key[0].startswith(FLOOR)), default=None)
    return [
        {
            "route": route,
            "plan": plan,
            "cpu_us": 1e6 * min(cpu[route, plan]),
            "p50_us": 1e6 * min(wall[route, plan]),
            "times_floor": None if floor is None else min(cpu[route, plan]) / floor,
            "times_floor_p50": None if floor_p50 is None else min(wall[route, plan]) / floor_p50,
            "repeats": repeats,
        }
        for route, plan in found
    ]
