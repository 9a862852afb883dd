"""The rest of the floor: errors, event tables, scaling, episodes and Runge-Kutta steps."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from toys import toy_cohort

from neurotwin import errors, runge_kutta
from neurotwin.episodes import Episodes, make_episodes
from neurotwin.errors import CohortError, ExtraMissingError, NeurotwinError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.extras import need
from neurotwin.runge_kutta import RK4, dense_state, runge_kutta_step
from neurotwin.scaling import Scaling
from neurotwin.solvers import Bosh3, Dopri5, Euler, Heun, Midpoint

KINDS = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, NeurotwinError)]
TABLEAUS = {
    "rk4": RK4,
    **{solver.__name__.lower(): solver.tableau for solver in (Euler, Heun, Midpoint, Bosh3, Dopri5)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_and_survives_another_process(kind):
    error = kind("what\nwas got", where="there", expected="this  or that", remedy="do so")
    assert str(error) == f"{kind.code} what was got; at there; expected this or that; do so"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.exit_code == error.exit_code
    assert str(kind("what")) == f"{kind.code} what"


def test_each_kind_of_error_has_a_code_of_its_own_and_stands_in_the_tree():
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert {kind.exit_code for kind in KINDS} == {2, 3, 4, 75}
    assert all(kind.__name__ in errors.__doc__ for kind in KINDS)


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch):
    with pytest.raises(ExtraMissingError, match=r"pip install 'neurotwin\[train\]'"):
        need("no_such_package_at_all", "train")
    assert need("json", "train").dumps([]) == "[]"


def test_events_of_subjects_are_renumbered_in_the_order_given():
    table = Queries.of([0, 0, 2, 2, 2, 3], [1.0, 2, 3, 4, 5, 6])
    chosen = table.of_subjects(np.array([3, 1, 2, 2]))
    assert chosen.subject.tolist() == [0, 2, 2, 2, 3, 3, 3] and chosen.time.tolist() == [6, 3, 4, 5, 3, 4, 5]
    assert len(table.of_subjects(np.array([], dtype=int))) == 0


def test_event_tables_cast_broadcast_and_concatenate():
    table = Observations.of([1, 0], 2, 0, [3, 4], post_dose=True)
    assert [getattr(table, item.name).dtype for item in fields(table)] == [
        np.int32,
        np.float64,
        np.int16,
        np.float64,
        np.int8,
        np.bool_,
    ]
    both = Observations.concatenate(table, table.take([0]))
    assert both.value.tolist() == [3, 4, 3] and both.by_subject().value.tolist() == [4, 3, 3] and both.post_dose.all()
    assert (
        Doses.of([0, 0], [1.0, 1.0], [np.nan, 2.0], 0, 1.0).is_bolus.tolist() == [True, False] and len(Doses.of()) == 0
    )


def test_scaling_brings_channels_to_the_order_of_one():
    cohort = toy_cohort(200)
    scaling = Scaling.fit(cohort)
    for index, variable in enumerate(cohort.schema.variables):
        value = cohort.observations.value[cohort.observations.variable == index]
        scaled = (variable.forward(value) - scaling.mean[index]) / scaling.deviation[index]
        assert abs(scaled.mean()) < 1e-9 and scaled.std() == pytest.approx(1)
        assert (scaling.observed_low[index], scaling.observed_high[index]) == (value.min(), value.max())
    assert scaling.static_mean[1:] == (0.0, 0.0) and scaling.static_deviation[1:] == (1.0, 1.0)
    assert scaling.longest == cohort.observations.time.max()
    assert Scaling.from_dict(scaling.to_dict()) == scaling


def test_constant_and_absent_channels_get_a_scale_that_does_no_harm():
    cohort = toy_cohort(10)
    seen = cohort.observations
    first = seen.take(seen.variable == 0)
    scaling = Scaling.fit(
        replace(cohort, observations=replace(first, value=np.full(len(first), 7.0)), doses=Doses.of())
    )
    assert (
        scaling.deviation == (1.0, 1.0)
        and scaling.mean == pytest.approx((np.log(7.0), 0.0))
        and scaling.treatment == (1.0, 1.0)
    )
    one_visit = first.take(first.time == 0)
    assert Scaling.fit(replace(cohort, observations=one_visit, doses=Doses.of())).time == 1.0


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(40)


def test_episodes_keep_past_and_future_apart(cohort):
    episodes, targets, kept = make_episodes(cohort, 3.0, min_visits=2)
    assert (episodes.observations.time <= 3.0).all() and (episodes.queries.time > 3.0).all()
    assert len(targets) == (np.isin(cohort.observations.subject, kept) & (cohort.observations.time > 3.0)).sum()
    assert (episodes.past_doses.time < 3.0).all() and not (
        (episodes.past_doses.end > 3.0) & np.isfinite(episodes.past_doses.end)
    ).any()
    for query, value in zip(targets.query[:20], targets.value[:20], strict=True):
        subject, at = kept[episodes.queries.subject[query]], episodes.queries.time[query]
        mine = cohort.observations.subject == subject
        assert value in cohort.observations.value[mine & (cohort.observations.time == at)]


def test_episodes_leave_out_who_cannot_be_asked(cohort):
    _, _, kept = make_episodes(cohort, 3.0, min_visits=2, max_horizon=1.0)
    for subject in range(len(cohort)):
        time = np.unique(cohort.observations.time[cohort.observations.subject == subject])
        assert (subject in kept) == ((time <= 3.0).sum() >= 2 and ((time > 3.0) & (time <= 4.0)).any())
    with pytest.raises(CohortError, match="no subject can be forecast"):
        make_episodes(cohort, 1e6)


def test_taking_all_episodes_changes_nothing(cohort):
    episodes, *_ = make_episodes(cohort, 3.0)
    again = episodes.take(np.arange(len(episodes)))
    for item in fields(Episodes):
        one, other = getattr(episodes, item.name), getattr(again, item.name)
        if hasattr(one, "subject"):
            assert all(
                np.array_equal(getattr(one, column.name), getattr(other, column.name), equal_nan=True)
                for column in fields(one)
                if column.name != "post_dose"
            )
        elif item.name != "schema":
            assert np.array_equal(one, other)


@pytest.mark.parametrize("name", sorted(TABLEAUS))
def test_tableaus_are_consistent(name):
    tableau = TABLEAUS[name]
    assert sum(tableau.b) == pytest.approx(1) and [sum(row) for row in tableau.a] == pytest.approx(list(tableau.c))
    assert [sum(row) for row in tableau.dense] == pytest.approx(list(tableau.b), abs=1e-12)
    if tableau.error:
        assert sum(tableau.error) == pytest.approx(0, abs=1e-12)


def error_after(tableau, n_steps, theta=None):
    """Of y' = y cos(t), whose solution is exp(sin(t)), at t = 2, or inside the last step."""
    state, dt = np.ones((1, 1)), np.full(1, 2.0 / n_steps)
    for number in range(n_steps):
        t = np.full(1, number * 2.0 / n_steps)
        step = runge_kutta_step(tableau, lambda time, inner: inner * np.cos(time)[:, None], t, dt, state)
        state = step.end
    if theta is None:
        return abs(float(state[0, 0]) - np.exp(np.sin(2.0)))
    at = float(t[0] + theta * dt[0])
    return abs(float(dense_state(tableau, step, dt, np.full(1, theta))[0, 0]) - np.exp(np.sin(at)))


@pytest.mark.parametrize("name", sorted(TABLEAUS))
def test_steps_converge_with_their_order(name):
    tableau = TABLEAUS[name]
    found = np.log2(error_after(tableau, 20) / error_after(tableau, 40))
    assert abs(found - tableau.order) < 0.5


@pytest.mark.parametrize("name", sorted(TABLEAUS))
def test_dense_output_meets_both_ends_and_converges(name):
    tableau = TABLEAUS[name]
    step = runge_kutta_step(tableau, lambda time, inner: -inner, np.zeros(1), np.full(1, 0.5), np.ones((1, 3)))
    np.testing.assert_array_equal(dense_state(tableau, step, np.full(1, 0.5), np.zeros(1)), step.begin)
    np.testing.assert_allclose(dense_state(tableau, step, np.full(1, 0.5), np.ones(1)), step.end, rtol=1e-12)
    found = np.log2(error_after(tableau, 20, 0.4) / error_after(tableau, 40, 0.4))
    assert found > min(tableau.order, tableau.dense_order) - 0.6


def test_a_stage_of_weight_zero_costs_nothing():
    calls = []

    def field(t, state):
        calls.append(t)
        return state

    runge_kutta_step(RK4, field, np.zeros(1), np.ones(1), np.ones((1, 1)))
    assert len(calls) == len(RK4.b) and runge_kutta.RK4.order == 4
