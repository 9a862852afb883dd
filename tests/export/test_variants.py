"""Exports that are fast for one patient or for many: the same answers, and what the manifest says of them."""

import json

import numpy as np
import onnx
import pytest
import torch
from toys import toy_cohort, toy_model

from neurotwin.errors import ConfigError, ParityError
from neurotwin.export import export_bundle
from neurotwin.export.graphs import ForecastGraph, write_onnx
from neurotwin.export.parity import TimelineSource, plan_arrays, run_onnx, run_torch
from neurotwin.scaling import Scaling
from neurotwin.solvers.folded import VARIANTS, exported_for

module = __import__("neurotwin.export.export", fromlist=["export"])


def scan_of(path):
    """Numbers of operators in the loop, and of what goes into it."""
    scan = next(node for node in onnx.load(path).graph.node if node.op_type == "Scan")
    return len(next(one.g for one in scan.attribute if one.name == "body").node), len(scan.input)


def test_an_unknown_variant_is_refused(source, tmp_path):
    with pytest.raises(ConfigError, match="latency or throughput or exact"):
        export_bundle(source(), tmp_path / "toy@0.1.0", variant="speed")
    assert not (tmp_path / "toy@0.1.0").exists()


@pytest.mark.parametrize(
    "variant",
    ["throughput", *(pytest.param(name, marks=pytest.mark.full) for name in VARIANTS if name != "throughput")],
)
def test_a_variant_answers_as_the_model_does(variant, tmp_path):
    """The toy model has doses, infusions, covariates and a clock."""
    cohort = toy_cohort(50)
    model = toy_model(cohort)
    graph = ForecastGraph(model).eval()
    questions = TimelineSource(cohort.schema, Scaling.fit(cohort.part("train")), model.solver.max_step)
    rng, path = np.random.default_rng(0), tmp_path / "forecast.onnx"

    def asked(size, events):
        state = rng.normal(size=(size, model.state_size)).astype(np.float32)
        return plan_arrays(questions.timeline(size, events, past=False), state)

    example = {name: torch.as_tensor(value) for name, value in asked(3, 4).items()}
    with exported_for(variant):
        write_onnx(graph, example, graph.output_names, path, {})
    session = module._session(path)
    for size, events in ((1, 0), (1, 30), (7, 5)):
        inputs = asked(size, events)
        for expected, found in zip(run_torch(graph, inputs), run_onnx(session, inputs), strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)
    nodes, inputs = scan_of(path)
    assert inputs <= 12 and nodes <= 120


@pytest.mark.full
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_manifest_tells_the_variant(source, tmp_path, variant):
    done = export_bundle(source(), tmp_path / "toy@0.1.0", timelines=60, variant=variant)
    assert json.loads((done.folder / "manifest.json").read_text())["variant"] == variant


@pytest.mark.full
def test_a_fold_that_misses_parity_is_left_for_exact_steps_and_said_so(source, tmp_path, monkeypatch, caplog):
    prove, tried = module.prove_parity, []

    def first_fails(*pairs, **more):
        tried.append(pairs)
        if len(tried) == 1:
            raise ParityError("output mean differs", where="parity")
        return prove(*pairs, **more)

    monkeypatch.setattr(module, "prove_parity", first_fails)
    done = export_bundle(source("neural_ode"), tmp_path / "toy@0.1.0", timelines=20)
    assert json.loads((done.folder / "manifest.json").read_text())["variant"] == "exact"
    assert len(tried) == 2 and "left for the exact one" in caplog.text
