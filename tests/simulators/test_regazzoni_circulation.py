"""The circulation against reference values made by other code, its invariants, its treatments and its population."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulator_cases import golden, reference, states_at, worst

from neurotwin.events import Doses
from neurotwin.simulators.heart_mechanics import activation
from neurotwin.simulators.regazzoni_circulation import BETWEEN_SUBJECTS, CUT, RegazzoniCirculation
from neurotwin.simulators.regazzoni_parameters import VESSELS, WAVEFORMS

HEALTHY = RegazzoniCirculation()
TREATMENTS = [item.name for item in HEALTHY.treatments]
LENGTH, SAMPLES = HEALTHY.window
LOOK_BACK = LENGTH * np.linspace(-1, 0, SAMPLES)
CASES = ["healthy", "systolic_hf_EA_LV_0.5x", "hr_100", "aortic_stenosis_Rmin_20x", "bleed_750mL_5s_15s"]
STATES = "V_LA V_LV V_RA V_RV p_AR_SYS p_VEN_SYS p_AR_PUL p_VEN_PUL Q_AR_SYS Q_VEN_SYS Q_AR_PUL Q_VEN_PUL".split()
PRESSURES, FLOWS = ["p_LA", "p_LV", "p_RA", "p_RV"], ["Q_MV", "Q_AV", "Q_TV", "Q_PV"]
CSV_TIMES = np.round(
    np.concatenate([np.arange(400) * 0.004, 1.6 + np.arange(320) * 0.04, 14.4 + np.arange(401) * 0.004]), 9
)


def held(subject, name, amount, begin=0.0, end=24.0):
    return Doses.of([subject], [begin], [end], [TREATMENTS.index(name)], [amount])


def asked(simulator, times, doses=None, **more):
    """`states_at` in one row, not cut at the questions."""
    return states_at(simulator, times, doses, cut=False, max_step=float(np.max(times)), **more)


def no_treatment(n):
    return np.zeros((n, len(TREATMENTS)))


@pytest.fixture(scope="module")
def course():
    """Eight subjects over 24 s: the reference's five, and three whom treatments give the parameters of three of them.

    Returns the model of all, times, and states ``[subject, time, state]``."""
    halved, narrow = 2.241, 0.15
    model = RegazzoniCirculation(
        left_ventricle_active_elastance=np.array([4.482, halved, 4.482, 4.482, 4.482, 4.482, 4.482, 4.482]),
        aortic_valve_open_resistance=np.array([0.0075, 0.0075, 0.0075, narrow, 0.0075, 0.0075, 0.0075, 0.0075]),
        heart_rate=np.array([75.0, 75.0, 100.0, 75.0, 75.0, 75.0, 75.0, 75.0]),
    )
    doses = Doses.concatenate(
        held(4, "bleeding", 75.0, 5.0, 15.0),
        held(5, "inotropy", -0.5),
        held(5, "inotropy", -0.5),  # two that overlap
        held(6, "heart_rate_change", 25.0),
        held(7, "aortic_stenosis", math.log2(20)),
    )
    times = np.unique(np.concatenate([CSV_TIMES, *(np.round(end + LOOK_BACK, 9) for end in (16.0, 24.0))]))
    states, solution = asked(model, times, doses, n=8)
    assert not solution.status.any()
    return model, times, states


def rows(times, wanted):
    found = np.searchsorted(times, np.asarray(wanted) - 1e-6)
    np.testing.assert_allclose(times[found], wanted, atol=1e-8)
    return found


def columns(model, states):
    """The columns of the reference files but the time."""
    waves = model.waveforms(states, no_treatment(len(states)))
    values = np.concatenate([states[:, :12], waves], axis=1).T
    return dict(zip([*STATES, *PRESSURES, *FLOWS, "I_ext"], values, strict=True))


def errors(model, states, table):
    mine = columns(model, states)
    return [max(worst(mine[name], table[name]) for name in group) for group in (STATES, PRESSURES, FLOWS)]


@pytest.mark.parametrize("name", ["healthy", "hr_100"])
def test_fixed_steps_match_the_reference(course, name):
    model, times, states = course
    table, subject = golden("regazzoni_circulation.json")[name], CASES.index(name)
    found = states[subject, rows(times, table["t_s"])]
    state, pressure, flow = errors(model.take(slice(subject, subject + 1)), found, table)
    assert state < 2e-5 and pressure < 2e-5
    assert flow < 5e-4  # a pressure difference over 0.0075 mmHg s/mL, so sensitive to the last digits of two pressures


@pytest.mark.parametrize("name", ["healthy", "hr_100"])
def test_every_row_matches_the_reference(course, name):
    model, times, states = course
    path = reference(f"organ_heart_regazzoni2020_circulation/{name}.csv")
    table, subject = np.genfromtxt(path, delimiter=",", names=True), CASES.index(name)
    found = states[subject, rows(times, table["t_s"])]
    state, pressure, flow = errors(model.take(slice(subject, subject + 1)), found, table)
    assert state < 5e-5 and pressure < 5e-5 and flow < 1e-3


def test_an_adaptive_solver_matches_the_reference():
    table = {key: np.asarray(value)[:9] for key, value in golden("regazzoni_circulation.json")["healthy"].items()}
    states, solution = states_at(HEALTHY, table["t_s"], method="lsoda", rtol=1e-9, atol=1e-9)
    assert not solution.status.any()
    state, pressure, flow = errors(HEALTHY, states[0], table)
    assert state < 1e-6 and pressure < 1e-6 and flow < 1e-5


@pytest.mark.parametrize(
    "name", ["left_ventricle_active_elastance", "right_atrium_unloaded_volume", "pulmonary_venous_compliance"]
)
def test_the_reference_notices_a_wrong_parameter(name):
    table = {key: np.asarray(value)[:6] for key, value in golden("regazzoni_circulation.json")["healthy"].items()}
    wrong = replace(HEALTHY, **{name: getattr(HEALTHY, name) * 1.01})
    states, _ = asked(wrong, table["t_s"])
    assert max(errors(wrong, states[0], table)[:2]) > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_beats_match_the_reference(course, name):
    """The reference's lowest pressure is that of samples 4 ms apart, up to a thousandth above the lowest."""
    model, times, states = course
    theirs, end = golden("regazzoni_circulation.json")["last_beat"][name], 24.0 if "bleed" in name else 16.0
    window = states[:, rows(times, np.round(end + LOOK_BACK, 9))]
    systolic, diastolic, rate, largest, smallest, ejection, output = model.observe(window)[CASES.index(name)]
    assert systolic == pytest.approx(theirs["SBP"], rel=1e-4)
    assert diastolic == pytest.approx(theirs["DBP"], rel=2e-3)
    assert rate == pytest.approx(100.0 if name == "hr_100" else 75.0, rel=1e-9)
    assert largest == pytest.approx(theirs["LV_EDV"], rel=1e-5)
    assert smallest == pytest.approx(theirs["LV_ESV"], rel=1e-5)
    assert ejection == pytest.approx(theirs["EF"], rel=1e-5)
    assert output == pytest.approx(theirs["CO_L_min"], rel=1e-5)


def test_treatments_give_the_parameters_of_others(course):
    _, times, states = course
    now = rows(times, CSV_TIMES)
    np.testing.assert_allclose(states[5, now], states[1, now], rtol=1e-9)  # two halves of a halving
    np.testing.assert_allclose(states[7, now], states[3, now], rtol=1e-7)
    model = course[0]
    window = states[:, rows(times, np.round(24.0 + LOOK_BACK, 9))]
    # Paced at 100/min from the same instant on, it reaches the beat of the subject whose own rate it is.
    np.testing.assert_allclose(model.observe(window)[6], model.observe(window)[2], rtol=3e-3)


def test_blood_is_conserved_and_a_bleeding_takes_what_it_takes(course):
    model, times, states = course
    volume = np.stack([model.take(slice(i, i + 1)).blood_volume(states[i]) for i in range(8)])
    others = np.delete(volume, 4, axis=0)
    assert others[0, 0] == pytest.approx(1617.876, abs=5e-4)
    assert np.abs(others - others[:, :1]).max() < 1e-6
    assert np.abs(volume[4, times <= 5.0] - volume[4, 0]).max() < 1e-6
    assert np.abs(volume[4, 0] - volume[4, times >= 15.0] - 750.0).max() < 1e-6


def test_fluid_brings_back_what_bleeding_took():
    doses = Doses.concatenate(held(0, "bleeding", 60.0, 0.0, 0.2), held(0, "fluid", 40.0, 0.1, 0.4))
    states, _ = asked(HEALTHY, [0.0, 0.15, 0.5], doses)
    volume = HEALTHY.blood_volume(states[0])
    np.testing.assert_allclose(volume - volume[0], [0.0, -7.0, 0.0], atol=1e-8)
    control = no_treatment(1) + [0, 0, 0, 0, 0, 20.0, 50.0]
    assert dict(zip(WAVEFORMS, HEALTHY.waveforms(states[0, :1], control)[0], strict=True))["external_flow"] == 30.0


@pytest.mark.parametrize(
    ("name", "amount", "field", "factor"),
    [
        ("inotropy", -2.0, "left_ventricle_active_elastance", 0.25),
        ("vascular_tone", -1.0, "systemic_arterial_resistance", 0.5),
        ("aortic_stenosis", 3.0, "aortic_valve_open_resistance", 8.0),
        ("aortic_regurgitation", 16.0, "aortic_valve_closed_resistance", 2.0**-16),
    ],
)
def test_a_setting_multiplies_its_parameter(name, amount, field, factor):
    changed = replace(HEALTHY, **{field: getattr(HEALTHY, field) * factor})
    rng, control = np.random.default_rng(0), no_treatment(6)
    state = HEALTHY.initial_state(6) * rng.uniform(0.8, 1.2, (6, 13))
    state[:, 12] = np.linspace(0, 1, 6)  # at different parts of the beat, valves open and closed
    mine, theirs = control.copy(), changed.vector_field(np.zeros(6), state, control)
    mine[:, TREATMENTS.index(name)] = amount
    np.testing.assert_allclose(HEALTHY.vector_field(np.zeros(6), state, mine), theirs, rtol=1e-9)
    assert np.abs(HEALTHY.vector_field(np.zeros(6), state, control) - theirs).max() > 1e-3


@pytest.mark.parametrize("heart_rate", [48.0, 75.0, 100.0, 149.0])
def test_the_heart_contracts_as_in_the_source(heart_rate):
    """phi by the source's formula in time: the half waves are added, which matters where they overlap."""
    t, rr, start, contraction, relaxation = np.linspace(0, 5, 4001), 60 / heart_rate, 0.1, 0.25, 0.4
    rises, falls = np.mod(t - start, rr), np.mod(t - start - contraction, rr)
    rise = np.where(rises < contraction, 0.5 * (1 - np.cos(np.pi * rises / contraction)), 0.0)
    fall = np.where(falls < relaxation, 0.5 * (1 + np.cos(np.pi * falls / relaxation)), 0.0)
    clear = np.minimum(np.abs(rises - contraction), np.abs(falls - rr)) > 1e-9  # rounding decides in the corner itself
    mine = activation(np, (t - start) / rr, np.full(4001, 1 / rr), contraction, relaxation)
    np.testing.assert_allclose(mine[clear], (rise + fall)[clear], atol=1e-9)
    either = np.where(rises < contraction, rise, fall)  # one after the other: wrong where they overlap
    assert (np.abs(mine - either)[clear].max() > 0.03) == (rr < contraction + relaxation)


def test_the_phase_does_not_jump_when_the_rate_changes():
    doses = Doses.concatenate(
        held(0, "heart_rate_change", 30.0, 1.0, 2.0), held(0, "heart_rate_change", 15.0, 1.5, 2.0)
    )
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    states, _ = asked(HEALTHY, times, doses)
    beats = np.concatenate([[0.0], np.cumsum(0.5 * np.array([75, 75, 105, 120, 75]) / 60)])
    np.testing.assert_allclose(states[0, :, 12], -0.125 + beats, rtol=1e-12)


def test_all_times_of_the_cycle_may_scale_with_the_rate():
    """With exponent 1 a beat at twice the rate is the same beat, only faster."""
    slow, fast = (replace(HEALTHY, duration_scaling=1.0, heart_rate=rate) for rate in (50.0, 100.0))
    assert slow.initial_state(1)[0, 12] == pytest.approx(fast.initial_state(1)[0, 12], rel=1e-12)
    state = np.tile(HEALTHY.initial_state(1), (50, 1))
    state[:, 12] = np.linspace(0, 1, 50)
    waves = [model.waveforms(state, no_treatment(50)) for model in (slow, fast)]
    np.testing.assert_allclose(*waves, rtol=1e-9, atol=1e-9)
    at_75 = replace(HEALTHY, duration_scaling=0.5).waveforms(state, no_treatment(50))
    np.testing.assert_allclose(at_75, HEALTHY.waveforms(state, no_treatment(50)), rtol=1e-12)


def test_samples_tell_the_beat_to_a_thousandth():
    """Against the extremes of states 1 ms apart, for windows that end anywhere in the beat."""
    model = RegazzoniCirculation(
        left_ventricle_active_elastance=np.array([4.482, 2.241, 4.482]),
        aortic_valve_open_resistance=np.array([0.0075, 0.0075, 0.15]),
    )
    fine, _ = states_at(model, 0.001 * np.arange(2801), n=3)
    for end in range(2000, 2800, 37):
        window = fine[:, end - 1800 : end + 1 : 6]
        beat = fine[:, end - 801 : end + 1]
        systolic, diastolic, rate, largest, smallest, *_ = model.observe(window).T
        np.testing.assert_allclose(rate, 75.0, rtol=1e-9)
        for mine, theirs in (
            (systolic, beat[:, :, 4].max(axis=1)),
            (diastolic, beat[:, :, 4].min(axis=1)),
            (largest, beat[:, :, 1].max(axis=1)),
            (smallest, beat[:, :, 1].min(axis=1)),
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3)


def test_before_the_first_beat_there_is_nothing_to_tell():
    start = np.repeat(HEALTHY.initial_state(1)[:, None], SAMPLES, axis=1)
    systolic, diastolic, rate, largest, smallest, ejection, output = HEALTHY.observe(start)[0]
    assert systolic == diastolic == 87.675 and largest == smallest == 118.52
    assert rate == ejection == output == 0.0


def test_moments_of_the_population():
    people = HEALTHY.proposed_population(20_000, np.random.default_rng(1))
    assert people.statics.shape == (20_000, 0) and set(people.parameters) == set(BETWEEN_SUBJECTS)
    there = stats.truncnorm(-CUT, CUT)
    for name, variation in BETWEEN_SUBJECTS.items():
        z = np.log(people.parameters[name] / getattr(HEALTHY, name)) / np.sqrt(np.log1p(variation**2))
        assert stats.kstest(z, there.cdf).pvalue > 1e-3, name


def test_who_could_not_live_is_drawn_again_and_the_others_start_from_a_settled_beat():
    people = HEALTHY.proposed_population(5, np.random.default_rng(3)).parameters
    people["left_ventricle_active_elastance"][4] = 0.6
    drawn = replace(HEALTHY, **people)
    accepted, found = drawn.screen()
    assert accepted.tolist() == [True, True, True, True, False]
    living = replace(drawn, **found).take(slice(0, 4))
    assert living.blood_volume(living.initial_state(4)) == pytest.approx(
        drawn.blood_volume(drawn.initial_state(5))[:4], abs=1e-6
    )
    beat = 60 / living.heart_rate
    for subject in range(4):
        one = living.take(slice(subject, subject + 1))
        states, _ = asked(one, [0.0, beat[subject]])
        assert worst(states[0, 1, :8], states[0, 0, :8]) < 1e-3
    assert HEALTHY.screen().parameters == {} and HEALTHY.screen().accepted.all()


def test_blood_follows_the_compliances():
    assert [getattr(HEALTHY, f"{vessel}_compliance") for vessel in VESSELS] == [1.372, 11.363, 20.0, 16.0]
    wider = replace(HEALTHY, systemic_venous_compliance=12.363)
    start = HEALTHY.initial_state(1)
    assert wider.blood_volume(start) - HEALTHY.blood_volume(start) == pytest.approx([35.898])
