"""Weights of an exported graph: computed once, and where they are used.

The exporter leaves what it does to weights (cutting, turning, scaling) as operators, and keeps all weights outside the
bodies of Scans. onnxruntime lays out a weight for its products in advance only if it is a weight of the same graph:
moved into the body, those of a neural ODE make the solve of one patient a quarter faster.
"""

from typing import Any

import onnx
import onnxruntime as ort
from onnx import numpy_helper

from neurotwin.export.pruning import used_in


def settle_weights(model: onnx.ModelProto) -> None:
    """Compute what depends on weights alone, and move weights into the bodies of the Scans that use them. In place."""
    _compute(model)
    for scan in [node for node in model.graph.node if node.op_type == "Scan"]:
        _move(model.graph, next(one.g for one in scan.attribute if one.name == "body"))


def _compute(model: onnx.ModelProto) -> None:
    """Replace operators that depend on weights alone by their results."""
    graph = model.graph
    known = {item.name for item in graph.initializer}
    fixed, rest = [], []
    for node in graph.node:
        if node.op_type != "Scan" and known.issuperset(name for name in node.input if name):
            fixed.append(node)
            known.update(node.output)
        else:
            rest.append(node)
    if not fixed:
        return
    made = {name for node in fixed for name in node.output}
    wanted = sorted(made & set().union(*(used_in(node) for node in rest), (item.name for item in graph.output)))
    part = onnx.helper.make_graph(
        fixed,
        "weights",
        [],
        [onnx.helper.make_empty_tensor_value_info(name) for name in wanted],
        list(graph.initializer),
    )
    alone = onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
    alone.functions.extend(model.functions)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(alone.SerializeToString(), options, providers=["CPUExecutionProvider"])
    del graph.node[:]
    graph.node.extend(rest)
    for name, value in zip(wanted, session.run(wanted, {}), strict=True):
        graph.initializer.append(numpy_helper.from_array(value, name))


def _move(graph: Any, body: Any) -> None:
    """Give a body copies of the weights that it uses; what nothing else uses is pruned later."""
    weights = {item.name: item for item in graph.initializer}
    inside = {name: f"{body.name}.{name}" for node in body.node for name in node.input if name in weights}
    for name, new in inside.items():
        body.initializer.add().CopyFrom(weights[name])
        body.initializer[-1].name = new
    for node in body.node:
        node.input[:] = [inside.get(name, name) for name in node.input]
