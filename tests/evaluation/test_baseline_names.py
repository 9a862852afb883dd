"""Baselines by name."""

import pytest

from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError
from neurotwin.evaluation import PopulationMean
from neurotwin.evaluation.baselines import ALWAYS, fit_baselines


def test_the_usual_ones_are_fitted(population):
    train = population(30)
    fitted = fit_baselines(train)
    assert tuple(fitted) == ALWAYS
    episodes, _, _ = make_episodes(population(5, seed=2), 2)
    assert (fitted["population_mean"](episodes).quantiles == PopulationMean.fit(train)(episodes).quantiles).all()


def test_others_are_fitted_by_name_and_unknown_ones_named(population):
    train = population(30)
    forecast = fit_baselines(train, ["linear_mixed"])["linear_mixed"](make_episodes(train, 2)[0])
    assert forecast.quantiles.shape[1:] == (2, 9)
    with pytest.raises(ConfigError, match="no baseline 'oracle'"):
        fit_baselines(train, ["oracle"])
