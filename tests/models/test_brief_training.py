"""Each model of the family learns: after seconds of training it beats the mean of the population on unseen subjects."""

import pytest
from brief_training import errors, trained_briefly
from toys import OTHERS

QUICK = ("latent_ode", "neural_flow", "population_ode")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.full) for kind in OTHERS]
)
def test_seconds_of_training_beat_the_population_mean(kind):
    mine, mean = errors(*trained_briefly(kind))
    assert mine < 0.7 * mean
