"""The mechanistic baseline by its name on the command line."""

from dataclasses import replace

import numpy as np
import pytest
from toys import toy_cohort

from neurotwin import compose
from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError
from neurotwin.simulators.run_simulation import run_simulation
from neurotwin.verbs.mechanism import is_mechanistic, mechanistic_map


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """Six patients on vancomycin."""
    config = compose.compose("simulate", ["simulator=vancomycin"])
    parts = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
    folder = tmp_path_factory.mktemp("cohorts") / "levels"
    run_simulation(*parts, n_subjects=6, seed=2, output=folder, progress=False)
    return Cohort.load(folder)


def test_names():
    assert is_mechanistic("mechanistic_map") and is_mechanistic("mechanistic_map=warfarin")
    assert not is_mechanistic("mechanistic") and not is_mechanistic("runs/mechanistic_map")


def test_a_simulated_cohort_is_fitted_by_its_own_simulator(levels):
    fitted = mechanistic_map(levels, "mechanistic_map")
    assert type(fitted.simulator).__name__ == "Vancomycin"
    named = mechanistic_map(levels, "mechanistic_map=vancomycin")
    episodes = make_episodes(levels.take(np.arange(2)), 12.0)[0]
    assert np.array_equal(fitted(episodes).quantiles, named(episodes).quantiles)


def test_a_cohort_that_was_not_simulated_needs_a_name():
    with pytest.raises(ConfigError, match=r"does not say which simulator.*mechanistic_map=SIMULATOR"):
        mechanistic_map(toy_cohort(12), "mechanistic_map")


@pytest.mark.parametrize(
    "target", ["os.system", "neurotwin.simulators.a.b.c", "evil.simulators.vancomycin.Vancomycin", 3]
)
def test_nothing_is_built_that_a_cohort_names(levels, target):
    told = levels.provenance | {"simulator": {"_target_": target}}
    with pytest.raises(ConfigError, match="does not say which simulator"):
        mechanistic_map(replace(levels, provenance=told), "mechanistic_map")


def test_no_such_simulator(levels):
    with pytest.raises(ConfigError, match="simulator"):
        mechanistic_map(levels, "mechanistic_map=vancomicin")


def test_a_simulator_of_other_variables(levels):
    with pytest.raises(ConfigError, match="no variable"):
        mechanistic_map(levels, "mechanistic_map=geng_nsclc")
