"""The likelihood against torch's own multivariate normal, censoring, quantiles, and the Scaler's round trip."""

import numpy as np
import pytest
import torch
from toys import toy_cohort

from neurotwin.models import LEVELS, Prediction, joint_gaussian_nll
from neurotwin.models.observation.scaler import Scaler
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows

SHAPE = (3, 4, 2)


def random_prediction(n_draws, seed=0):
    torch.manual_seed(seed)
    return Prediction(
        torch.randn(*SHAPE, n_draws, dtype=torch.float64), torch.rand(SHAPE, dtype=torch.float64) + 0.2, None
    )


def reference(prediction, value, mask):
    """Log density of the observed entries, subject by subject, by torch.distributions."""
    losses = []
    for subject in range(SHAPE[0]):
        seen = mask[subject].flatten() > 0
        draws = prediction.location[subject].flatten(0, 1)[seen]
        if not len(draws):
            losses.append(torch.tensor(0.0, dtype=torch.float64))
            continue
        deviation = draws - draws.mean(1, keepdim=True)
        covariance = deviation @ deviation.T / draws.shape[1] + torch.diag(
            prediction.scale[subject].flatten()[seen] ** 2
        )
        normal = torch.distributions.MultivariateNormal(draws.mean(1), covariance)
        losses.append(-normal.log_prob(value[subject].flatten()[seen]))
    return torch.stack(losses)


@pytest.mark.parametrize("n_draws", [1, 2, 4, 16])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_the_joint_likelihood_is_the_multivariate_normal(n_draws, share):
    prediction = random_prediction(n_draws)
    value = torch.randn(SHAPE, dtype=torch.float64)
    mask = (torch.rand(SHAPE) < share).double()
    found = joint_gaussian_nll(prediction, value, mask, torch.zeros_like(value))
    torch.testing.assert_close(found, reference(prediction, value, mask), rtol=1e-9, atol=1e-9)


def test_what_is_masked_does_not_count():
    prediction, value = random_prediction(4), torch.randn(SHAPE, dtype=torch.float64)
    mask = torch.ones_like(value)
    mask[:, 1] = 0
    altered = value.clone()
    altered[:, 1] = 1e6
    zero = torch.zeros_like(value)
    assert torch.equal(
        joint_gaussian_nll(prediction, value, mask, zero), joint_gaussian_nll(prediction, altered, mask, zero)
    )


@pytest.mark.parametrize("side", [-1, 1])
def test_a_censored_value_counts_as_the_probability_of_its_side(side):
    location = torch.tensor([-0.6, 0.8], dtype=torch.float64).expand(1, 1, 1, 2)
    mask = torch.ones(1, 1, 1, dtype=torch.float64)
    prediction = Prediction(location, 0.7 * mask, None)
    normal = torch.distributions.Normal(prediction.mean.squeeze(), prediction.deviation.squeeze())
    for limit in (-2.0, 0.0, 1.5):
        found = joint_gaussian_nll(prediction, limit * mask, mask, side * mask)
        below = normal.cdf(torch.tensor(limit, dtype=torch.float64))
        assert float(torch.exp(-found)) == pytest.approx(float(below if side < 0 else 1 - below), rel=1e-6)


def test_one_subject_that_blew_up_leaves_the_others_their_likelihood():
    prediction = random_prediction(4)
    value, mask = torch.randn(SHAPE, dtype=torch.float64), torch.ones(SHAPE, dtype=torch.float64)
    whole = joint_gaussian_nll(prediction, value, mask, torch.zeros_like(value))
    broken = prediction.location.clone()
    broken[1] = torch.nan
    found = joint_gaussian_nll(prediction._replace(location=broken), value, mask, torch.zeros_like(value))
    assert torch.isnan(found[1]) and torch.equal(found[[0, 2]], whole[[0, 2]])


@pytest.fixture(scope="module")
def scaler():
    cohort = toy_cohort(20)
    return Scaler(cohort.schema, Scaling.fit(cohort))


def test_quantiles_rise_and_the_middle_one_is_the_centre(scaler):
    prediction = Prediction(*(item.float() for item in random_prediction(4)[:2]), None)
    quantiles = prediction.quantiles(scaler)
    assert (quantiles.diff(dim=-1) > 0).all()
    torch.testing.assert_close(quantiles[..., LEVELS.index(0.5)], scaler.natural(prediction.mean))


def test_quantiles_are_those_of_the_normal_distribution(scaler):
    prediction = Prediction(*(item.float() for item in random_prediction(4)[:2]), None)
    normal = torch.distributions.Normal(prediction.mean, prediction.deviation)
    for number, level in enumerate(LEVELS):
        torch.testing.assert_close(
            prediction.quantiles(scaler)[..., number],
            scaler.natural(normal.icdf(torch.tensor(level))),
            rtol=1e-4,
            atol=1e-4,
        )


def test_the_mean_in_natural_units_is_that_of_samples(scaler):
    """Log-normal where the variable is a logarithm: the mean lies above the median."""
    torch.manual_seed(0)
    location, scale = torch.randn(1, 1, 2, 2) * 0.3, torch.full((1, 1, 2), 0.4)
    prediction = Prediction(location, scale, None)
    noise = torch.randn(100_000, 1, 1, 2, 2) * scale.unsqueeze(-1)
    sampled = scaler.natural((location + noise).transpose(-1, -2)).transpose(-1, -2).mean((0, -1))
    torch.testing.assert_close(prediction.natural_mean(scaler), sampled, rtol=5e-3, atol=0)


def test_scaler_round_trip(scaler):
    rng = np.random.default_rng(0)
    value = torch.as_tensor(np.stack([rng.uniform(0.1, 90, 50), rng.uniform(60, 120, 50)], axis=1), dtype=torch.float32)
    torch.testing.assert_close(scaler.natural(scaler.value(value, torch.ones_like(value))), value, rtol=1e-5, atol=1e-4)


def test_a_missing_value_is_zero_and_its_gradient_is_finite(scaler):
    value = torch.zeros(1, 2, requires_grad=True)
    scaled = scaler.value(value, torch.zeros(1, 2))
    assert not scaled.any()
    scaled.sum().backward()
    assert torch.isfinite(value.grad).all()


def test_rows_are_scaled_and_their_times_are_not(scaler):
    rows = Rows(*(torch.full((1, 1), 3.0),), *(torch.full((1, 1, 2), 4.0),) * 5, *(torch.zeros(1, 1),) * 2)
    scaled = scaler.rows(rows)
    assert torch.equal(scaled.dt, rows.dt)
    torch.testing.assert_close(scaled.jump * scaler.treatment, rows.jump)
    torch.testing.assert_close(scaled.control * scaler.treatment, rows.control)


def test_a_scaling_of_another_schema_is_refused():
    cohort, other = toy_cohort(20), toy_cohort(20, treatments=False)
    with pytest.raises(ValueError, match="scaling has"):
        Scaler(cohort.schema, Scaling.fit(other))
