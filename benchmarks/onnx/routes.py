"""Ways to a forecast, each a function that is called once per forecast. To add one: a maker in `makers`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from benchmarks.onnx import mechanism
from benchmarks.onnx.floor import WIDTHS, Floor
from benchmarks.onnx.problem import STAGES, STATE, Arrays, Problem
from onnx import TensorProto, helper, numpy_helper

from neurotwin.bundle import FORECAST
from neurotwin.export.graphs import OPSET
from neurotwin.runtime import Predictor
from neurotwin.solvers.folded import VARIANTS

Forecast = Callable[[], Any]
Maker = Callable[[int], Forecast]
"""Of a number of patients; raises ImportError or OSError where the machine lacks what it takes."""
ONE, MANY = 1, 1024
TORCH, LSODA, NETWORK = "torch eager", "mechanism, scipy LSODA", "onnxruntime, network alone"


def onnx_of(variant: str) -> str:
    """The name of the exported forecast, straight in onnxruntime."""
    return f"onnxruntime, {variant}"


def solve_of(variant: str) -> str:
    """The name of the exported solve without what is told of it: the work of the floor."""
    return f"onnxruntime, {variant}, solve alone"


def floor_of(width: int) -> str:
    """The name of the solve written by hand."""
    return f"C++, {32 * width} bits"


def session_of(content: bytes) -> ort.InferenceSession:
    """One thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def makers(
    problem: Problem, bundles: Mapping[str, Path], solves: Mapping[str, bytes]
) -> dict[str, tuple[tuple[int, ...], Maker]]:
    """Name -> (numbers of patients, maker). ``bundles``: a variant's exported bundle; ``solves``: its solve alone."""
    found: dict[str, tuple[tuple[int, ...], Maker]] = {}
    for width in WIDTHS:
        found[floor_of(width)] = (ONE,), lambda batch, width=width: Floor(problem, problem.inputs(batch), width)
    for variant in VARIANTS:
        content = (bundles[variant] / FORECAST).read_bytes()
        found[onnx_of(variant)] = (
            (ONE, MANY),
            lambda batch, content=content: _straight(session_of(content), problem.inputs(batch)),
        )
        found[solve_of(variant)] = (
            (ONE, MANY),
            lambda batch, content=solves[variant]: _straight(session_of(content), problem.inputs(batch)),
        )
    found[NETWORK] = (ONE, MANY), lambda batch: _network(problem, batch)
    found["neurotwin.runtime, latency"] = (ONE, MANY), lambda batch: _runtime(bundles["latency"], problem, batch)
    found[TORCH] = (ONE, MANY), lambda batch: _torch(problem, problem.inputs(batch))
    for name, solver in mechanism.SOLVERS.items():
        found[name] = (ONE,), lambda batch, solver=solver: solver(mechanism.tumour())
    return found


def _straight(session: ort.InferenceSession, inputs: Arrays) -> Forecast:
    given = {item.name: inputs[item.name] for item in session.get_inputs()}
    return lambda: session.run(None, given)[0]


def _network(problem: Problem, batch: int) -> Forecast:
    """The network as often as a solve asks for it, each time of what it last answered: products, biases and SiLU, and
    nothing of a solver. What onnxruntime needs at least."""
    layers = problem.model.field.linears  # type: ignore[union-attr,operator]
    weights, nodes, name = [], [], "x"
    for number, layer in enumerate(layers):
        weight = layer.weight.detach()[:, : problem.model.n_learned] if number == 0 else layer.weight.detach()
        weights += [(f"w{number}", weight.t().contiguous()), (f"b{number}", layer.bias.detach())]
    for call in range(STAGES * problem.rows):
        for number in range(len(layers)):
            if number:
                nodes.append(helper.make_node("Sigmoid", [name], [f"s{call}_{number}"]))
                nodes.append(helper.make_node("Mul", [name, f"s{call}_{number}"], [f"a{call}_{number}"]))
                name = f"a{call}_{number}"
            nodes.append(helper.make_node("Gemm", [name, f"w{number}", f"b{number}"], [f"z{call}_{number}"]))
            name = f"z{call}_{number}"
    ends = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["batch", STATE]) for one in ("x", name)]
    kept = [numpy_helper.from_array(value.numpy(), key) for key, value in weights]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    session = session_of(model.SerializeToString())
    begin = problem.inputs(batch)["state"][:, :STATE].copy()
    return lambda: session.run(None, {"x": begin})[0]


def _runtime(bundle: Path, problem: Problem, batch: int) -> Forecast:
    """`neurotwin.runtime.Predictor.forecast` of a timeline."""
    predictor, inputs = Predictor.load(bundle), problem.inputs(batch)
    timeline: Any = SimpleNamespace(**{name: value.astype(np.float64) for name, value in inputs.items()})
    return lambda: predictor.forecast(inputs["state"], timeline)["mean"]


def _torch(problem: Problem, inputs: Arrays) -> Forecast:
    """The same forecast by the model itself."""
    given = [torch.as_tensor(one) for one in inputs.values()]

    def run() -> Any:
        with torch.inference_mode():
            return problem.graph(*given)[0].numpy()

    return run
