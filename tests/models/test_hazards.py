"""Hazards: solved with the state, exact where the answer is known, a likelihood that is one, and none unless asked."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from event_cases import OUTCOMES, WITH_HAZARDS, ended_toys, risky_model
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.events import Queries
from neurotwin.models import Ensemble, Hazards, Prediction, Risk, joint_gaussian_nll
from neurotwin.models.hazards import EXPECTED_PER_STEP
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rk4


@pytest.fixture(scope="module")
def cohort():
    return ended_toys()


def foretold(model, cohort, times):
    """Prediction, and the subject and row of each query."""
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations)[0])
    queries = Queries.of(np.repeat(np.arange(len(cohort)), len(times)), np.tile(times, len(cohort)))
    rows, timeline = rows_of(cohort, queries=queries, start=state_clock(model, state))
    with torch.no_grad():
        prediction = model.forecast(state, rows)
    return prediction, torch.as_tensor(queries.subject, dtype=torch.int64), torch.as_tensor(timeline.query_row)


def state_clock(model, state):
    return model.unpack(state)["clock"].squeeze(-1).double().numpy()


@pytest.mark.parametrize("kind", WITH_HAZARDS)
def test_incidences_and_survival_sum_to_one(kind, cohort):
    prediction, subject, row = foretold(risky_model(cohort, kind), cohort, [8.0, 8.7, 12.3])
    total, incidence = prediction.risk.total[subject, row], prediction.risk.incidence[subject, row]
    assert total.shape == (36, 4) and incidence.shape == (36, 4, 2)
    torch.testing.assert_close(incidence.sum(-1) + torch.exp(-total), torch.ones_like(total), rtol=0, atol=2e-5)
    by_time = prediction.risk.mean_incidence[subject, row].unflatten(0, (12, 3))
    assert (by_time.diff(dim=1) > 0).all() and float(by_time[:, -1].std(0).min()) > 1e-3


def test_constant_hazards_have_the_known_incidence(cohort):
    model = toy_model(cohort, hazards=Hazards)
    rate = torch.tensor([0.2, 0.5])
    top = math.exp(model.hazards.log_top)
    with torch.no_grad():  # the score at which top * sigmoid(score - ln top) is the rate
        model.hazards.predictor.bias.copy_(torch.log(rate / (1 - rate / top)) - model.hazards.base)
    times = np.array([8.5, 9.25, 11.0])
    prediction, subject, row = foretold(model, cohort, times)
    start = state_clock(model, assimilated(model, cohort, rows_of(cohort, observations=cohort.observations)[0]))
    passed = torch.as_tensor(np.tile(times, 12) - start[subject], dtype=torch.float32)
    gone = 1 - torch.exp(-rate.sum() * passed)
    expected = gone.unsqueeze(-1) * rate / rate.sum()
    torch.testing.assert_close(prediction.risk.mean_incidence[subject, row], expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(prediction.risk.log_rate[subject, row][:, 0], torch.log(rate).expand(36, 2))


def test_hazards_stay_below_what_the_solver_can_follow(cohort):
    model = toy_model(cohort, hazards=Hazards)
    told = torch.full((5, model.n_learned + 2 + model.n_static + 1), 1.0)
    torch.nn.init.constant_(model.hazards.predictor.weight, 50.0)
    rate = model.hazards.log_rate(told, told[:, :0], told[:, :0], told[:, :0]).exp().detach()
    assert float(rate.sum(-1).max()) <= EXPECTED_PER_STEP / model.solver.max_step + 1e-6


@pytest.mark.parametrize("kind", WITH_HAZARDS)
def test_queries_move_no_risk_and_hazards_no_course(kind, cohort):
    model = risky_model(cohort, kind)
    alone, subject, row = foretold(model, cohort, [11.0])
    among, subjects, rows = foretold(model, cohort, [8.2, 9.9, 11.0])
    last = slice(2, None, 3)
    torch.testing.assert_close(
        alone.risk.mean_incidence[subject, row], among.risk.mean_incidence[subjects[last], rows[last]]
    )
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("hazards.")}
    bare = toy_model(cohort, kind)
    bare.load_state_dict(weights)
    other, *_ = foretold(bare, cohort, [11.0])
    assert other.risk is None and not bare.tells_risk and model.tells_risk
    torch.testing.assert_close(other.location, alone.location, rtol=1e-6, atol=1e-6)


def test_a_member_of_an_ensemble_counts_with_all_its_draws(cohort):
    members = [risky_model(cohort, seed=seed) for seed in (0, 1)]
    both = Ensemble(members, Scaling.fit(cohort.part("train"))).eval()
    found, subject, row = foretold(both, cohort, [10.0])
    apart = [foretold(one, cohort, [10.0])[0].risk.mean_incidence[subject, row] for one in members]
    assert both.tells_risk
    torch.testing.assert_close(found.risk.mean_incidence[subject, row], torch.stack(apart).mean(0))
    with pytest.raises(ConfigError, match="another kind of hazards"):
        Ensemble([members[0], toy_model(cohort, seed=1)], Scaling.fit(cohort.part("train")))


def test_hazards_need_outcomes():
    cohort = toy_cohort(12)
    with pytest.raises(ConfigError, match="hazards without outcomes"):
        toy_model(cohort, hazards=Hazards)
    schema = cohort.schema.model_copy(update={"outcomes": OUTCOMES})
    with pytest.raises(ConfigError, match="hidden is -1"):
        Hazards(schema, Scaling.fit(cohort), Rk4(1.0), 3, hidden=-1)


def drawn_risk(seed=0, batch=3, rows=4, draws=6):
    generator = torch.Generator().manual_seed(seed)
    total = torch.rand(batch, rows, draws, generator=generator).cumsum(1)
    return Risk(total, torch.zeros(batch, rows, draws, 2), torch.randn(batch, rows, draws, 2, generator=generator))


def test_the_likelihood_is_that_of_a_left_truncated_mixture():
    risk = drawn_risk()
    start, end, event = torch.tensor([0, 1, 0]), torch.tensor([3, 2, 0]), torch.tensor([1, 0, -1])
    found, weight = risk.log_likelihood(start, end, event)
    for one in range(3):
        each = np.exp(-risk.total[one, end[one]].numpy())
        if event[one] >= 0:
            each = each * np.exp(risk.log_rate[one, end[one], :, event[one]].numpy())
        free = np.exp(-risk.total[one, start[one]].numpy())
        assert float(found[one]) == pytest.approx(math.log(each.mean() / free.mean()), abs=1e-5)
        np.testing.assert_allclose(weight[one].exp().numpy(), each / each.sum(), rtol=1e-5)
    assert float(found[2]) == pytest.approx(0.0, abs=1e-6)  # an end at the cut tells nothing


def test_the_likelihood_of_all_that_can_happen_is_one(cohort):
    """Densities of both outcomes over a year and the chance of outliving it sum to 1."""
    model = risky_model(cohort)
    times = np.linspace(9.0, 10.0, 201)
    prediction, _, row = foretold(model, cohort, times)
    row, n = row.view(12, -1), len(times)
    sums = torch.zeros(12)
    for outcome in (0, 1):
        for number in range(n):
            found, _ = prediction.risk.log_likelihood(row[:, 0], row[:, number], torch.full((12,), outcome))
            sums += found.exp() * (0.5 if number in (0, n - 1) else 1.0) / (n - 1)
    sums += prediction.risk.log_likelihood(row[:, 0], row[:, -1], torch.full((12,), -1))[0].exp()
    torch.testing.assert_close(sums, torch.ones(12), rtol=0, atol=2e-3)


def test_values_are_scored_by_the_draws_that_foretold_the_end():
    generator = torch.Generator().manual_seed(1)
    location, scale = torch.randn(2, 3, 1, 4, generator=generator), torch.full((2, 3, 1), 0.5)
    value, mask = torch.randn(2, 3, 1, generator=generator), torch.ones(2, 3, 1)
    plain = Prediction(location, scale, None)
    even = plain._replace(log_weight=torch.full((2, 4), -math.log(4)))
    nothing = torch.zeros_like(mask)
    torch.testing.assert_close(
        joint_gaussian_nll(even, value, mask, nothing), joint_gaussian_nll(plain, value, mask, nothing)
    )
    weight = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.5, 1e-30]])
    found = joint_gaussian_nll(plain._replace(log_weight=weight.log()), value, mask, nothing)
    for one in range(2):
        draws = location[one, :, 0].double().T.numpy()
        mean = weight[one].double().numpy() @ draws
        covariance = (draws - mean).T @ np.diag(weight[one].double().numpy()) @ (draws - mean) + 0.25 * np.eye(3)
        gap = value[one, :, 0].double().numpy() - mean
        expected = 0.5 * (
            gap @ np.linalg.solve(covariance, gap) + np.linalg.slogdet(covariance)[1] + 3 * math.log(2 * math.pi)
        )
        assert float(found[one]) == pytest.approx(expected, rel=1e-4)


def test_a_network_of_hazards_is_another_choice(cohort):
    model = toy_model(cohort, hazards=partial(Hazards, hidden=5))
    assert model.hazards.predictor[0].out_features == 5
    prediction, subject, row = foretold(model, cohort, [9.0])
    assert torch.isfinite(prediction.risk.mean_incidence[subject, row]).all()
