"""simulate and simulate_plans: who, when, what, and that it depends on the seed and the subject's number alone."""

import json
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from simulator_cases import configured

from neurotwin import compose
from neurotwin.episodes import make_episodes
from neurotwin.errors import SimulationError
from neurotwin.simulators import simulate as module
from neurotwin.simulators.population import Published, Typical
from neurotwin.simulators.regimens import Cycles
from neurotwin.simulators.simulate import simulate, simulate_plans
from neurotwin.simulators.simulator import PopulationDraw

PAIRS = [
    ("geng_nsclc", "daily_confounded"),
    ("geng_nsclc", "weekly_chemo_rt"),
    ("geng_nsclc", "randomised_chemo_rt"),
    ("vancomycin", "vancomycin_q12h"),
    ("vancomycin", "vancomycin_randomised"),
]


def parts(simulator, protocol):
    return configured("simulator", simulator), Published(), configured("protocol", protocol)


def equal(one, two):
    """Are two cohorts the same, bit for bit?"""
    tables = [(getattr(one, name), getattr(two, name)) for name in ("observations", "doses")]
    columns = [(vars(a)[key], vars(b)[key]) for a, b in tables for key in vars(a)]
    columns += [(one.ids, two.ids), (one.statics, two.statics), (one.fold, two.fold)]
    columns += [(one.truth[name], two.truth[name]) for name in one.truth]
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in columns)


@pytest.mark.parametrize(("simulator", "protocol"), PAIRS)
@pytest.mark.parametrize("population", [Published(), Typical()], ids=["published", "typical"])
def test_a_cohort_comes_out_of_every_pair(simulator, protocol, population):
    model, _, trial = parts(simulator, protocol)
    cohort = simulate(model, population, trial, n_subjects=30, seed=3)
    assert cohort.schema == model.schema and len(cohort) == 30 and set(cohort.truth) >= set(model.parameters)
    seen = cohort.observations
    assert (np.bincount(seen.subject, minlength=30) > 0).all() and seen.time.max() <= trial.horizon
    for index, variable in enumerate(model.variables):
        value = seen.value[seen.variable == index]
        assert ((value >= variable.plausible[0]) & (value <= variable.plausible[1])).all()
    for index, treatment in enumerate(model.treatments):
        given = cohort.doses.amount[cohort.doses.treatment == index]
        assert len(given) and ((given > treatment.plausible[0]) & (given <= treatment.plausible[1])).all()
    assert json.dumps(cohort.provenance, allow_nan=False) and not any(cohort.provenance["rejected"].values())
    make_episodes(cohort, trial.horizon / 2)


@pytest.mark.parametrize(("simulator", "protocol"), [PAIRS[0], PAIRS[4]])
def test_a_subject_depends_on_the_seed_and_its_number_alone(simulator, protocol, monkeypatch):
    model, population, trial = parts(simulator, protocol)
    whole = simulate(model, population, trial, n_subjects=23, seed=5)
    assert equal(whole, simulate(model, population, trial, n_subjects=23, seed=5))
    assert not equal(whole, simulate(model, population, trial, n_subjects=23, seed=6))
    alone = simulate(model, population, trial, n_subjects=1, seed=5, first_subject=7)
    assert equal(alone, whole.take(np.array([7])))
    monkeypatch.setattr(module, "BLOCK_SIZE", 4)
    assert equal(whole, simulate(model, population, trial, n_subjects=23, seed=5))


def test_another_schedule_leaves_the_patients_as_they_are():
    model, population, trial = parts("geng_nsclc", "weekly_chemo_rt")
    rare = replace(trial, visits=replace(trial.visits, interval=10.0, jitter=0.0), assays=())
    one, two = (simulate(model, population, protocol, n_subjects=5, seed=1) for protocol in (trial, rare))
    assert all(np.array_equal(one.truth[name], two.truth[name]) for name in model.parameters)


def test_all_methods_tell_the_same_course():
    model, population, trial = parts("geng_nsclc", "daily_confounded")
    trial = replace(trial, horizon=12.0)
    runs = {
        name: simulate(model, population, trial, n_subjects=3, seed=2, method=name, noise=False)
        for name in ("closed_form", "rk4", "dop853", "lsoda")
    }
    for name, tolerance in (("rk4", 1e-5), ("dop853", 1e-8), ("lsoda", 1e-6)):
        np.testing.assert_allclose(
            runs[name].observations.value, runs["closed_form"].observations.value, rtol=tolerance
        )
        assert np.array_equal(runs[name].doses.time, runs["closed_form"].doses.time)


def test_noise_is_that_of_the_assay():
    model, population, trial = parts("geng_nsclc", "weekly_chemo_rt")
    trial = replace(trial, regimens=(), assays=[replace(trial.assays[0], lower_limit=None)])
    noisy, exact = (simulate(model, population, trial, n_subjects=300, seed=2, noise=noise) for noise in (True, False))
    ratio = noisy.observations.value / exact.observations.value
    assert ratio.std() == pytest.approx(0.05, rel=0.05) and ratio.mean() == pytest.approx(1, abs=0.003)
    assert not exact.observations.censor.any()


def test_values_below_the_limit_are_censored_at_it():
    model, population, trial = parts("geng_nsclc", "weekly_chemo_rt")
    seen = simulate(model, population, trial, n_subjects=60, seed=2).observations
    assert (seen.value >= 0.0042).all() and ((seen.value == 0.0042) == (seen.censor == -1)).all()
    assert (seen.censor == -1).mean() > 0.02


def test_larger_tumours_are_treated_more_and_the_randomised_are_not():
    model, population, trial = parts("geng_nsclc", "daily_confounded")
    cohort = simulate(model, population, trial, n_subjects=1500, seed=4)
    radio = np.bincount(cohort.doses.subject[cohort.doses.treatment == 1], minlength=1500)
    chemo = np.bincount(cohort.doses.subject[cohort.doses.treatment == 0], minlength=1500)
    for randomised, low, high in ((0, 0.25, 1.0), (1, -0.12, 0.12)):
        group = cohort.truth["policy_randomised"] == randomised
        large = np.log(cohort.truth["initial_volume"][group])
        for given in (radio, chemo):
            assert low < np.corrcoef(large, given[group])[0, 1] < high
    assert np.corrcoef(radio, chemo)[0, 1] < 0.9 and radio.mean() > 3 and chemo.mean() > 3
    assert cohort.truth["policy_randomised"].mean() == pytest.approx(0.25, abs=0.04)


def test_a_thousand_patients_take_seconds():
    model, population, trial = parts("geng_nsclc", "daily_confounded")
    begin = time.process_time()
    simulate(model, population, trial, n_subjects=1000, seed=1)
    assert time.process_time() - begin < 5


# --- plans ------------------------------------------------------------------------------------------------------------

PLANS = {
    "as before": None,
    "nothing": (),
    "radiotherapy": (Cycles("radiotherapy", 2.0, 1.0, count=10),),
    "chemotherapy": (Cycles("chemotherapy", 5.0, 7.0),),
}


@pytest.fixture(scope="module")
def outcomes():
    model, population, trial = parts("geng_nsclc", "daily_confounded")
    return simulate_plans(model, population, trial, plans=PLANS, cut=20.5, n_subjects=40, seed=8, noise=False)


def test_plans_share_patients_visits_and_the_past(outcomes):
    first = outcomes["as before"]
    for cohort in outcomes.values():
        past, theirs = (one.observations.time <= 20.5 for one in (cohort, first))
        assert np.array_equal(cohort.observations.time, first.observations.time)
        assert np.array_equal(cohort.observations.value[past], first.observations.value[theirs])
        before, given = (one.doses.take(one.doses.time < 20.5) for one in (cohort, first))
        assert all(
            np.array_equal(a, b, equal_nan=True)
            for a, b in zip(vars(before).values(), vars(given).values(), strict=True)
        )
        assert np.array_equal(cohort.ids, first.ids) and np.array_equal(cohort.statics, first.statics)


def test_plans_differ_as_they_should(outcomes):
    late = outcomes["nothing"].observations.time > 45
    volume = {name: cohort.observations.value[late] for name, cohort in outcomes.items()}
    assert (volume["radiotherapy"] < volume["nothing"]).all() and (volume["chemotherapy"] < volume["nothing"]).all()
    doses = outcomes["radiotherapy"].doses
    after = doses.time >= 20.5
    assert set(doses.treatment[after]) == {1} and set(np.round(doses.time[after] - 20.5, 9)) <= set(range(10))
    assert not (outcomes["nothing"].doses.time >= 20.5).any()
    assert (outcomes["as before"].doses.time >= 20.5).any()


def test_a_plan_that_repeats_the_protocol_changes_nothing():
    model, population, trial = parts("geng_nsclc", "weekly_chemo_rt")
    again = (
        Cycles("chemotherapy", 5.0, 7.0, start=1.0, count=3),
        Cycles("radiotherapy", 2.0, 7.0, (0, 1, 2, 3, 4), 1.0, 15),
    )
    runs = simulate_plans(model, population, trial, plans={"a": None, "b": again}, cut=21.0, n_subjects=10, seed=1)
    assert equal(runs["a"], runs["b"])
    plain = simulate(model, population, trial, n_subjects=10, seed=1)
    np.testing.assert_allclose(runs["a"].observations.value, plain.observations.value, rtol=1e-12)


def test_an_infusion_that_runs_at_the_cut_stops_there():
    model, population, trial = parts("vancomycin", "vancomycin_q12h")
    runs = simulate_plans(model, population, trial, plans={"stop": (), "on": None}, cut=12.25, n_subjects=4, seed=1)
    assert runs["stop"].doses.end.reshape(4, 2)[:, 1].tolist() == [12.25] * 4
    assert runs["on"].doses.end.reshape(4, 5)[:, 1].tolist() == [12.5] * 4


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("cut is 0", {"cut": 0.0}),
        ("cut is 60", {"cut": 60.0}),
        ("plans is empty", {"plans": {}}),
        ("treatment is 'aspirin'", {"plans": {"a": (Cycles("aspirin", 1.0, 1.0),)}}),
    ],
)
def test_plans_that_make_no_sense_are_refused(what, more):
    arguments = {"plans": PLANS, "cut": 20.0, "n_subjects": 2, "seed": 1} | more
    with pytest.raises(SimulationError, match=what):
        simulate_plans(*parts("geng_nsclc", "daily_confounded"), **arguments)


# --- rejection --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SomeTooLarge:
    """A share of patients that leaves the bounds at once: the initial volume may be 1e5 cm3, and grows from there."""

    share: float

    def draw(self, simulator, n, rng):
        volume = np.where(rng.random(n) < self.share, 1e5, 10.0)
        statics = np.tile(simulator.typical_statics, (n, 1))
        return PopulationDraw({"initial_volume": volume, "carrying_capacity": volume * 0 + 1e5}, statics)


def rejecting(share, **more):
    model, _, trial = parts("geng_nsclc", "weekly_chemo_rt")
    bounds = (replace_bounds(model.states[0]), model.states[1])

    class Bounded(type(model)):
        states = bounds

    return simulate(Bounded(), SomeTooLarge(share), trial, n_subjects=200, seed=1, **more)


def replace_bounds(state):
    return state._replace(bounds=(0.0, 9e4))


def test_too_many_rejected_trajectories_fail_with_reasons():
    with pytest.raises(SimulationError, match=r"\d+ of 200 trajectories were rejected \(\d+ out_of_bounds\)"):
        rejecting(0.1)


def test_rejected_subjects_are_left_out_and_counted():
    cohort = rejecting(0.1, max_rejected=0.5)
    n_rejected = cohort.provenance["rejected"]["out_of_bounds"]
    assert 5 < n_rejected < 40 and len(cohort) == 200 - n_rejected
    assert (cohort.truth["initial_volume"] == 10.0).all()
    assert cohort.observations.subject.max() == len(cohort) - 1 and np.isfinite(cohort.observations.value).all()
    assert len(set(cohort.ids)) == len(cohort) and cohort.ids[0].startswith("1-")


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("n_subjects is 0", {"n_subjects": 0}),
        ("n_subjects is 2.5", {"n_subjects": 2.5}),
        ("seed is -1", {"seed": -1}),
        ("first_subject is -1", {"first_subject": -1}),
        ("method 'euler'", {"method": "euler"}),
    ],
)
def test_numbers_out_of_range_are_refused(what, more):
    with pytest.raises(SimulationError, match=what):
        simulate(*parts("geng_nsclc", "daily_confounded"), **({"n_subjects": 2, "seed": 1} | more))


def test_the_configuration_composes():
    config = compose.compose("simulate", ["simulator=vancomycin", "protocol=vancomycin_q12h", "n_subjects=7"])
    built = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
    assert len(simulate(*built, n_subjects=config["n_subjects"], seed=config["seed"], method=config["method"])) == 7
