"""GRU-ODE-Bayes: bounded whatever comes, and paid for what it did not expect."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.events import Doses, Queries
from neurotwin.models.posterior.gaussian import divergence
from neurotwin.solvers import Rk4, Rows, odesolve

N = 12


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


def follow(model, cohort, rows):
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    return model.follow(torch.zeros(N, model.state_size), torch.ones(N), torch.zeros(N), static, mask, rows)


@pytest.mark.parametrize("strength", [1.0, 30.0])
def test_the_state_and_its_draws_stay_within_the_bound(cohort, strength):
    model = toy_model(cohort, "gru_ode_bayes", solver=Rk4(100.0), draws=16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("spread"):
                weight.mul_(strength)
    large = Doses.of(np.arange(N), np.full(N, 2.0), np.nan, 0, np.full(N, 1e3))
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=large, max_step=100.0)
    part = model.unpack(assimilated(model, cohort, rows))
    h = part["core"][:, : model.n_learned]
    assert h.abs().max() <= 1.0 + 1e-6 and h.abs().max() > 0.05
    drawn = model.drawn(part)
    assert drawn[..., : model.n_learned].abs().max() <= 1.0 + 1e-6
    assert torch.equal(drawn[..., model.n_learned :], part["core"][:, None, model.n_learned :].expand(-1, 16, -1))
    plan, _ = rows_of(cohort, doses=large, queries=Queries.of(np.arange(N), np.full(N, 90.0)), max_step=100.0)
    with torch.no_grad():
        course = model.act(part["core"], model.scaler.rows(plan), torch.zeros(N), part["static"], observe=False)
    assert course.at_query[..., : model.n_learned].abs().max() <= 1.0 + 1e-6


def empty_rows(length, count):
    """Rows in which nothing happens, asked at their beginning."""
    blank, never = torch.zeros(N, count, 2), torch.zeros(N, count)
    return Rows(torch.full((N, count), length), blank, blank, blank, blank, blank, never, never)


def test_a_step_follows_the_equation_to_order_two(cohort):
    """Against small steps of a Runge-Kutta method on h' = k (1 - z) (g - h) / s."""
    model = toy_model(cohort, "gru_ode_bayes")
    h = torch.rand(N, model.n_learned, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    core = torch.nn.functional.pad(h, (0, model.recent.size))
    static, clock = torch.zeros(N, model.n_static), torch.zeros(N)

    def slope(t, state, control, given):
        goal, rate = model._pull(t, state, control, given)
        return rate * (goal - state) / model.scaler.time

    with torch.no_grad():
        exact = odesolve(slope, h, empty_rows(0.02, 100), start=clock, static=static, solver=Rk4(1.0)).final
        miss = []
        for count in (1, 2, 4):
            course = model.act(core, empty_rows(2.0 / count, count), clock, static, observe=False)
            miss.append(float((course.final[:, : model.n_learned] - exact).abs().max()))
    assert miss[0] > 3 * miss[1] > 9 * miss[2] and miss[2] < 1e-2


def test_the_past_costs_the_likelihood_of_each_value_before_it_was_learned_from(cohort):
    model = toy_model(cohort, "gru_ode_bayes", surprise=1.0, bayes=0.0)
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    _, cost = follow(model, cohort, rows)
    expected = torch.zeros(N)
    state, fresh, scaled = torch.zeros(N, model.state_size), torch.ones(N), model.scaler.rows(rows)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    for index in range(rows.dt.shape[1]):
        one = Rows(*(field[:, index : index + 1] for field in rows))
        blind = one._replace(mask=torch.zeros_like(one.mask), value=torch.zeros_like(one.value))
        before, _ = model.follow(state, fresh, torch.zeros(N), static, mask, blind)
        mean, width = model.head(model.unpack(before)["core"])
        likelihood = torch.distributions.Normal(mean, width).log_prob(scaled.value[:, index])
        expected -= (likelihood * scaled.mask[:, index]).sum(-1)
        state, _ = model.follow(state, fresh, torch.zeros(N), static, mask, one)
        fresh = torch.zeros(N)
    torch.testing.assert_close(cost, expected, rtol=1e-4, atol=1e-4)


def test_learning_is_measured_against_the_rule_of_bayes(cohort):
    model = toy_model(cohort, "gru_ode_bayes", surprise=0.0, bayes=1.0, noise=0.5)
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    assert (follow(model, cohort, rows)[1] > 0).all()
    before, after = (torch.rand(N, model.n_learned + model.recent.size) for _ in range(2))
    value = torch.randn(N, 2)
    row = Rows(*(torch.zeros(N),), *(torch.zeros(N, 2),) * 2, value, torch.ones(N, 2), torch.zeros(N, 2), *(None,) * 2)
    (mean, width), (learned, rest) = model.head(before), model.head(after)
    # The posterior of a normal mean with a known noise, by conjugacy.
    share = width**2 / (width**2 + 0.5**2)
    posterior = mean + share * (value - mean), torch.sqrt(width**2 * (1 - share))
    expected = divergence(*posterior, learned, rest).sum(-1)
    torch.testing.assert_close(model._cost(before, after, row), expected, rtol=1e-3, atol=1e-4)


def test_censored_values_cost_nothing(cohort):
    model = toy_model(cohort, "gru_ode_bayes", surprise=1.0, bayes=1.0)
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    assert not follow(model, cohort, rows._replace(censor=-rows.mask))[1].any()
