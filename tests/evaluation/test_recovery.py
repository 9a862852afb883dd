"""Recovery on beliefs whose quality is known, and the mechanistic fit on patients whose parameters are."""

import numpy as np
import pytest
from simulator_cases import configured

from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError, InputError
from neurotwin.evaluation.mechanistic_map import MechanisticMap
from neurotwin.evaluation.population_prior import PopulationPrior
from neurotwin.evaluation.recovery import recovery
from neurotwin.simulators.engine import solve
from neurotwin.simulators.epileptor import Epileptor
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.vancomycin import Vancomycin


def test_an_honest_belief_is_found_honest():
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(0, 2, (5000, 1)), 0.5
    # The posterior of a normal prior and one normal measurement.
    gain = 4 / (4 + noise**2)
    location = gain * (truth + noise * rng.normal(size=truth.shape))
    sd = np.full_like(truth, np.sqrt(4 * (1 - gain)))
    (found,) = recovery(["a"], truth, location, sd, np.array([2.0]))
    assert found.identified and found.n == 5000
    assert found.coverage == pytest.approx(0.9, abs=0.015) and found.explained == pytest.approx(gain, abs=0.01)
    assert found.correlation == pytest.approx(np.sqrt(gain), abs=0.01) and abs(found.bias) < 0.03
    assert found.shrinkage == pytest.approx(np.sqrt(1 - gain))


def test_a_prior_handed_back_is_flagged_and_explains_nothing():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(2000, 2))
    location = np.stack([np.zeros(2000), truth[:, 1] + 0.01 * rng.normal(size=2000)], axis=1)
    sd = np.stack([np.ones(2000), np.full(2000, 0.01)], axis=1)
    first, second = recovery(["a", "b"], truth, location, sd, np.ones(2))
    assert not first.identified and np.isnan(first.correlation) and abs(first.explained) < 0.01
    assert second.identified and second.explained > 0.999


def test_an_overconfident_belief_shows_in_its_coverage():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(2000, 1))
    (found,) = recovery(["a"], truth, truth + 0.5 * rng.normal(size=truth.shape), np.full((2000, 1), 0.1), np.ones(1))
    assert found.coverage < 0.4 and found.identified


def test_who_has_no_belief_is_left_out():
    truth = np.arange(4.0)[:, None]
    location = np.where(truth == 3, np.nan, truth)
    (found,) = recovery(["a"], truth, location, np.ones((4, 1)), np.ones(1))
    assert found.n == 3


@pytest.mark.parametrize(
    ("truth", "location", "told"),
    [
        (np.zeros((3, 1)), np.zeros((2, 1)), "shapes"),
        (np.full((3, 1), np.nan), np.zeros((3, 1)), "true parameter is not finite"),
        (np.zeros((3, 1)), np.full((3, 1), np.nan), "no belief is finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(truth, location, told):
    with pytest.raises(InputError, match=told):
        recovery(["a"], truth, location, np.ones_like(location), np.ones(1))


@pytest.fixture(scope="module")
def levels():
    return simulate(
        Vancomycin(), configured("population", "published"), configured("protocol", "vancomycin_randomised"),
        n_subjects=40, seed=4,
    )  # fmt: skip


def test_fits_find_the_clearance_and_forecast_with_intervals(levels):
    fitted = MechanisticMap.fit(levels, Vancomycin(), solve, names=["clearance", "central_volume"], n_patients=10)
    episodes, targets, kept = make_episodes(levels, 60.0, min_visits=3)
    found = fitted.estimate(episodes)
    truth = np.log(np.stack([levels.truth[name][kept] for name in found.names], axis=1))
    clearance, volume = recovery(found.names, truth, found.location, found.sd, fitted.prior.sd)
    assert clearance.correlation > 0.85 and clearance.identified and clearance.coverage > 0.7
    assert volume.shrinkage > clearance.shrinkage
    said = fitted(episodes)
    assert said.ok.all() and said.draws.shape[2] == 64
    value = targets.value[targets.censor == 0]
    low, high = (said.quantiles[targets.query, 0, index][targets.censor == 0] for index in (1, 7))
    assert 0.8 < ((value >= low) & (value <= high)).mean() < 0.98


def test_nothing_after_the_cut_changes_a_forecast(levels):
    fitted = MechanisticMap.fit(levels, Vancomycin(), solve, names=["clearance"], n_patients=3)
    episodes, *_ = make_episodes(levels.take(np.arange(3)), 60.0, min_visits=3)
    altered = levels.observations.value * np.where(levels.observations.time > 60.0, 3.0, 1.0)
    other = levels.__class__(**{**vars(levels), "observations": _with(levels.observations, altered)})
    again, *_ = make_episodes(other.take(np.arange(3)), 60.0, min_visits=3)
    assert np.array_equal(fitted(episodes).quantiles, fitted(again).quantiles)


def _with(observations, value):
    from dataclasses import replace

    return replace(observations, value=value)


def test_the_prior_knows_covariates_and_ties():
    prior = PopulationPrior.of(GengNsclc(), ["radio_alpha", "radio_beta"])
    assert prior.factor.shape == (2, 1)  # beta is a tenth of alpha
    vancomycin = PopulationPrior.of(Vancomycin())
    schema, statics = Vancomycin().schema, np.array([Vancomycin.typical_statics] * 2, dtype=float)
    statics[1, 2] *= 3  # a serum creatinine of three times as much
    centre = vancomycin.centre(schema, *schema.encode_statics(statics))
    clearance = vancomycin.names.index("clearance")
    assert centre[1, clearance] - centre[0, clearance] == pytest.approx(0.514 * np.log(1 / 3), rel=1e-6)


def test_what_does_not_fit_is_refused(levels):
    with pytest.raises(ConfigError, match="window"):
        MechanisticMap.fit(levels, Epileptor(), solve)
    with pytest.raises(ConfigError, match="no variable vancomycin_concentration"):
        MechanisticMap.fit(levels, GengNsclc(), solve)
    with pytest.raises(ConfigError, match="speed cannot be inferred"):
        MechanisticMap.fit(levels, Vancomycin(), solve, names=["speed"])
