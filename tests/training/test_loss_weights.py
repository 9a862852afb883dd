"""Weights in the loss: which variable leads, and how much the likelihood counts."""

import pytest
import torch
from toys import toy_cohort

from neurotwin.errors import ConfigError
from neurotwin.models import Prediction
from neurotwin.models.observation.scaler import Scaler
from neurotwin.scaling import Scaling
from neurotwin.training import JointGaussian


@pytest.fixture(scope="module")
def asked():
    """A forecast of two variables, two rows and one subject, with everything the loss asks for."""
    cohort = toy_cohort(10)
    scaler = Scaler(cohort.schema, Scaling.fit(cohort))
    rng = torch.Generator().manual_seed(0)
    location = torch.randn(1, 2, 2, 1, generator=rng)
    value = torch.tensor([[[20.0, 95.0], [10.0, 88.0]]])
    return (
        Prediction(location, torch.ones(1, 2, 2), None),
        value,
        torch.ones_like(value),
        torch.zeros_like(value),
        scaler,
    )


def test_weights_are_those_of_the_variables(asked):
    bare, first, second, both = (
        JointGaussian(*how)(*asked)
        for how in ((0.0, 1.0, None), (1.0, 1.0, [1.0, 0.0]), (1.0, 1.0, [0.0, 1.0]), (1.0, 1.0, [2.0, 0.5]))
    )
    assert both - bare == pytest.approx(2.0 * (first - bare) + 0.5 * (second - bare), rel=1e-5)
    assert (JointGaussian(1.0)(*asked) - bare).item() == pytest.approx((first + second - 2 * bare).item(), rel=1e-5)
    assert (first > bare).all() and (second > bare).all()


def test_the_likelihood_is_scaled(asked):
    assert JointGaussian(0.0, 0.25)(*asked).item() == pytest.approx(0.25 * JointGaussian()(*asked).item(), rel=1e-6)


def test_bad_weights_are_named(asked):
    with pytest.raises(ConfigError, match="likelihood is 0"):
        JointGaussian(likelihood=0.0)
    with pytest.raises(ConfigError, match=r"weights are \[-1\]"):
        JointGaussian(weights=[-1])
    with pytest.raises(ConfigError, match="3 weights"):
        JointGaussian(1.0, weights=[1.0, 1.0, 1.0])(*asked)


def test_natural_errors_are_in_the_units_of_the_variables(asked):
    prediction, value, mask, censor, scaler = asked
    bare, natural = JointGaussian(0.0)(*asked), JointGaussian(1.0, natural=True)(*asked)
    missed = (scaler.natural(prediction.mean) - value).abs()
    # One model unit at the centre, by differences.
    ends = scaler.natural(torch.tensor([[-5e-3], [5e-3]]).expand(2, 2))
    unit = (ends[1] - ends[0]) / 1e-2
    assert (natural - bare).item() == pytest.approx((missed / unit).sum().item(), rel=1e-3)
