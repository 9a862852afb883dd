"""The training-step benchmark: its routes do the same work, and its goals are read off its rows."""

import pytest
import torch

pytest.importorskip("torchdiffeq")

from benchmarks.train_step import run
from benchmarks.train_step.problem import SIZES, Problem
from benchmarks.train_step.routes import ROUTES, SAME_WORK


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("route", [*SAME_WORK, "torchdiffeq dopri5"])
def test_a_route_solves_the_problem(route):
    problem = Problem(SIZES["tiny"])
    _, expected, course = run.step_of(problem, ROUTES["torchdiffeq rk4"](problem))
    _, found, mine = run.step_of(problem, ROUTES[route](problem))
    loose = route not in SAME_WORK
    torch.testing.assert_close(mine, course, rtol=0, atol=0.02 if loose else 1e-5)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < (0.05 if loose else 1e-5)
    assert float((course - problem.truth()).abs().max()) < 1e-4


def test_rows_and_goals(monkeypatch):
    monkeypatch.setattr(run, "peak_of", lambda route, size, times=1: 2.0 * times)
    rows = run.measure("tiny", 1)
    assert {row["route"] for row in rows} >= {"torchdiffeq rk4", "neurotwin fused"}
    assert all(row["cpu_ms"] > 0 and row["error"] < 0.05 for row in rows)
    rows = [row | {"size": "S"} for row in rows]
    goals = {one["name"]: one for one in run.goals_of(rows, run.memory_per_row("tiny"))}
    speed = goals["neurotwin torch over torchdiffeq rk4, S"]
    assert speed["measured"] == next(row["times_rk4"] for row in rows if row["route"] == "neurotwin torch")
    assert goals["neurotwin torch over torchdiffeq rk4, M"]["measured"] is None
    assert goals["recompute: memory per row at ten times the rows over that at one"]["measured"] == 1.0
    assert goals["largest difference of gradients to torchdiffeq rk4"]["measured"] < 1e-5
