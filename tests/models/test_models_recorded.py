"""The models that go through odesolve, with their loops recorded (`solver.backend: cuda_graph`): no number changes."""

import sys

import pytest
import torch
from eager_tape import EagerTape
from toys import MAX_STEP, rows_of, toy_cohort, toy_model

from neurotwin.errors import SolverError
from neurotwin.events import Queries
from neurotwin.solvers import Rk4
from neurotwin.solvers.cuda_graphs import Graphs

RECORDED = ("neural_ode", "latent_ode", "neural_cde", "population_ode")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(sys.modules["neurotwin.solvers.odesolve"], "check_device", lambda backend, device: None)


def trained(kind, solver, cohort):
    """What a training step says: forecast of a plan after a history, and the gradients of all weights."""
    model = toy_model(cohort, kind, solver=solver).train()
    history, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    subjects = range(len(cohort))
    plan, _ = rows_of(cohort, queries=Queries.of([*subjects, *subjects], [9.0] * len(cohort) + [10.0] * len(cohort)))
    static, mask = (torch.as_tensor(one, dtype=torch.float32) for one in cohort.schema.encode_statics(cohort.statics))
    before = torch.zeros(len(cohort), model.state_size)
    torch.manual_seed(1)
    ones, start = torch.ones(len(cohort)), torch.zeros(len(cohort))
    state, cost = model.follow(before, ones, start, static, mask, history)
    said = model.forecast(state, plan)
    costs = [one.mean() for one in (cost, said.cost) if one is not None]
    total = said.location.square().mean() + said.scale.mean() + sum(costs)
    weights = [one for one in model.parameters() if one.requires_grad]
    return said.location, torch.autograd.grad(total, weights, allow_unused=True)


@pytest.mark.parametrize("kind", RECORDED)
def test_a_training_step_is_that_of_torch(kind):
    cohort = toy_cohort(6)
    solver = Rk4(MAX_STEP, backend="cuda_graph")
    solver.graphs = Graphs(EagerTape)
    (said, found), (expected, gradients) = trained(kind, solver, cohort), trained(kind, Rk4(MAX_STEP), cohort)
    assert solver.graphs.tapes
    torch.testing.assert_close(said, expected, rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(found, gradients, strict=True):
        if theirs is None:
            assert mine is None or not mine.any()
        else:
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_a_model_that_takes_its_steps_one_by_one_says_so():
    with pytest.raises(SolverError, match="cuda_graph backend has no part in a model that takes its steps one by one"):
        trained("bayes_ode", Rk4(MAX_STEP, backend="cuda_graph"), toy_cohort(6))
