"""Cox models: coefficients and baseline of another program, and incidences that follow from all causes together."""

import numpy as np
import pytest

from neurotwin.errors import CohortError
from neurotwin.evaluation.cox import Cox, incidences
from neurotwin.evaluation.event_metrics import aalen_johansen

pytest.importorskip("statsmodels", reason="the extra baselines is not installed")

TIME = np.array([5, 6, 6, 2.5, 4, 4, 1, 3, 7, 8, 2, 9.0])
EVENT = np.array([0, 1, 1, 2, 1, 2, 1, 0, 1, 0, 2, 1]) - 1
FEATURES = np.array(
    [
        [1, 0.2, -0.5, 0.3, 1.4, -1, 0.8, 0.1, -0.3, 0, 1.1, -0.9],
        [0.5, -0.2, 0.1, 0.9, -1, 0.3, 0.2, -0.6, 0.7, 0.4, -0.1, 0.8],
    ]
).T


def test_coefficients_are_those_of_lifelines():
    """lifelines 0.30.3, CoxPHFitter, ties as Efron's."""
    found = Cox.fit(TIME, EVENT == 0, FEATURES, penalty=0.0)
    assert found.coefficients == pytest.approx([1.0113374, -1.0855562], abs=4e-4)  # it stops a little earlier
    shrunk = Cox.fit(TIME, EVENT == 0, FEATURES, penalty=1.0)
    assert (np.abs(shrunk.coefficients) < np.abs(found.coefficients)).all()


def test_a_strong_penalty_leaves_the_base_rate():
    models = [Cox.fit(TIME, k == EVENT, FEATURES, penalty=1e9) for k in (0, 1)]
    at = np.array([0.5, 1.5, 4.5, 7.5])
    found = incidences(models, FEATURES, at)
    assert found.shape == (12, 4, 2) and np.ptp(found, axis=0).max() < 1e-6
    # exp(-hazard) in place of 1 - hazard: not the same in so small a sample, but close.
    np.testing.assert_allclose(found[0], aalen_johansen(TIME, EVENT, 2, at), atol=0.05)


def test_incidences_rise_and_stay_probabilities():
    models = [Cox.fit(TIME, k == EVENT, FEATURES, penalty=1.0) for k in (0, 1)]
    found = incidences(models, 3 * FEATURES, np.linspace(0, 12, 30))
    assert (np.diff(found, axis=1) >= 0).all() and (found.sum(2) <= 1 + 1e-12).all() and (found[:, 0] == 0).all()


def test_the_penalty_is_chosen_by_what_it_foretells():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(150, 6))
    strong = rng.exponential(np.exp(-1.5 * features[:, 0]))
    noise = rng.exponential(size=150)
    happened = np.ones(150, bool)
    assert Cox.fit(strong, happened, features).penalty < Cox.fit(noise, happened, features).penalty


def test_an_outcome_that_never_happened_is_refused():
    with pytest.raises(CohortError, match="never happened"):
        Cox.fit(TIME, np.zeros(12, bool), FEATURES)
