"""Means of records against samples, cells against the floor's, and the slope against finite differences."""

import math

import numpy as np
import pytest
import torch
from head_cases import NAMES, SCHEMA, make_cohort

from neurotwin.heads import Head
from neurotwin.models import LEVELS, Prediction
from neurotwin.models.observation.records import Records
from neurotwin.models.observation.scaler import Scaler
from neurotwin.scaling import Scaling


@pytest.fixture(scope="module")
def scaler():
    return Scaler(SCHEMA, Scaling.fit(make_cohort()))


def test_the_expected_record_is_the_mean_of_samples(scaler):
    generator = torch.Generator().manual_seed(0)
    for place, scale in [(0.0, 0.3), (-1.5, 0.8), (1.2, 1.0), (0.4, 0.02)]:
        location, width = torch.full((len(NAMES),), place), torch.full((len(NAMES),), scale)
        latent = (
            scaler.natural(location + width * torch.randn(200_000, len(NAMES), generator=generator)).double().numpy()
        )
        found = scaler.expected(location, width)
        for index, variable in enumerate(SCHEMA.variables):
            sample = variable.recorded_as.recorded(latent[:, index])
            error = 5 * sample.std() / math.sqrt(len(sample)) + 1e-5 * abs(sample.mean())
            assert float(found[index]) == pytest.approx(sample.mean(), abs=error), (variable.name, place, scale)


def test_a_count_is_a_sum_also_where_most_lies_beyond_the_edges_that_are_summed():
    records = Records([Head("count", "log", 1.0, 0.0, math.inf, 1.0)])
    mean, spread = torch.tensor([3.5]), torch.tensor([0.4])
    latent = torch.exp(mean + spread**2 / 2) - 1
    numbers = torch.arange(1, 2000, dtype=torch.float64)
    chance = 0.5 * torch.erfc((torch.log(numbers + 0.5) - 3.5) / 0.4 / math.sqrt(2))
    assert float(records.expected(latent, mean, spread)) == pytest.approx(float(chance.sum()), rel=1e-4)


def test_cells_are_those_of_the_floor(scaler):
    cohort = make_cohort(10)
    seen, mean, deviation = cohort.observations, scaler.mean.numpy(), scaler.deviation.numpy()
    for index, variable in enumerate(SCHEMA.variables):
        value = seen.value[seen.variable == index]
        table = torch.ones(len(value), len(NAMES))
        table[:, index] = torch.as_tensor(value)
        mask = torch.zeros_like(table)
        mask[:, index] = 1
        found = scaler.cells(table, mask)
        for end, expected in zip(found, variable.recorded_as.cell(value), strict=True):
            np.testing.assert_allclose(end[:, index], (expected - mean[index]) / deviation[index], rtol=1e-4, atol=1e-4)


def test_the_slope_is_the_derivative_of_the_natural_value(scaler):
    scaled = torch.linspace(-1.5, 1.5, 7).unsqueeze(-1).expand(-1, len(NAMES)).clone().requires_grad_()
    (derivative,) = torch.autograd.grad(scaler.natural(scaled).sum(), scaled)
    torch.testing.assert_close(scaler.slope(scaled), derivative, rtol=1e-4, atol=1e-5)


def test_a_student_t_has_wider_ends_and_the_same_middle(scaler):
    location, scale = torch.zeros(1, 1, len(NAMES), 1), torch.ones(1, 1, len(NAMES))
    factor = Prediction(location, scale, None).quantiles(scaler)[0, 0] - scaler.natural(location[0, 0, :, 0])[:, None]
    factor = factor / scaler.deviation[:, None]
    normal, heavy = factor[NAMES.index("level")], factor[NAMES.index("outlying")]
    assert (
        heavy[LEVELS.index(0.5)] == 0
        and heavy[-1] > normal[-1]
        and heavy[LEVELS.index(0.75)] < normal[LEVELS.index(0.75)]
    )


def test_a_checkpoint_of_before_heads_still_loads(scaler):
    old = {"is_log", "offset", "mean", "deviation", "treatment", "static_mean", "static_deviation"}
    assert set(scaler.state_dict()) == old
