"""`neural_mixed`: its posterior is that of the linear mixed model, its responses are those of the equations."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.models.posterior.precision import from_information
from neurotwin.models.posterior.response import LinearResponse


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(12)


@pytest.fixture(scope="module")
def mixed(cohort):
    return toy_model(cohort, "neural_mixed")


def test_mean_and_root_are_those_of_the_inverse():
    torch.manual_seed(0)
    half = torch.randn(5, 7, 7, dtype=torch.float64)
    precision, pull = half @ half.transpose(1, 2) + torch.eye(7), torch.randn(5, 7, dtype=torch.float64)
    mean, root = from_information(precision, pull)
    torch.testing.assert_close(root.transpose(1, 2) @ root, torch.linalg.inv(precision))
    torch.testing.assert_close(mean, torch.linalg.solve(precision, pull))
    assert torch.equal(root, root.tril())


def test_responses_are_those_of_the_equations(cohort):
    """Against small Euler steps: a bolus, an infusion that goes on, a query inside a row, a state carried over."""
    doses = Doses.concatenate(
        Doses.of(0, [0.5, 0.5, 2.25], np.nan, 0, [2.0, 1.0, 1.5]), Doses.of(0, [1.0], [3.0], 1, [4.0])
    )
    response = LinearResponse(2, 2, time=2.0)
    rate = np.append(np.exp(5 * response.log_rate.detach().numpy()) / 2.0, 0.0)
    asked = np.array([0.3, 0.5, 1.7, 3.9])
    rows, timeline = rows_of(cohort, doses=doses, queries=Queries.of(0, asked))
    with torch.no_grad():
        told = response(torch.zeros(12, response.n_memory), rows, torch.zeros(12), at_end=False)
    found = told.memory[0][:, torch.as_tensor(timeline.query_row)].numpy()
    np.testing.assert_allclose(told.clock[0, timeline.query_row].numpy(), asked, rtol=1e-6)
    step, memory, expected = 1e-4, np.zeros((3, 2)), []
    for number in range(round(3.9 / step) + 1):
        time = number * step
        expected += [memory.copy() for one in asked if abs(one - time) < step / 2]
        memory[:, 0] += sum(dose for at, dose in ((0.5, 3.0), (2.25, 1.5)) if abs(at - time) < step / 2)
        drip = 4.0 if 1.0 <= time < 3.0 else 0.0
        memory += step * (np.array([0.0, drip / 2.0]) - rate[:, None] * memory)
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=3e-3)
    half = rows.dt.shape[1] // 2
    parts = [type(rows)(*(column[:, piece] for column in rows)) for piece in (slice(0, half), slice(half, None))]
    with torch.no_grad():
        first = response(torch.zeros(12, response.n_memory), parts[0], torch.zeros(12), at_end=True)
        then = response(first.memory[:, :, -1].flatten(1), parts[1], first.ended, at_end=True)
        whole = response(torch.zeros(12, response.n_memory), rows, torch.zeros(12), at_end=True)
    torch.testing.assert_close(then.basis, whole.basis[:, half:], rtol=1e-5, atol=1e-6)


def test_the_posterior_is_that_of_the_mixed_model(mixed, cohort):
    """Of visits with the weights that the model gives them: Bayesian linear regression, by numpy."""
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    scaled = mixed.scaler.rows(rows)
    state = assimilated(mixed, cohort, rows)
    part = mixed.unpack(state)
    _, _, _, first, *_ = part["core"].split(mixed.blocks, dim=-1)
    with torch.no_grad():
        known = torch.cat([part["static"], first], dim=-1)
        told = mixed.response(torch.zeros(12, mixed.response.n_memory), scaled, torch.zeros(12), at_end=True)
        basis = mixed._basis(told, known)
        design = mixed._designed(basis, mixed.design(known), mixed.n_effects + 2)
        given = told.memory[:, :-1].sum(1) / 6.0
        seen = [scaled.value, scaled.mask, mixed._at_end(scaled), mixed._clock(told), given]
        weight = scaled.mask * torch.sigmoid(3 - mixed.doubt(torch.cat(seen, dim=-1))) / mixed._noise().square()
    for subject in range(12):
        chosen = scaled.mask[subject] > 0
        own, left = design[subject][chosen].double(), scaled.value[subject][chosen].double()
        wide = own[:, 2:] * weight[subject][chosen].double().unsqueeze(-1)
        precision = torch.eye(mixed.n_effects) + wide.T @ own[:, 2:]
        mean = torch.linalg.solve(precision, wide.T @ (left - own[:, 0]))
        torch.testing.assert_close(state[subject, : mixed.n_effects].double(), mean, rtol=1e-4, atol=1e-5)


def test_more_visits_leave_less_doubt(mixed, cohort):
    def spread(until):
        seen = cohort.observations.take(cohort.observations.time <= until)
        state = assimilated(mixed, cohort, rows_of(cohort, observations=seen, doses=cohort.doses)[0])
        _, root, *_ = mixed.unpack(state)["core"].split(mixed.blocks, dim=-1)
        return root.square().sum(1)

    assert (spread(0.0) <= mixed.n_effects + 1e-5).all() and (spread(8.0) < spread(0.0)).all()


def test_answers_do_not_depend_on_how_time_is_cut(mixed, cohort):
    queries = Queries.of(np.repeat(np.arange(12), 3), np.tile([0.4, 2.2, 5.0], 12))
    found = []
    for step in (0.25, 1.0, 50.0):
        history, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses, max_step=step)
        plan, timeline = rows_of(cohort, queries=queries, max_step=step)
        with torch.no_grad():
            location = mixed.forecast(assimilated(mixed, cohort, history), plan).location
        found.append(location[torch.as_tensor(queries.subject).long(), torch.as_tensor(timeline.query_row)])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-4)


def test_the_first_visit_is_kept_when_more_come(mixed, cohort):
    early = Observations.of([0, 0], [1.0, 1.0], [0, 1], [10.0, 80.0])
    more = Observations.concatenate(early, Observations.of([0], [2.0], [0], [30.0]))
    firsts = []
    for seen in (early, more):
        state = assimilated(mixed, cohort, rows_of(cohort, observations=seen)[0])
        firsts.append(mixed.unpack(state)["core"].split(mixed.blocks, dim=-1)[3])
    assert torch.equal(*firsts) and firsts[0][0].tolist()[2:] == [1.0, 1.0]


def test_values_at_the_ends_of_the_range_are_told_apart(mixed, cohort):
    low, high = (float(mixed.scaler.natural(end)[0]) for end in mixed.ends)
    seen = Observations.of([0, 1, 2], [1.0] * 3, [0] * 3, [low, high, (low * high) ** 0.5])
    rows = mixed.scaler.rows(rows_of(cohort, observations=seen)[0])
    ends = mixed._at_end(rows).sum(1)[:3]
    assert ends.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("name", "value"), [("effects", 1), ("hidden", 0), ("rates", 0), ("features", -1), ("least_noise", 0.0)]
)
def test_sizes_out_of_range_are_refused(cohort, name, value):
    with pytest.raises(ConfigError, match=name):
        toy_model(cohort, "neural_mixed", **{name: value})
