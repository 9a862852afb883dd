"""Effector cells against a tumour: reference values, fates, and what the three therapies do."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulator_cases import configured, golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.kuznetsov_immune import (
    BETWEEN_SUBJECTS,
    ESCAPE_SIZE,
    INITIAL_TUMOUR,
    VARIED,
    KuznetsovImmune,
)
from neurotwin.simulators.population import Proposed
from neurotwin.simulators.simulate import simulate

TRANSFER, STIMULATION, CHECKPOINT = 0, 1, 2
STARTS = {"default": (3.2e5, 5e6), "dormant": (3.2e5, 2e6), "escape": (1e5, 1e8)}


def started(name):
    effectors, tumour = STARTS[name]
    return KuznetsovImmune(initial_effectors=effectors, initial_tumour=tumour)


def error(model, theirs, method="dop853"):
    """In units of the largest value, and of the logarithm."""
    states, solution = states_at(model, np.asarray(theirs["time"]), method=method)
    assert not solution.status.any()
    pairs = [(states[0, :, index], np.asarray(theirs[name])) for index, name in enumerate(("effectors", "tumour"))]
    return max(max(worst(*pair), np.abs(np.log(pair[0] / pair[1])).max()) for pair in pairs)


@pytest.mark.parametrize(("method", "tolerance"), [("dop853", 1e-8), ("lsoda", 1e-7), ("rk4", 1e-7)])
def test_the_course_matches_the_reference(method, tolerance):
    assert error(KuznetsovImmune(), golden("kuznetsov_immune.json")["default"], method) < tolerance


@pytest.mark.parametrize("name", sorted(STARTS))
def test_printed_values(name):
    rows = np.array(golden("kuznetsov_immune.json")["printed"][name])
    states, _ = states_at(started(name), rows[:, 0], method="dop853")
    np.testing.assert_allclose(states[0], rows[:, 1:], rtol=6e-8)


def test_values_of_the_specification():
    states, _ = states_at(KuznetsovImmune(), [20.0, 100.0, 400.0], method="dop853")
    printed = [[713475, 5.53288e7], [1218230, 1305210], [1633520, 6016780]]
    np.testing.assert_allclose(states[0], printed, rtol=5e-6)


@pytest.mark.parametrize("name", sorted(KuznetsovImmune.parameters))
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = replace(KuznetsovImmune(), **{name: getattr(KuznetsovImmune(), name) * 1.001})
    assert error(wrong, golden("kuznetsov_immune.json")["default"]) > 1e-5


def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("tumor_immune_kuznetsov1994/default.csv"), delimiter=",", names=True)
    theirs = {"time": table["time_d"], "effectors": table["E_cells"], "tumour": table["T_cells"]}
    assert error(KuznetsovImmune(), theirs) < 1e-8
    assert error(KuznetsovImmune(), theirs, "rk4") < 1e-7


def test_a_tumour_stays_dormant_or_escapes():
    ends = {name: states_at(started(name), [1000.0], method="dop853")[0][0, 0] for name in STARTS}
    for name in ("default", "dormant"):
        assert ends[name][1] < ESCAPE_SIZE / 10
    assert ends["escape"][1] > 4 * ESCAPE_SIZE
    for state in ends.values():  # both fates are rest points
        slope = KuznetsovImmune().vector_field(np.zeros(1), state[None], np.zeros((1, 3)))[0]
        assert np.abs(slope / state).max() < 1e-3


def test_growth_without_effector_cells_is_logistic():
    model = KuznetsovImmune(effector_influx=0.0, initial_effectors=0.0)
    times = np.array([0.0, 10.0, 40.0, 100.0])
    states, _ = states_at(model, times, method="dop853")
    expected = 5e8 / (1 + (5e8 / 5e6 - 1) * np.exp(-0.18 * times))
    assert states[0, :, 1] == pytest.approx(expected, rel=1e-8) and not states[0, :, 0].any()


def test_transferred_cells_arrive_and_die_at_their_rate():
    model = KuznetsovImmune(effector_influx=0.0, initial_effectors=0.0, initial_tumour=0.0)
    doses = Doses.of([0, 0], [1.0, 2.0], [4.0, 6.0], [TRANSFER] * 2, [1e5, 3e5])  # they overlap from day 2 to 4
    states, _ = states_at(model, [2.0, 4.0, 6.0, 10.0], doses, method="dop853")
    expected, state = [], 0.0
    for rate, span in ((1e5, 1), (4e5, 2), (3e5, 2), (0.0, 4)):
        left = np.exp(-0.0412 * span)
        state = state * left + rate / 0.0412 * (1 - left)
        expected.append(state)
    assert states[0, :, 0] == pytest.approx(expected, rel=1e-9)


def test_settings_change_influx_and_kill_relatively_and_add_up():
    model, state = KuznetsovImmune(), np.array([[4e5, 2e7]])
    plain, more = (model.vector_field(np.zeros(1), state, np.array([row]))[0] for row in ([0, 0, 0], [0, 2.0, 0.5]))
    assert more[0] - plain[0] == pytest.approx(2 * 1.3e4) and more[1] - plain[1] == pytest.approx(
        -0.5 * 1.101e-7 * 4e5 * 2e7
    )
    doses = Doses.of([0, 0], [0.0, 0.0], [5.0, 5.0], [CHECKPOINT] * 2, [0.25, 0.5])
    twice, _ = states_at(model, [5.0], doses, method="dop853")
    once, _ = states_at(model, [5.0], Doses.of([0], [0.0], [5.0], [CHECKPOINT], [0.75]), method="dop853")
    np.testing.assert_allclose(twice, once, rtol=1e-12)
    nothing, _ = states_at(model, [5.0], method="dop853")
    blocked, _ = states_at(model, [5.0], Doses.of([0], [0.0], [5.0], [STIMULATION], [-1.0]), method="dop853")
    without = KuznetsovImmune(effector_influx=0.0)
    np.testing.assert_allclose(blocked, states_at(without, [5.0], method="dop853")[0], rtol=1e-12)
    assert blocked[0, 0, 0] < nothing[0, 0, 0]


def test_therapy_turns_escape_into_dormancy():
    doses = Doses.of([0], [0.0], [20.0], [CHECKPOINT], [5.0])
    model = KuznetsovImmune(initial_effectors=3.2e5, initial_tumour=1e8)
    treated, untreated = (states_at(model, [150.0], item, method="dop853")[0][0, 0, 1] for item in (doses, None))
    assert treated < ESCAPE_SIZE < untreated


def test_population():
    people = KuznetsovImmune().proposed_population(20_000, np.random.default_rng(1)).parameters
    for name in VARIED:
        eta = np.log(people[name] / getattr(KuznetsovImmune(), name))
        assert stats.kstest(eta / np.sqrt(np.log1p(BETWEEN_SUBJECTS**2)), "norm").pvalue > 1e-3, name
    low, high = np.log(INITIAL_TUMOUR)
    assert stats.kstest((np.log(people["initial_tumour"]) - low) / (high - low), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("protocol", ["immune_surveillance", "immunotherapy_randomised"])
def test_protocols_show_both_fates(protocol):
    cohort = simulate(KuznetsovImmune(), Proposed(), configured("protocol", protocol), n_subjects=60, seed=1)
    late = (cohort.observations.variable == 1) & (cohort.observations.time > 150)
    share = np.mean(cohort.observations.value[late] > ESCAPE_SIZE)
    assert len(cohort) == 60 and 0.1 < share < 0.7
    assert bool(len(cohort.doses)) is (protocol == "immunotherapy_randomised")


def test_bad_input_is_named():
    with pytest.raises(SimulationError, match="kill_rate = 1 /d.*0 to 0.0001 /d"):
        KuznetsovImmune(kill_rate=1.0)
    too_much = Doses.of([0], [0.0], [1.0], [CHECKPOINT], [-2.0])
    with pytest.raises(SimulationError, match="checkpoint_inhibition = -2"):
        states_at(KuznetsovImmune(), [1.0], too_much, method="rk4")
