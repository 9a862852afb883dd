"""solve: the three ways agree, faults are marked and stay with their subject, queries change nothing."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from array_api_compat import array_namespace
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_cases import states_at, timeline_of

from neurotwin.errors import SimulationError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.engine import solve
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.simulator import Parameter, Simulator, State, stack_state
from neurotwin.simulators.vancomycin import Vancomycin
from neurotwin.solution import NON_FINITE, OK, OUT_OF_BOUNDS, STEP_BUDGET
from neurotwin.timeline import build_timeline


@dataclass(frozen=True)
class Quadratic(Simulator):
    """y' = rate y^2 - loss: blows up in finite time, or falls below 0.

    Args:
        rate: 1/d.
        loss: 1/d.
        initial: 1.
    """

    rate: object = 0.0
    loss: object = 0.0
    initial: object = 1.0

    name: ClassVar = "quadratic"
    time_unit: ClassVar = "d"
    max_step: ClassVar = 0.1
    parameters: ClassVar = {
        "rate": Parameter("/d", (0.0, 1e9), "test"),
        "loss": Parameter("/d", (0.0, 1e9), "test"),
        "initial": Parameter("1", (0.0, 1e9), "test"),
    }
    states: ClassVar = (State("amount", "1", (0.0, np.inf)),)
    treatments: ClassVar = (Treatment(name="push", unit="1", kind="bolus"),)
    variables: ClassVar = (Variable(name="amount", unit="1"),)

    def initial_state(self, n):
        return stack_state(n, self.initial)

    def vector_field(self, t, state, control):
        xp = array_namespace(state)
        (amount,) = xp.unstack(state, axis=-1)
        return xp.stack([self.rate * amount**2 - self.loss], axis=-1)

    def observe(self, state):
        return state


class Clock(Quadratic):
    """y' = t, to see that fields read the clock."""

    def vector_field(self, t, state, control):
        return t[:, None] + 0 * state


METHODS = ["rk4", "dop853", "lsoda"]


@pytest.mark.parametrize("method", METHODS)
def test_a_field_reads_the_clock(method):
    states, _ = states_at(Clock(), [1.0, 4.0], method=method, max_step=0.5)
    assert states[0, :, 0] == pytest.approx([1.5, 9.0])


@pytest.mark.parametrize("method", METHODS)
def test_a_blow_up_is_marked_and_its_neighbours_go_on(method):
    model = Quadratic(rate=np.array([0.0, 2.0, 0.1]))
    states, solution = states_at(model, [0.25, 3.0], method=method, n=3, max_step=0.1, max_evaluations=20_000)
    assert solution.status[[0, 2]].tolist() == [OK, OK] and solution.status[1] in (NON_FINITE, STEP_BUDGET)
    assert states[1, 0, 0] == pytest.approx(2.0, rel=1e-3) and np.isnan(states[1, 1, 0])
    assert np.isnan(solution.final[1]).all() and states[2, 1, 0] == pytest.approx(1 / 0.7, rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_state_below_its_bound_is_rejected_not_clipped(method):
    model = Quadratic(loss=np.array([0.5, 0.2]))
    states, solution = states_at(model, [1.0, 3.0, 4.0], method=method, n=2, max_step=0.1)
    assert solution.status.tolist() == [OUT_OF_BOUNDS, OK]
    assert states[0, 0, 0] == pytest.approx(0.5) and np.isnan(states[0, 1:]).all()
    assert states[1, :, 0] == pytest.approx([0.8, 0.4, 0.2])


def test_an_initial_state_out_of_bounds_is_rejected():
    _, solution = states_at(Quadratic(), [1.0], n=2, method="rk4", state=np.array([[-1.0], [1.0]]))
    assert solution.status.tolist() == [OUT_OF_BOUNDS, OK]


def test_a_stiff_field_is_solved_or_given_up_within_its_budget():
    class Stiff(Quadratic):
        def vector_field(self, t, state, control):
            return -1e6 * (state - np.cos(t)[:, None])

    states, solution = states_at(Stiff(), [1.0], method="lsoda")
    assert solution.status[0] == OK and states[0, 0, 0] == pytest.approx(np.cos(1.0), abs=1e-5)
    _, solution = states_at(Stiff(), [1.0], method="dop853", max_evaluations=5_000)
    assert solution.status[0] == STEP_BUDGET
    _, solution = states_at(Stiff(), [1.0], method="rk4", max_step=0.1)
    assert solution.status[0] in (NON_FINITE, OUT_OF_BOUNDS)


def random_doses(model, n, rng):
    subject = np.repeat(np.arange(n), 4)
    time = rng.uniform(0, 8, len(subject))
    infused = model.treatments[0].kind == "infusion"
    end = time + rng.uniform(0.1, 3, len(subject)) if infused else np.nan
    return Doses.of(
        subject, time, end, rng.integers(0, len(model.treatments), len(subject)), rng.uniform(0.5, 2, len(subject))
    )


@pytest.mark.parametrize("model", [GengNsclc(), Vancomycin(initial_central=500.0)], ids=["geng_nsclc", "vancomycin"])
@pytest.mark.parametrize("method", ["closed_form", "rk4"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_one_more_query_changes_no_other_answer(model, method, seed):
    rng = np.random.default_rng(seed)
    doses, times = random_doses(model, 2, rng), np.sort(rng.uniform(0, 10, 5))
    few, before = states_at(model, times[[0, 2, 4]], doses, n=2, method=method, max_step=0.5, cut=False)
    more, after = states_at(model, times, doses, n=2, method=method, max_step=0.5, cut=False)
    assert np.array_equal(few, more[:, [0, 2, 4]])
    assert not before.status.any() and not after.status.any()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), method=st.sampled_from(["closed_form", "rk4", "dop853"]))
def test_one_subject_alone_and_in_a_batch(seed, method):
    rng = np.random.default_rng(seed)
    people = GengNsclc().published_population(4, rng)
    model = replace(GengNsclc(), **people.parameters)
    doses, times = random_doses(model, 4, rng).by_subject(), [0.7, 5.0, 9.0]
    together, _ = states_at(model, times, doses, n=4, method=method, max_step=0.5)
    for i in range(4):
        alone, _ = states_at(model.take([i]), times, doses.of_subjects(np.array([i])), method=method, max_step=0.5)
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-13)


def test_queries_inside_long_rows_are_exact_in_closed_form():
    model, times = Vancomycin(initial_central=1000.0), np.linspace(0.1, 40, 23)
    cut, _ = states_at(model, times)
    dense, _ = states_at(model, times, cut=False, max_step=40.0)
    np.testing.assert_allclose(dense, cut, rtol=1e-12)


def test_padding_is_a_bit_exact_no_op():
    model = Vancomycin(initial_central=np.array([1000.0, 1000.0]))
    subject, time = [0, 1, 1, 1], [5.0, 5.0, 20.0, 30.0]
    timeline = build_timeline(
        start=np.zeros(2),
        static=np.zeros((2, 0)),
        static_mask=np.zeros((2, 0)),
        n_variables=1,
        n_treatments=1,
        observations=Observations.of(subject, time, 0, 0.0),
        doses=Doses.of(),
        queries=Queries.of(subject, time),
        max_step=1e3,
    )
    solution = solve(model, timeline)
    assert timeline.dt[0, 2:].tolist() == [0.0, 0.0]
    assert np.array_equal(solution.final[0], solution.at_query[0, timeline.query_row[0]])
    assert np.array_equal(solution.at_query[0, timeline.query_row[0]], solution.at_query[1, timeline.query_row[1]])
    assert solution.clock.tolist() == [5.0, 30.0]


def test_going_on_from_a_state_is_going_on():
    model = GengNsclc()
    doses = Doses.of([0], [1.0], treatment=[0], amount=[5.0])
    whole, _ = states_at(model, [3.0, 8.0], doses)
    _, first = states_at(model, [3.0], doses)
    assert first.clock.tolist() == [3.0]
    second, _ = states_at(model, [5.0], state=first.final)
    np.testing.assert_allclose(second[0, 0], whole[0, 1], rtol=1e-13)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("method 'euler'", lambda m, t: solve(m, t, method="euler")),
        ("state has shape", lambda m, t: solve(m, t, state=np.zeros((1, 3)))),
        ("parameters of 3 subjects", lambda m, t: solve(replace(m, growth_rate=np.full(3, 0.01)), t)),
        ("no closed form", lambda m, t: solve(Quadratic(), timeline_of(Quadratic(), [1.0]), method="closed_form")),
        ("treatments", lambda m, t: solve(Quadratic(), t)),
    ],
)
def test_a_call_that_does_not_fit_is_refused(what, call):
    with pytest.raises(SimulationError, match=what):
        call(GengNsclc(), timeline_of(GengNsclc(), [1.0]))


def test_a_treatment_given_in_the_wrong_way_is_refused():
    with pytest.raises(SimulationError, match="vancomycin is given as a bolus"):
        states_at(Vancomycin(), [1.0], Doses.of([0], [0.5], treatment=[0], amount=[5.0]))
    with pytest.raises(SimulationError, match="radiotherapy is given as a period"):
        states_at(GengNsclc(), [1.0], Doses.of([0], [0.5], [0.7], [1], [5.0]))
