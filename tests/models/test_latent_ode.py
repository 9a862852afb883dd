"""Latent ODE: a posterior with a prior, from which a plan's draws start."""

import pytest
import torch
from brief_training import state_after, trained_briefly
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.models.posterior.gaussian import divergence, divergence_from_standard

N = 12


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


def packed(model, cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    return model.unpack(assimilated(model, cohort, rows))


def test_divergences_are_those_of_torch():
    torch.manual_seed(0)
    mean, other = torch.randn(2, 5, 3)
    deviation, rest = torch.rand(2, 5, 3) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, deviation), normal(other, rest))
    torch.testing.assert_close(divergence(mean, deviation, other, rest), expected, rtol=1e-4, atol=1e-5)
    standard = torch.distributions.kl_divergence(normal(mean, deviation), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(divergence_from_standard(mean, deviation), standard, rtol=1e-4, atol=1e-5)


def test_the_divergence_is_not_negative_and_nothing_only_at_the_prior(cohort):
    for seed in range(3):
        model = toy_model(cohort, "latent_ode", seed=seed, kl=1.0)
        assert (model.divergence(packed(model, cohort)) > 0).all()
    zero = torch.zeros(4, 3)
    assert not divergence_from_standard(zero, zero + 1.0).any()


def test_its_weight_scales_what_training_pays(cohort):
    once, twice, free = (toy_model(cohort, "latent_ode", kl=weight) for weight in (0.5, 1.0, 0.0))
    torch.testing.assert_close(2 * once.divergence(packed(once, cohort)), twice.divergence(packed(twice, cohort)))
    assert free.divergence(packed(free, cohort)) is None


def test_draws_have_the_moments_of_the_posterior(cohort):
    model = toy_model(cohort, "latent_ode", draws=64)
    part = packed(model, cohort)
    mean, deviation = model.posterior(part["core"], part["static"])
    drawn = model.drawn(part)
    torch.testing.assert_close(drawn.mean(1), mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(drawn.std(1, correction=0), deviation, rtol=1e-4, atol=1e-5)


def test_the_mean_follows_what_was_seen_last(cohort):
    """Before any training: the posterior's mean is the last value, plus what the encoder adds."""
    model = toy_model(cohort, "latent_ode")
    with torch.no_grad():
        for weight in model.posterior_network[-1].parameters():
            weight.zero_()
    part = packed(model, cohort)
    torch.testing.assert_close(model.posterior(part["core"], part["static"])[0][:, :2], part["last"])


def test_a_visit_moves_the_posterior(cohort):
    model = toy_model(cohort, "latent_ode")
    few, many = (model.unpack(state_after(model, cohort, visits)) for visits in (1, 2))
    moved = model.posterior(few["core"], few["static"])[1] - model.posterior(many["core"], many["static"])[1]
    assert (moved.abs().amax(1) > 1e-5).all()


@pytest.mark.full
def test_a_trained_posterior_is_narrower_after_visits_than_before_any():
    model, unseen = trained_briefly("latent_ode", steps=60)
    widths = []
    for visits in (0, 1, 100):
        part = model.unpack(state_after(model, unseen, visits))
        with torch.no_grad():
            widths.append(float(model.posterior(part["core"], part["static"])[1][:, 0].log().mean()))
    assert widths[0] > max(widths[1:]) + 0.05


def test_the_past_costs_its_errors_and_a_censored_value_nothing(cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))

    def cost(past, given=rows):
        model = toy_model(cohort, "latent_ode", past=past)
        blank = torch.zeros(N, model.state_size)
        return model.follow(blank, torch.ones(N), torch.zeros(N), static, mask, given)[1]

    assert (cost(1.0) > 0).all() and cost(0.0) is None
    torch.testing.assert_close(cost(2.0), 2 * cost(1.0))
    assert not cost(1.0, rows._replace(censor=rows.mask)).any()
