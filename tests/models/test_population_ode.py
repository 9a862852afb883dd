"""Population ODE: random effects whose posterior starts at the prior and can only narrow."""

import pytest
import torch
from brief_training import state_after
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.events import Observations

N = 12


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


@pytest.fixture(scope="module")
def model(cohort):
    return toy_model(cohort, "population_ode", draws=32, kl=1.0)


def posterior_after(model, cohort, observations):
    rows, _ = rows_of(cohort, observations=observations, doses=cohort.doses)
    part = model.unpack(assimilated(model, cohort, rows))
    return part, *model.posterior(part["core"])


def test_without_data_the_posterior_is_the_prior(model, cohort):
    part, mean, deviation = posterior_after(model, cohort, Observations.of([], [], [], []))
    assert not mean.any() and torch.equal(deviation, torch.ones_like(deviation))
    assert not model.divergence(part).any()
    # Draws of the effects are then those of the prior, the same for every patient.
    x, weighted, weight, _ = model.drawn(part).split(list(model.blocks), dim=-1)
    torch.testing.assert_close(weighted, model.noise[:, x.shape[-1] :][None, :, :2].expand(N, -1, -1))
    assert not weight.any()


def test_each_visit_narrows_every_effect(model, cohort):
    widths = []
    for visits in range(4):
        part = model.unpack(state_after(model, cohort, visits))
        widths.append(model.posterior(part["core"])[1])
    # Subjects have at least two visits in their past.
    assert (widths[0] > widths[1]).all() and (widths[1] > widths[2]).all() and (widths[2] >= widths[3]).all()


def test_the_divergence_is_not_negative_and_grows_from_nothing(model, cohort):
    part, *_ = posterior_after(model, cohort, cohort.observations)
    assert (model.divergence(part) > 0).all()
    assert toy_model(cohort, "population_ode", kl=0.0).divergence(part) is None


def test_draws_have_the_moments_of_the_posterior(model, cohort):
    part, mean, deviation = posterior_after(model, cohort, cohort.observations)
    drawn, spread = model.posterior(model.drawn(part))
    torch.testing.assert_close(drawn.mean(1), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(drawn.std(1, correction=0), deviation, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spread, deviation.unsqueeze(1).expand_as(spread))


def test_effects_are_constant_in_time_and_move_the_field(model, cohort):
    part, mean, _ = posterior_after(model, cohort, cohort.observations)
    rows, _ = rows_of(cohort, doses=cohort.doses)
    with torch.no_grad():
        course = model.act(part["core"], model.scaler.rows(rows), torch.zeros(N), part["static"], observe=False)
        x, z, *_ = model._parts(part["core"])
        torch.testing.assert_close(model._parts(course.final)[1], mean)
        shifted = model.field(torch.cat([x, z + 1.0, torch.zeros(N, 2), part["static"], torch.zeros(N, 1)], dim=-1))
        plain = model.field(torch.cat([x, z, torch.zeros(N, 2), part["static"], torch.zeros(N, 1)], dim=-1))
    assert (shifted - plain).abs().max() > 1e-4
