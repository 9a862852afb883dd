"""A history, or a plan, in double precision: parity, single precision at its ends, and the same forecast."""

import numpy as np
import onnx
import pytest

from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError
from neurotwin.export import export_bundle
from neurotwin.export.parity import TOLERANCE
from neurotwin.runtime import Predictor
from neurotwin.training import SurrogatePredictor


def types_of(graph):
    """Element types of the graph's weights, and of its tensors in and out."""
    ends = {item.type.tensor_type.elem_type for item in (*graph.input, *graph.output)}
    return {item.data_type for item in graph.initializer}, ends


@pytest.mark.parametrize("part", ["history", "plan"])
def test_an_unknown_precision_is_refused(source, tmp_path, part):
    with pytest.raises(ConfigError, match=f"{part} is 'float16'.*float32 or float64"):
        export_bundle(source(), tmp_path / "toy@0.1.0", **{part: "float16"})
    assert not (tmp_path / "toy@0.1.0").exists()


@pytest.mark.full
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_in_double_it_answers_as_the_model_does(source, tmp_path, precision):
    """Of the model that reads its rows at once: neither graph has a loop."""
    given = source("neural_mixed")
    done = export_bundle(given, tmp_path / "toy@0.1.0", timelines=60, history="float64", plan=precision)
    assert max(done.parity.values()) <= TOLERANCE
    past, plan = (onnx.load(done.folder / name).graph for name in done.sizes)
    assert not any(node.op_type == "Scan" for graph in (past, plan) for node in graph.node)
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    assert double in types_of(past)[0] and (double in types_of(plan)[0]) == (precision == "float64")
    assert types_of(past)[1] == types_of(plan)[1] == {single}
    episodes, *_ = make_episodes(given.cohort, 3.0)
    found, expected = Predictor.load(done.folder)(episodes), SurrogatePredictor(given.model)(episodes)
    np.testing.assert_allclose(found.quantiles, expected.quantiles, rtol=1e-4)
