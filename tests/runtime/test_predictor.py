"""The predictor: what it loads, and that it needs nothing but numpy and onnxruntime."""

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from neurotwin.bundle import Bundle
from neurotwin.episodes import make_episodes
from neurotwin.errors import ArtefactError, BundleError, IntegrityError
from neurotwin.runtime import Predictor

ANSWER = """
import json, sys
from neurotwin.runtime import Predictor, Twin
patient, plan = (json.loads(text) for text in sys.argv[2:4])
answer = Twin.of(Predictor.load(sys.argv[1]), patient).forecast(plan)
assert answer["status"] == "ok", answer["reasons"]
"""
HEAVY = (
    "torch",
    "lightning",
    "hydra",
    "omegaconf",
    "wandb",
    "pandas",
    "scipy",
    "pyarrow",
    "onnx",
    "pydantic",
    "pint",
    "ucumvert",
)


def changed(folder, name, change, rehash):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    rehash(folder)


def first_number(golden):
    golden["cases"][0]["forecast"]["outputs"]["mean"]["data"][0] += 1.0


@pytest.mark.parametrize(
    ("name", "change", "error", "match"),
    [
        ("golden.json", first_number, IntegrityError, "golden case 0 is answered otherwise"),
        ("golden.json", lambda g: g.update(cases=[]), BundleError, "prove nothing"),
        ("golden.json", lambda g: g.update(relative_tolerance=1e30), BundleError, "prove nothing"),
        ("golden.json", lambda g: g["cases"][1]["forecast"]["outputs"].pop("draws"), BundleError, "cannot be read"),
        (
            "golden.json",
            lambda g: g["cases"][0]["forecast"]["inputs"]["state"].update(shape=[1, 1]),
            BundleError,
            "cannot be",
        ),
        (
            "golden.json",
            lambda g: g["cases"][0]["assimilate"]["inputs"].update(dt={"shape": [3, 7], "data": [0] * 21}),
            BundleError,
            "cannot",
        ),
        (
            "golden.json",
            lambda g: g["cases"][0]["forecast"]["outputs"]["mean"]["data"].__setitem__(0, 10**400),
            BundleError,
            "read",
        ),
        ("signature.json", lambda s: s.pop("schema"), BundleError, "KeyError"),
        ("signature.json", lambda s: s["schema"].update(variables=[]), BundleError, "garbles"),
        ("signature.json", lambda s: s["channels"]["observations"][0].update(unit="L"), BundleError, "garbles"),
        (
            "signature.json",
            lambda s: s["channels"]["observations"][0]["units"]["cm3"].update(factor=0),
            BundleError,
            "garbles",
        ),
        ("signature.json", lambda s: s.update(max_step=0), BundleError, "out of range"),
        ("signature.json", lambda s: s.update(max_step=10**400), BundleError, "OverflowError"),
        ("signature.json", lambda s: s["state"].update(size=3), BundleError, "does not tell of"),
        ("signature.json", lambda s: s.update(draws=5), BundleError, "does not tell of"),
        ("signature.json", lambda s: s.pop("graphs"), BundleError, "KeyError"),
        ("calibration.json", lambda c: c["channels"]["volume"].update(unit="L"), BundleError, "other channels"),
        ("calibration.json", lambda c: c.update(time_unit="h"), BundleError, "other channels"),
        ("calibration.json", lambda c: c["channels"].pop("temperature"), BundleError, "other channels"),
        ("calibration.json", lambda c: c.update(level=2), BundleError, "out of range"),
    ],
)
def test_documents_of_a_bundle_that_hold_together_but_lie(node_bundle, copy_of, rehash, name, change, error, match):
    folder = copy_of(node_bundle)
    changed(folder, name, change, rehash)
    with pytest.raises(error, match=match):
        Predictor.load(folder)


def graph_of(*nodes, name="dt"):
    shape = ["batch", "row"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("mean", TensorProto.FLOAT, shape)]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph(list(nodes), "g", inputs, outputs), opset_imports=opsets, ir_version=10)


def with_loop():
    keep = helper.make_node("Identity", ["c"], ["c2"])
    types = [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))]
    body = helper.make_graph([keep], "b", types, [helper.make_tensor_value_info("c2", TensorProto.BOOL, [])])
    return graph_of(helper.make_node("Loop", ["", ""], [], body=body), helper.make_node("Identity", ["dt"], ["mean"]))


def hidden_loop():
    """A function that borrows a standard name does not hide what stands under it."""
    model = with_loop()
    model.functions.add(name="Loop", domain="")
    return model


def with_external_data():
    model = graph_of(helper.make_node("Identity", ["dt"], ["mean"]))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(weight)
    return model


HOSTILE = {
    "loop": (with_loop, "operators"),
    "hidden loop": (hidden_loop, "operators"),
    "foreign domain": (
        lambda: graph_of(helper.make_node("Gelu", ["dt"], ["mean"], domain="com.microsoft")),
        "operators",
    ),
    "external data": (with_external_data, "outside the file"),
    "other input": (lambda: graph_of(helper.make_node("Identity", ["x"], ["mean"]), name="x"), "does not tell of"),
    "other shape": (lambda: graph_of(helper.make_node("Identity", ["dt"], ["mean"])), "does not tell of"),
    "many nodes": (
        lambda: graph_of(*(helper.make_node("Abs", ["dt"], [f"v{i}"]) for i in range(20_001))),
        "20001 nodes",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_graphs_with_true_hashes(node_bundle, copy_of, rehash, kind):
    folder, (make, match) = copy_of(node_bundle), HOSTILE[kind]
    (folder / "forecast.onnx").write_bytes(make().SerializeToString())
    rehash(folder)
    with pytest.raises(BundleError, match=match):
        Predictor.load(folder)


@pytest.mark.parametrize("content", [b"", b"\x00", b"<html>", b"\xff" * 99, b"\x3a\xff\xff\xff\xff\x7f"])
def test_files_that_are_no_graphs(node_bundle, copy_of, rehash, content):
    folder = copy_of(node_bundle)
    (folder / "assimilate.onnx").write_bytes(content)
    rehash(folder)
    with pytest.raises(BundleError):
        Predictor.load(folder)


@pytest.mark.fault
def test_cut_and_flipped_graphs_with_true_hashes_never_crash(node_bundle, tally):
    bundle, rng = Bundle.load(node_bundle), np.random.default_rng(1)
    for _ in range(25):
        content = bytearray(bundle.graphs["forecast.onnx"])
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        spoiled = bytes(content[: int(rng.integers(len(content)))] if rng.random() < 0.5 else content)
        with contextlib.suppress(ArtefactError):
            Predictor(Bundle(**{**vars(bundle), "graphs": {**bundle.graphs, "forecast.onnx": spoiled}})).check_golden()
    tally("a damaged graph under a true hash", tried=25)


def test_opset_of_the_future(node_bundle, copy_of, rehash):
    folder = copy_of(node_bundle)
    model = onnx.load(folder / "forecast.onnx")
    model.opset_import[0].version = 999
    (folder / "forecast.onnx").write_bytes(model.SerializeToString())
    rehash(folder)
    with pytest.raises(BundleError, match="cannot be loaded"):
        Predictor.load(folder)


def test_a_batch_answers_as_each_alone(predictor, toy_cohort):
    episodes, _, _ = make_episodes(toy_cohort, 100.0)
    together = predictor(episodes)
    for number in (0, 7, len(episodes) - 1):
        own = episodes.queries.subject == number
        alone = predictor(episodes.take(np.array([number])))
        np.testing.assert_allclose(alone.quantiles, together.quantiles[own], rtol=1e-6)
        np.testing.assert_allclose(alone.draws, together.draws[own], rtol=1e-6)


def test_the_schema_is_the_cohorts(predictor, toy_cohort):
    assert predictor.schema == toy_cohort.schema
    raw = np.array([[50.0, 1.0], [np.nan, np.nan]])
    for mine, theirs in zip(predictor.signature.encode_statics(raw), predictor.schema.encode_statics(raw), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    value = np.array([0.5, 30.0])
    for mine, theirs in zip(predictor.signature.variables, predictor.schema.variables, strict=True):
        assert mine.head == theirs.recorded_as
        np.testing.assert_array_equal(mine.head.forward(value), theirs.forward(value))


def answer_in_a_process(bundle, patient_text, plan, code, **environment):
    command = [sys.executable, "-W", "error", "-c", code, str(bundle), patient_text, json.dumps(plan)]
    inherited = {
        key: value for key, value in os.environ.items() if key != "HOME" and not key.startswith(("XDG_", "COV"))
    }
    found = subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr


def test_an_answer_needs_neither_torch_nor_pandas_nor_pydantic(node_bundle, patient_text, plan):
    code = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n" + ANSWER
    answer_in_a_process(node_bundle, patient_text, plan, code, HOME="/nonexistent")


def test_an_answer_leaves_no_file_behind(node_bundle, patient_text, plan, tmp_path):
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    answer_in_a_process(node_bundle, patient_text, plan, ANSWER, HOME=str(home), TMPDIR=str(scratch))
    assert not list(home.rglob("*")) and not list(scratch.rglob("*"))


def test_an_answer_after_a_fork(predictor, patient, plan):
    from neurotwin.runtime import Twin

    expected = Twin.of(predictor, patient).forecast(plan)["prediction"]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        same = Twin.of(predictor, patient).forecast(plan)["prediction"] == expected
        os.write(write, b"same" if same else b"else")
        os._exit(0)
    os.close(write)
    assert os.read(read, 4) == b"same"
    os.waitpid(child, 0)
    os.close(read)
