"""Twins and engines: the mechanistic one against `simulate_plans`, the surrogate one against the committed bundle."""

from dataclasses import replace

import numpy as np
import pytest
from simulator_cases import ROOT, configured
from trial_cases import vancomycin_world

from neurotwin.errors import CohortError, ConfigError, SimulationError
from neurotwin.runtime import Predictor
from neurotwin.simulators.population import Published
from neurotwin.simulators.protocols import Protocol, Visits
from neurotwin.simulators.regimens import Cycles, Listed, RandomCycles
from neurotwin.simulators.simulate import simulate_plans
from neurotwin.trials import Arm, Design, Sizes
from neurotwin.trials.agreement import agreement
from neurotwin.trials.endpoints import Area, Change
from neurotwin.trials.mechanistic import Shifted, simulate_courses
from neurotwin.trials.population import prepare, prognostic_scores
from neurotwin.trials.surrogate import surrogate_courses
from neurotwin.trials.twins import BundleTwins, episodes_of

NAME = "vancomycin_concentration"
LOW, HIGH = (Arm([Cycles("vancomycin", amount, 12.0, count=4, duration=1.0)]) for amount in (1000.0, 1500.0))
DESIGN = Design(
    "t", "q", {"low": LOW, "high": HIGH}, 24.0, {"average": Area(NAME, "mg/L", 36.0)}, sizes=Sizes(40, 150, (40,), 10)
)


@pytest.fixture(scope="module")
def world():
    return vancomycin_world()


@pytest.fixture(scope="module")
def courses(world):
    return world.courses(DESIGN, 150, 5)


@pytest.fixture(scope="module")
def lung():
    return Predictor.load(ROOT / "checkpoints" / "lung_tumour@0.1.0")


def test_courses_are_those_of_the_counterfactual_simulation(world, courses):
    plans = {"low": LOW.regimens, "high": HIGH.regimens}
    for noise, tables in ((True, courses.measured), (False, courses.latent)):
        found = simulate_plans(
            world.simulator,
            world.population,
            world.protocol,
            plans=plans,
            cut=24.0,
            n_subjects=150,
            seed=5,
            noise=noise,
        )
        for name, cohort in found.items():
            ours = tables[name][..., 0]
            assert np.array_equal(ours[np.isfinite(ours)], cohort.observations.value)
            assert cohort.ids.tolist() == courses.ids.tolist()
    before = ~courses.after
    assert np.array_equal(courses.measured["low"][before], courses.measured["high"][before], equal_nan=True)
    assert not np.array_equal(courses.measured["low"], courses.measured["high"], equal_nan=True)


def test_blocks_of_subjects_join(world, courses, monkeypatch):
    monkeypatch.setattr("neurotwin.trials.mechanistic.BLOCK_SIZE", 40)
    apart = world.courses(DESIGN, 150, 5)
    for name in ("low", "high"):
        width = courses.time.shape[1]
        assert np.allclose(apart.measured[name][:, :width], courses.measured[name], equal_nan=True)
        assert np.array_equal(apart.doses[name].subject, courses.doses[name].subject)


def test_an_arm_takes_the_regimens_of_a_protocol_from_its_first_dose():
    arm = Arm(protocol=configured("protocol", "tmz_cycles"), delay=1.0)
    assert arm.regimens[0].start == 1.0 and arm.regimens[0].count == 18
    listed = Protocol(9.0, Visits(1.0), (), [Listed("x", [2.0, 3.0], [1.0, 1.0])])
    assert Arm(protocol=listed).regimens[0].times == [0.0, 1.0]
    drawn = Protocol(9.0, Visits(1.0), (), [RandomCycles("x", [1.0], [1.0], [2.0, 4.0])])
    assert Arm(protocol=drawn).regimens[0].start == [0.0, 2.0]
    with pytest.raises(ConfigError, match="one of them"):
        Arm(LOW.regimens, listed)
    with pytest.raises(ConfigError, match="decided on the way"):
        Arm(protocol=configured("protocol", "daily_confounded"))


def test_twins_of_a_library_know_the_patient(world, courses):
    scores = prognostic_scores(DESIGN, courses, world.library(DESIGN, 300, 5))
    ready = prepare(DESIGN, courses, scores, 5).complete["average"]
    assert np.corrcoef(ready.score, ready.control.value)[0, 1] > 0.8
    assert np.mean(ready.score - ready.control.value) == pytest.approx(0, abs=0.08 * ready.control.value.mean())
    assert "300 virtual patients" in scores.words


def test_a_library_is_refused_where_the_past_differs(world):
    policy = replace(world.protocol, regimens=[RandomCycles("vancomycin", [1000.0], [12.0], duration=1.0)])
    with pytest.raises(ConfigError, match="treats patients differently"):
        world._replace(protocol=policy).library(DESIGN, 20, 1)


def test_a_shift_changes_everybody(world, courses):
    shifted = world.shifted("clearance", 0.5).courses(DESIGN, 150, 5)
    kept = np.isfinite(courses.latent["low"])
    assert (shifted.latent["low"][kept] >= courses.latent["low"][kept]).all()
    with pytest.raises(ConfigError, match="no parameter 'size'"):
        Shifted(Published(), "size", 2.0).draw(world.simulator, 1, np.random.default_rng(0))


def test_what_does_not_fit_is_refused(world):
    def made(**more):
        given = {"arms": DESIGN.arms, "cut": 24.0, "protocol": world.protocol} | more
        return simulate_courses(
            world.simulator, world.population, given["protocol"], given["arms"], given["cut"], n_subjects=2, seed=1
        )

    with pytest.raises(SimulationError, match="cut"):
        made(cut=500.0)
    with pytest.raises(SimulationError, match="treatment"):
        made(arms={"a": LOW, "b": Arm([Cycles("aspirin", 1.0, 1.0)])})
    with pytest.raises(ConfigError, match="dropout of their own"):
        made(protocol=replace(world.protocol, visits=Visits(4.0, dropout=0.1)))


def lung_design():
    arms = {
        "chemo": Arm([Cycles("chemotherapy", 5.0, 7.0, count=4)]),
        "both": Arm([Cycles("chemotherapy", 5.0, 7.0, count=4), Cycles("radiotherapy", 2.0, 1.0, count=10)]),
    }
    change = Change("tumour_volume", "cm3", 25.0, 4.0, "log")
    return Design("t", "q", arms, 20.0, {"change": change}, sizes=Sizes(40, 200, (40,), 10))


def lung_courses(design, horizon=50.0):
    protocol = configured("protocol", "daily_confounded")
    protocol = replace(protocol, horizon=horizon, visits=Visits(3.0, 1.0, 0.05))
    courses = simulate_courses(
        configured("simulator", "geng_nsclc"), Published(), protocol, design.arms, 20.0, n_subjects=200, seed=3
    )
    return courses, tuple(protocol.assays)


def test_both_engines_tell_the_same_of_lung_tumours(lung):
    design = lung_design()
    courses, assays = lung_courses(design)
    twins = BundleTwins(lung, assays)
    found = surrogate_courses(courses, twins, assays, 3)
    before = ~courses.after
    assert np.array_equal(found.measured["both"][before], courses.measured["both"][before], equal_nan=True)
    assert np.array_equal(np.isfinite(found.measured["both"]), np.isfinite(courses.measured["both"]))
    ours, theirs = (prepare(design, one, None, 3).complete for one in (courses, found))
    told = agreement(ours, theirs, {"change": 25.0}, 0.3)["change"]
    assert told["agrees"] and told["same_direction"] and told["effect"]["mechanistic"] < -0.5
    assert not agreement(ours, theirs, {"change": 25.0}, 1e-6)["change"]["agrees"]
    scores = prognostic_scores(design, courses, twins).values["change"]
    kept = np.isfinite(scores) & np.isfinite(ours["change"].control.value)
    assert np.corrcoef(scores[kept], ours["change"].control.value[kept])[0, 1] > 0.2


def test_episodes_know_the_past_alone(lung):
    design = lung_design()
    courses, _ = lung_courses(design)
    episodes = episodes_of(courses, "both")
    assert episodes.observations.time.max() <= 20.0 < episodes.queries.time.min()
    assert (episodes.past_doses.time < 20.0).all() and len(episodes.queries) == courses.after.sum()


def test_a_bundle_of_something_else_is_refused(lung, courses):
    with pytest.raises(CohortError, match="other variables"):
        next(BundleTwins(lung).futures(courses, "low"))
    late, assays = lung_courses(lung_design(), 100.0)
    with pytest.raises(ConfigError, match="trained for"):
        next(BundleTwins(lung, assays).futures(late, "chemo"))
