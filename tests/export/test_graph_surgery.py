"""What is done to a graph after its export: the same answers, nothing that is not used, weights where they are used."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from neurotwin.export.pruning import prune
from neurotwin.export.weights import settle_weights

FLOAT = TensorProto.FLOAT


def given(name, *shape):
    return helper.make_tensor_value_info(name, FLOAT, shape)


def model_of(nodes, inputs, outputs, weights):
    kept = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def model():
    """A Scan with an input that its body does not use, one given twice, an output that nobody uses, and weights that
    are computed of weights."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["carry", "turned"], ["product"]),
            helper.make_node("Add", ["product", "row"], ["sum"]),
            helper.make_node("Add", ["sum", "again"], ["after"]),
            helper.make_node("Neg", ["unused"], ["wasted"]),
            helper.make_node("Identity", ["after"], ["told"]),
        ],
        "body",
        [given("carry", "batch", 2), *(given(name, "batch", 2) for name in ("unused", "row", "again"))],
        [given("after", "batch", 2), given("wasted", "batch", 2), given("told", "batch", 2)],
    )
    scan = helper.make_node(
        "Scan", ["begin", "other", "rows", "rows"], ["end", "w", "course"], body=body, num_scan_inputs=3,
        scan_input_directions=[0, 0, 0], scan_output_directions=[0, 0],
    )  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["weight"], ["flat"], perm=[1, 0]),
        helper.make_node("Mul", ["flat", "half"], ["turned"]),
        helper.make_node("Exp", ["rows"], ["forgotten"]),
        scan,
        helper.make_node("MatMul", ["course", "weight"], ["answer"]),
    ]
    inputs = [given("begin", "batch", 2), given("rows", "time", "batch", 2), given("other", "time", "batch", 2)]
    outputs = [given("answer", "time", "batch", 2), given("end", "batch", 2)]
    return model_of(nodes, inputs, outputs, {"weight": [[1, 2], [3, 4]], "half": 0.5, "nothing": [1.0]})


def answers(model):
    rng = np.random.default_rng(0)
    shapes = {"begin": (3, 2), "rows": (5, 3, 2), "other": (5, 3, 2)}
    inputs = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def scan_of(model):
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    return scan, {attribute.name: attribute for attribute in scan.attribute}


def test_the_graph_answers_as_before(model):
    expected = answers(model)
    settle_weights(model)
    prune(model)
    onnx.checker.check_model(model)
    for one, other in zip(answers(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_nothing_depends_on_is_gone(model):
    prune(model)
    scan, told = scan_of(model)
    assert list(scan.input) == ["begin", "rows"] and list(scan.output) == ["end", "course"]
    assert told["num_scan_inputs"].i == 1
    assert list(told["scan_input_directions"].ints) == list(told["scan_output_directions"].ints) == [0]
    body = told["body"].g
    assert [node.op_type for node in body.node] == ["MatMul", "Add", "Add", "Identity"]
    assert list(body.node[2].input) == ["sum", "row"]
    assert "Exp" not in {node.op_type for node in model.graph.node}
    assert {item.name for item in model.graph.initializer} == {"weight", "half"}
    assert [item.name for item in model.graph.input] == ["begin", "rows", "other"]


def test_one_input_stays_to_tell_the_number_of_rows(model):
    scan, told = scan_of(model)
    body = told["body"].g
    for node, names in ((body.node[1], ["product", "product"]), (body.node[2], ["sum", "sum"])):
        node.input[:] = names
    expected = answers(model)
    prune(model)
    assert scan_of(model)[1]["num_scan_inputs"].i == 1
    np.testing.assert_array_equal(answers(model)[0], expected[0])


def test_weights_are_computed_and_moved_to_where_they_are_used(model):
    settle_weights(model)
    prune(model)
    assert [node.op_type for node in model.graph.node] == ["Scan", "MatMul"]
    (inside,) = scan_of(model)[1]["body"].g.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(inside), [[0.5, 1.5], [1.0, 2.0]])
    assert {item.name for item in model.graph.initializer} == {"weight"}


def test_a_graph_without_anything_fixed_stays():
    node = helper.make_node("Neg", ["x"], ["y"])
    model = model_of([node], [given("x", "batch")], [given("y", "batch")], {})
    before = model.SerializeToString()
    settle_weights(model)
    prune(model)
    assert model.SerializeToString() == before
