"""The exported forecast's benchmark: its routes answer the same question, and its goals are read off its rows."""

import shutil

import numpy as np
import pytest
import torch
from benchmarks.onnx import run
from benchmarks.onnx.floor import WIDTHS, Floor
from benchmarks.onnx.goals import goals_of
from benchmarks.onnx.mechanism import _course as course_of_mechanism
from benchmarks.onnx.mechanism import lsoda, tumour
from benchmarks.onnx.problem import Problem
from benchmarks.onnx.routes import LSODA, MANY, NETWORK, ONE, TORCH, floor_of, onnx_of, solve_of


@pytest.fixture(scope="module")
def problem():
    return Problem(rows=6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("width", WIDTHS[:2])
def test_the_floor_solves_the_same_network(problem, width):
    inputs = problem.inputs(1)
    np.testing.assert_allclose(Floor(problem, inputs, width)(), problem.course(inputs)[0], rtol=0, atol=5e-6)


def test_torch_answers_as_in_double_precision(problem):
    inputs = problem.inputs(3)
    with torch.inference_mode():
        found = problem.graph(*(torch.as_tensor(one) for one in inputs.values()))[0]
    np.testing.assert_allclose(found, problem.truth(inputs), rtol=1e-5)
    assert np.ptp(problem.truth(inputs)) > 1.0


def test_the_compiled_mechanism_is_the_mechanism():
    question = tumour()
    expected = lsoda(question)()
    model, segments = question.model.take(slice(0, 1)), question.segments
    names = ("growth_rate", "carrying_capacity", "chemo_sensitivity", "chemo_half_life", "radio_alpha", "radio_beta")
    parameters = [float(np.ravel(getattr(model, name))[0]) for name in names]
    begins, amounts = np.array([one.begin for one in segments]), np.array([one.amount for one in segments])
    first = np.asarray(model.initial_state(1))[0]
    found = course_of_mechanism(first, parameters, begins, amounts, len(question.times))
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-3)


def test_goals_are_read_off_the_rows():
    def row(route, patients, us, gflops=None, error=None):
        told = {"route": route, "patients": patients, "us_p50": us, "us_min": us, "gflops": gflops}
        return told | {"error": error}

    rows = [
        row(floor_of(4), ONE, 120.0, 30.0),
        row(floor_of(16), ONE, 60.0, 60.0),
        row(onnx_of("latency"), ONE, 600.0, error=1e-7),
        row(solve_of("latency"), ONE, 540.0, error=1e-7),
        row(onnx_of("throughput"), MANY, 1000.0, 50.0, 2e-7),
        row(NETWORK, MANY, 900.0, 55.0),
        row(TORCH, ONE, 6000.0),
        row(TORCH, MANY, 1500.0),
        row(LSODA, ONE, 1200.0),
    ]
    exports = [{"bytes": 40_000, "cpu_s": 5.0}]
    goals = {one["name"].split(" (")[0]: one for one in goals_of(rows, exports, 100.0)}
    assert goals["one patient: median time over that of the floor"]["measured"] == 10.0
    assert goals["one patient: scipy LSODA over the exported forecast"]["measured"] == 2.0
    missed = goals["1024 patients: rate over that of a product of matrices"]
    assert missed["measured"] == 0.5 and "55 GFLOP/s" in missed["cause"]
    assert goals["one patient: torch over the exported forecast"]["cause"] == ""
    assert all(one["measured"] is not None for one in goals.values())
    left_out = goals_of([one for one in rows if one["route"] != LSODA], exports, 100.0)
    assert [one["measured"] for one in left_out if "LSODA" in one["name"]] == [None]


def test_a_route_that_cannot_be_made_is_left_out(problem, monkeypatch, capsys):
    def missing(batch):
        raise ImportError("no module named peer")

    monkeypatch.setattr(
        run, "makers", lambda *_: {"peer": ((1,), missing), "ours": ((1, 2), lambda batch: lambda: batch)}
    )
    assert list(run.ready(problem, {}, {})) == [("ours", 1), ("ours", 2)]
    assert "peer: left out" in capsys.readouterr().out
