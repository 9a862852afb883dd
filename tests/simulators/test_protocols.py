"""Visits, assays, regimens and policies, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_cases import PROTOCOLS, SIMULATORS, configured

from neurotwin.errors import SimulationError
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.policies import Confounded
from neurotwin.simulators.population import Typical
from neurotwin.simulators.protocols import Assay, Protocol, Visits, VisitTimes
from neurotwin.simulators.regimens import Cycles, Listed, RandomCycles
from neurotwin.simulators.vancomycin import Vancomycin


def rng(seed=0):
    return np.random.default_rng(seed)


@given(
    interval=st.floats(0.1, 50),
    share=st.floats(0, 0.49),
    missing=st.floats(0, 0.9),
    dropout=st.floats(0, 0.5),
    horizon=st.floats(1, 100),
    start=st.floats(0, 1),
    seed=st.integers(0, 100),
)
def test_visits_rise_within_the_horizon_and_begin_at_the_start(interval, share, missing, dropout, horizon, start, seed):
    visits = Visits(interval, share * interval, missing, dropout, start)
    times, leaves = visits.draw(rng(seed), horizon)
    assert times[0] == start and (np.diff(times) > 0).all() and times[-1] <= horizon
    assert (times[1:] <= leaves).all()


def test_listed_visits_and_doses_are_as_listed():
    times, leaves = VisitTimes([0.0, 1.5, 7.0]).draw(rng(), 10.0)
    assert times.tolist() == [0.0, 1.5, 7.0] and leaves == np.inf
    kept = [VisitTimes(np.arange(1.0, 100.0), missing=0.3, dropout=0.01).draw(rng(seed), 100.0) for seed in range(300)]
    assert all(times[0] == 1.0 and (times[1:] <= leaves).all() for times, leaves in kept)
    given = Listed("chemotherapy", [1.0, 1.0, 4.0], [5.0, 2.5, 1.0]).draw(rng(), 10.0)
    assert given.amount.tolist() == [5.0, 2.5, 1.0] and np.isnan(given.end).all()
    given = Listed("insulin", [1.0, 4.0], [5.0, 2.5], [0.5, 2.0]).draw(rng(), 10.0)
    assert given.end.tolist() == [1.5, 6.0]


def test_rates_of_missing_visits_and_dropout():
    drawn = [Visits(1.0, missing=0.3).draw(rng(seed), 99.0)[0] for seed in range(200)]
    assert np.mean([len(times) - 1 for times in drawn]) / 99 == pytest.approx(0.7, abs=0.02)
    leaves = np.array([Visits(1.0, dropout=0.05).draw(rng(seed), 99.0)[1] for seed in range(1000)])
    assert leaves.mean() == pytest.approx(20, rel=0.1)


def test_dropping_out_moves_no_visit():
    stays, _ = Visits(3.0, 1.0, 0.1).draw(rng(4), 60.0)
    times, leaves = Visits(3.0, 1.0, 0.1, dropout=0.05).draw(rng(4), 60.0)
    assert np.array_equal(times, stays[(stays <= leaves) | (stays == 0)])


def test_an_assay_adds_its_errors_and_censors_beyond_its_limits():
    noise = rng(1).standard_normal((100_000, 2))
    value, censor = Assay("x", proportional=0.1, additive=0.5).measure(np.full(100_000, 20.0), noise)
    assert value.std() == pytest.approx(np.hypot(2.0, 0.5), rel=0.02) and not censor.any()
    value, censor = Assay("x", lower_limit=1.0, upper_limit=5.0).measure(
        np.array([0.5, 1.0, 5.0, 6.0]), np.zeros((4, 2))
    )
    assert value.tolist() == [1.0, 1.0, 5.0, 5.0] and censor.tolist() == [-1, 0, 0, 1]


def test_fractions_on_weekdays():
    given = Cycles("radiotherapy", 2.0, 7.0, (0, 1, 2, 3, 4), start=1.0, count=7).draw(rng(), 60.0)
    assert given.time.tolist() == [1, 2, 3, 4, 5, 8, 9] and np.isnan(given.end).all() and (given.amount == 2).all()


def test_infusions_stop_at_the_horizon_only_by_not_beginning():
    given = Cycles("vancomycin", 2000.0, 12.0, duration=0.5).draw(rng(), 36.0)
    assert given.time.tolist() == [0, 12, 24] and given.end.tolist() == [0.5, 12.5, 24.5]
    assert len(Cycles("vancomycin", 2000.0, 12.0, start=50.0, duration=0.5).draw(rng(), 36.0).time) == 0


def test_random_cycles_choose_from_what_they_are_given():
    regimen = RandomCycles("a", [1.0, 2.0], [3.0, 4.0], start=(1.0, 2.0), count=(2, 3), share=0.5)
    drawn = [regimen.draw(rng(seed), 100.0) for seed in range(400)]
    treated = [given for given in drawn if len(given.time)]
    assert len(treated) == pytest.approx(200, abs=40)
    assert {float(given.amount[0]) for given in treated} == {1.0, 2.0}
    assert {len(given.time) for given in treated} == {2, 3}
    assert {round(given.time[1] - given.time[0], 9) for given in treated} == {3.0, 4.0}
    assert all(1 <= given.time[0] <= 2 for given in treated)


def test_the_policy_treats_larger_tumours_more_and_the_randomised_alike():
    policy = Confounded("tumour_volume", {"a": 5.0, "b": 2.0}, (4.0, 4.0), 13.0, randomised_rate=(0.2, 0.2))
    history = np.repeat([[1.0], [12.0]], 20, axis=1).repeat(500, axis=0)
    draws = {"strength": np.full(1000, 4.0), "rate": np.full((1000, 2), 0.2), "uniform": rng(0).random((1000, 30, 2))}
    given = policy.decide(history, draws | {"randomised": np.zeros(1000)}) > 0
    expected = 1 / (1 + np.exp(-4 / 13 * (np.array([1.0, 12.0]) - 6.5)))
    assert given.reshape(2, 500, 2).mean(axis=(1, 2)) == pytest.approx(expected, abs=0.05)
    given = policy.decide(history, draws | {"randomised": np.ones(1000)}) > 0
    assert given.reshape(2, 500, 2).mean(axis=(1, 2)) == pytest.approx([0.2, 0.2], abs=0.04)


VISITS = Visits(3.0)
POLICY = Confounded("x", {"a": 1.0}, (2.0, 4.0), 13.0)


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("interval is 0", lambda: Visits(0.0)),
        ("interval is nan", lambda: Visits(float("nan"))),
        ("jitter is 1.5", lambda: Visits(3.0, 1.5)),
        ("missing is 1", lambda: Visits(3.0, missing=1.0)),
        ("dropout is -1", lambda: Visits(3.0, dropout=-1.0)),
        ("horizon is 0", lambda: Protocol(0.0, VISITS)),
        ("horizon is -5", lambda: Protocol(-5.0, VISITS)),
        ("horizon is inf", lambda: Protocol(float("inf"), VISITS)),
        ("number of visits", lambda: Protocol(1e9, VISITS)),
        (r"times\[1\] is -1", lambda: VisitTimes([0.0, -1.0])),
        (r"times is \[2.0, 1.0\]", lambda: VisitTimes([2.0, 1.0])),
        (r"times is \[1.0, 1.0\]", lambda: VisitTimes([1.0, 1.0])),
        (r"times is \[\]", lambda: VisitTimes([])),
        (r"visits.times\[1\] is 61", lambda: Protocol(60.0, VisitTimes([0.0, 61.0]))),
        ("horizon is 0", lambda: Protocol(0.0, VISITS)),
        (r"times\[0\] is -2", lambda: Listed("chemotherapy", [-2.0], [5.0])),
        (r"times is \[3.0, 2.0\]", lambda: Listed("chemotherapy", [3.0, 2.0], [5.0, 5.0])),
        (r"amounts is \[5.0\]", lambda: Listed("chemotherapy", [3.0, 4.0], [5.0])),
        (r"amounts\[0\] is nan", lambda: Listed("chemotherapy", [3.0], [float("nan")])),
        (r"durations\[0\] is 0", lambda: Listed("chemotherapy", [3.0], [5.0], [0.0])),
        ("time of a dose is 60", lambda: Listed("chemotherapy", [60.0], [5.0]).draw(rng(), 60.0)),
        ("visits.start is 70", lambda: Protocol(60.0, Visits(3.0, start=70.0))),
        ("list of assays", lambda: Protocol(60.0, VISITS, [Assay("x"), Assay("x")])),
        ("proportional is -0.1", lambda: Assay("x", -0.1)),
        ("limits is", lambda: Assay("x", lower_limit=2.0, upper_limit=1.0)),
        ("amount is inf", lambda: Cycles("a", float("inf"), 7.0)),
        ("amount is nan", lambda: Cycles("a", float("nan"), 7.0)),
        ("interval is 0", lambda: Cycles("a", 1.0, 0.0)),
        ("start is -1", lambda: Cycles("a", 1.0, 7.0, start=-1.0)),
        ("offsets is", lambda: Cycles("a", 1.0, 7.0, (3.0, 2.0))),
        ("offsets is", lambda: Cycles("a", 1.0, 7.0, (0.0, 7.0))),
        ("offsets is", lambda: Cycles("a", 1.0, 7.0, ())),
        ("count is", lambda: Cycles("a", 1.0, 7.0, count=-1)),
        ("duration is 0", lambda: Cycles("a", 1.0, 7.0, duration=0.0)),
        ("number of doses", lambda: Cycles("a", 1.0, 1e-6).draw(rng(), 60.0)),
        ("share is 2", lambda: RandomCycles("a", [1.0], [1.0], share=2.0)),
        (r"amounts\[1\] is nan", lambda: RandomCycles("a", [1.0, float("nan")], [1.0])),
        ("intervals is", lambda: RandomCycles("a", [1.0], [])),
        ("start is", lambda: RandomCycles("a", [1.0], [1.0], start=(2.0, 1.0))),
        ("strength is", lambda: Confounded("x", {"a": 1.0}, (4.0, 2.0), 13.0)),
        ("window is", lambda: Confounded("x", {"a": 1.0}, (2.0, 4.0), 13.0, window=0.5)),
        ("marker is", lambda: Confounded("x", {"a": 1.0}, (2.0, 4.0), 13.0, "radius")),
        ("randomised_rate is", lambda: Confounded("x", {"a": 1.0}, (2.0, 4.0), 13.0, randomised_rate=(0.5, 1.5))),
        ("amounts is", lambda: Confounded("x", {}, (2.0, 4.0), 13.0)),
        ("number of decisions", lambda: Protocol(60.0, VISITS, policy=replace(POLICY, interval=1e-5))),
    ],
)
def test_bad_numbers_are_refused_by_name(what, make):
    with pytest.raises(SimulationError, match=what):
        make()


@pytest.mark.parametrize(
    ("what", "protocol", "simulator"),
    [
        ("treatment is 'aspirin'", Protocol(60.0, VISITS, regimens=[Cycles("aspirin", 1.0, 7.0)]), GengNsclc()),
        ("variable is 'size'", Protocol(60.0, VISITS, [Assay("size")]), GengNsclc()),
        ("variable is 'x'", Protocol(60.0, VISITS, policy=replace(POLICY, amounts={"radiotherapy": 2.0})), GengNsclc()),
        ("duration is 1", Protocol(60.0, VISITS, regimens=[Cycles("radiotherapy", 2.0, 7.0, duration=1)]), GengNsclc()),
        ("duration is None", Protocol(60.0, VISITS, regimens=[Cycles("vancomycin", 2.0, 12.0)]), Vancomycin()),
        ("amount is -2.*0 to 20 Gy", Protocol(60.0, VISITS, regimens=[Cycles("radiotherapy", -2.0, 7.0)]), GengNsclc()),
        ("amount is 30", Protocol(60.0, VISITS, regimens=[Listed("radiotherapy", [1.0], [30.0])]), GengNsclc()),
        ("lower_limit is None", Protocol(60.0, VISITS, [Assay("tumour_volume", additive=0.1)]), GengNsclc()),
    ],
)
def test_a_protocol_for_another_simulator_is_refused(what, protocol, simulator):
    with pytest.raises(SimulationError, match=what):
        protocol.check(simulator)


@pytest.mark.parametrize(
    ("what", "statics"),
    [
        ("no covariate 'height'", {"height": 1}),
        ("sex is 'x'", {"sex": "x"}),
        ("age is 'old'", {"age": "old"}),
        ("age is nan", {"age": float("nan")}),
    ],
)
def test_covariates_that_a_model_does_not_have_are_refused(what, statics):
    with pytest.raises(SimulationError, match=what):
        Typical(statics).draw(Vancomycin(), 1, rng())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_fits_a_simulator(name):
    protocol, fits = configured("protocol", name), []
    for simulator in SIMULATORS:
        try:
            protocol.check(configured("simulator", simulator))
        except SimulationError:
            continue
        fits.append(simulator)
    assert fits
