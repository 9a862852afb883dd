"""Neural flow: the solution itself, exact at the start, invertible, read at all times in one pass."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.events import Queries
from neurotwin.models.neural_flow import CouplingFlow
from neurotwin.solvers import Rk4

N = 12


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    made = CouplingFlow(5, 3, 16, 3).double()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made


@pytest.fixture
def told():
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(50, size, generator=generator, dtype=torch.float64) for size in (5, 3))


def test_at_no_time_it_is_the_identity_to_the_last_bit(flow, told):
    state, condition = told
    assert torch.equal(flow(0.0 * state[:, :1], state, condition), state)


@pytest.mark.parametrize("time", [0.1, 2.0, 20.0])
def test_it_can_be_run_back(flow, told, time):
    state, condition = told
    length = torch.full_like(state[:, :1], time)
    moved = flow(length, state, condition)
    assert (moved - state).abs().amax(0).min() > 1e-2  # each column moves
    torch.testing.assert_close(flow.inverse(length, moved, condition), state, rtol=1e-9, atol=1e-9)


def test_its_derivative_at_the_start_is_bounded_and_not_nothing(flow, told):
    state, condition = told
    small = torch.full_like(state[:, :1], 1e-3)
    slope = (flow(small, state, condition) - state) / 1e-3
    assert slope.abs().max() < 100 and slope.abs().mean() > 1e-2


def test_one_pass_answers_as_asking_one_by_one(cohort):
    """However many queries there are, the rows that carry the state are the same."""
    model = toy_model(cohort, "neural_flow", solver=Rk4(100.0))
    past, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses, max_step=100.0)
    state = assimilated(model, cohort, past)
    times = np.linspace(0.5, 60, 25)

    def answers(asked):
        queries = Queries.of(np.repeat(np.arange(N), len(asked)), np.tile(asked, N))
        rows, timeline = rows_of(cohort, queries=queries, max_step=100.0)
        with torch.no_grad():
            location = model.forecast(state, rows).location
        return location[torch.as_tensor(queries.subject), torch.as_tensor(timeline.query_row)].unflatten(0, (N, -1))

    together = answers(times)
    alone = torch.cat([answers(times[index : index + 1]) for index in range(len(times))], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_it_takes_no_solver_steps(cohort):
    """Rows may be as long as one likes; no step error is told."""
    assert not toy_model(cohort, "neural_flow", solver=Rk4(1e6)).has_error


def test_two_intervals_are_not_promised_to_be_one(flow, told):
    """What the docstring says: a composition differs, so a change that makes it exact should change the docstring."""
    state, condition = told
    one, half = (torch.full_like(state[:, :1], length) for length in (1.0, 0.5))
    twice = flow(half, flow(half, state, condition), condition)
    assert (twice - flow(one, state, condition)).abs().max() > 1e-3


def test_fewer_than_two_layers_are_refused(cohort):
    with pytest.raises(ValueError, match="layers must be at least 2, got 1"):
        toy_model(cohort, "neural_flow", layers=1)
