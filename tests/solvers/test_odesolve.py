"""odesolve: order, closed forms, own grids, isolation, and rows that do what the Timeline says."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from neurotwin.errors import SolverError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.solvers import (
    NON_FINITE,
    OK,
    STEP_BUDGET,
    Bosh3,
    Dopri5,
    Euler,
    Heun,
    Midpoint,
    Rk4,
    Rows,
    Torchdiffeq,
    odesolve,
)
from neurotwin.timeline import build_timeline

FIXED = (Euler, Midpoint, Heun, Bosh3, Rk4, Dopri5)
NONE = Observations.of([], [], [], [])


def cut(doses=None, queries=None, observations=None, n=1, max_step=1.0, start=None):
    return build_timeline(
        start=np.zeros(n) if start is None else start,
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=1,
        n_treatments=2,
        observations=observations or NONE,
        doses=doses or Doses.of(),
        queries=queries or Queries.of(),
        max_step=max_step,
    )


def solve(field, state, timeline, solver, **more):
    rows = Rows.of(timeline, dtype=torch.float64)
    start = torch.as_tensor(timeline.start)
    return odesolve(
        field, state, rows, start=start, static=torch.zeros(len(start), 0, dtype=torch.float64), solver=solver, **more
    )


def pendulum(t, state, control, static):
    angle, speed = state.unbind(-1)
    return torch.stack([speed, -torch.sin(angle) + torch.cos(t) * angle], dim=-1)


def damped(t, state, control, static):
    angle, speed = state.unbind(-1)
    return torch.stack([speed, -torch.sin(angle) - 0.5 * speed + 0.1 * torch.cos(t)], dim=-1)


def add(t, state, amount, static):
    return state + amount


def decay(t, state, control, static):
    return control - 0.3 * state


REFERENCE = Torchdiffeq(10.0, "dopri8", rtol=1e-13, atol=1e-13)
FIRST = torch.tensor([[1.0, 0.3]], dtype=torch.float64)


@pytest.mark.parametrize("method", FIXED)
def test_order_of_the_solution_and_of_its_dense_output(method):
    end, inside = 3.2, 1.27
    truth = {
        time: solve(pendulum, FIRST, cut(queries=Queries.of([0], [time]), max_step=10), REFERENCE).at_query[0, -1]
        for time in (end, inside)
    }
    steps = np.array([0.2, 0.1, 0.05]) * {Euler: 0.25, Dopri5: 0.5}.get(method, 1)
    errors = {time: [] for time in truth}
    for step in steps:
        for time in truth:
            timeline = cut(
                queries=Queries.of([0], [time]), observations=Observations.of([0], [end], [0], [0.0]), max_step=step
            )
            solution = solve(pendulum, FIRST, timeline, method(step))
            errors[time].append(float((solution.at_query[0, timeline.query_row[0]] - truth[time]).abs().max()))
    slope = np.polyfit(np.log(steps), np.log(errors[end]), 1)[0]
    assert slope == pytest.approx(method.tableau.order, abs=0.2)
    # A continuous extension of order p is locally of order p + 1, so globally min(p + 1, order).
    dense = np.polyfit(np.log(steps), np.log(errors[inside]), 1)[0]
    assert dense > min(method.tableau.dense_order + 1, method.tableau.order) - 0.5


@pytest.mark.parametrize("method", FIXED)
def test_tableau_is_consistent(method):
    tableau = method.tableau
    for row, node in zip(tableau.a, tableau.c, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-15)
    for weights, weight in zip(tableau.dense, tableau.b, strict=True):
        assert sum(weights) == pytest.approx(weight, abs=1e-14)


@pytest.mark.parametrize("solver", [Rk4(0.05), Dopri5(0.1), Torchdiffeq(5.0, rtol=1e-9, atol=1e-10)])
def test_doses_and_infusions_meet_the_closed_form(solver):
    doses = Doses.of([0, 0, 0], [0.0, 2.0, 2.0], [np.nan, 4.5, np.nan], [0, 1, 0], [2.0, 0.7, 1.0])
    asked = Queries.of([0] * 4, [0.0, 1.0, 3.0, 7.0])
    timeline = cut(doses, asked, max_step=solver.max_step)
    found = solve(decay, torch.zeros(1, 2, dtype=torch.float64), timeline, solver, jump=add).at_query[
        0, timeline.query_row
    ]
    t = asked.time
    bolus = 2 * np.exp(-0.3 * t) * (t > 0) + np.exp(-0.3 * (t - 2)) * (t > 2)
    infusion = 0.7 / 0.3 * (np.exp(-0.3 * (t - np.clip(t, 2, 4.5))) - np.exp(-0.3 * (t - 2))) * (t > 2)
    np.testing.assert_allclose(found.numpy(), np.stack([bolus, infusion], -1), atol=2e-7)


def a_batch(n, seed=0):
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n), 5)
    doses = Doses.of(
        subject, rng.uniform(0, 8, 5 * n), treatment=rng.integers(0, 2, 5 * n), amount=rng.uniform(0, 1, 5 * n)
    )
    asked = Queries.of(subject, rng.uniform(0, 11, 5 * n))
    state = torch.as_tensor(rng.normal(size=(n, 2)))
    return doses, asked, state


@pytest.mark.parametrize(
    ("solver", "tolerance"), [(Rk4(0.7), 1e-12), (Dopri5(0.7), 1e-12), (Torchdiffeq(20.0, rtol=1e-7), 1e-6)]
)
def test_own_grids_in_a_batch_equal_each_solved_alone(solver, tolerance):
    doses, asked, state = a_batch(6)
    timeline = cut(doses, asked, n=6, max_step=solver.max_step)
    together = solve(damped, state, timeline, solver, jump=add)
    for one in range(6):
        pick = np.array([one])
        alone_rows = cut(doses.of_subjects(pick), asked.of_subjects(pick), max_step=solver.max_step)
        alone = solve(damped, state[one : one + 1], alone_rows, solver, jump=add)
        mine = together.at_query[one, timeline.query_row[asked.subject == one]]
        torch.testing.assert_close(mine, alone.at_query[0, alone_rows.query_row], rtol=tolerance, atol=tolerance)


def wild(t, state, control, static):
    """Subject 1 blows up, subject 2 is stiff, by the sign and size of their second state."""
    first, kind = state.unbind(-1)
    slope = torch.where(kind < 0, first**2 * 1e3, torch.where(kind > 1e3, -kind * (first - torch.cos(t)), -0.3 * first))
    return torch.stack([slope, torch.zeros_like(kind)], dim=-1)


WILD = torch.tensor([[1.0, 0.0], [5.0, -1.0], [1.0, 1e15], [2.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize("solver", [Rk4(0.5), Torchdiffeq(10.0, rtol=1e-6, max_evaluations=2000)])
def test_a_wild_subject_never_harms_its_neighbours(solver):
    asked = Queries.of([0, 1, 2, 3], [4.0, 4.0, 4.0, 4.0])
    timeline = cut(queries=asked, n=4, max_step=solver.max_step)
    solution = solve(wild, WILD, timeline, solver)
    assert solution.status[[0, 3]].tolist() == [OK, OK]
    assert (solution.status[[1, 2]] != OK).all() and torch.isnan(solution.final[[1, 2]]).all()
    if isinstance(solver, Torchdiffeq):
        assert solution.status.tolist()[2] == STEP_BUDGET
    expected = torch.tensor([1.0, 2.0], dtype=torch.float64) * np.exp(-1.2)
    torch.testing.assert_close(solution.at_query[[0, 3], -1, 0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("solver", [Rk4(0.5), Torchdiffeq(10.0)])
def test_a_state_that_is_not_finite_is_a_status(solver):
    state = torch.tensor([[torch.nan, 0.0], [1.0, 0.0]], dtype=torch.float64)
    timeline = cut(queries=Queries.of([0, 1], [1.0, 1.0]), n=2, max_step=solver.max_step)
    solution = solve(wild, state, timeline, solver)
    assert solution.status.tolist() == [NON_FINITE, OK]
    assert float(solution.final[1, 0]) == pytest.approx(np.exp(-0.3 * float(solution.clock[1])), rel=1e-3)


PADDED = Queries.of([0, 1], [3.0, 40.0])
ZERO = torch.tensor([[1.0, -0.0], [1.0, -0.0]], dtype=torch.float64)


@pytest.mark.parametrize("method", FIXED)
def test_padding_is_a_bit_exact_no_op(method):
    padded = solve(decay_first, ZERO, cut(queries=PADDED, n=2, max_step=0.5), method(0.5))
    alone = solve(decay_first, ZERO[:1], cut(queries=Queries.of([0], [3.0]), max_step=0.5), method(0.5))
    assert padded.final[0].numpy().tobytes() == alone.final[0].numpy().tobytes()


@pytest.mark.parametrize("method", [Euler, Midpoint])
def test_a_field_that_explodes_on_padding_has_no_consequence(method):
    """The padding of subject 0 stands at its last clock, 3, which these methods' stages never reach before."""

    def explodes(t, state, control, static):
        first = torch.arange(2) == 0
        return torch.where((first & (t >= 3.0)).unsqueeze(-1), torch.inf, -0.1 * state)

    padded = solve(explodes, ZERO, cut(queries=PADDED, n=2, max_step=0.5), method(0.5))
    alone = solve(decay_first, ZERO[:1], cut(queries=Queries.of([0], [3.0]), max_step=0.5), method(0.5))
    assert padded.status.tolist() == [OK, OK]
    assert padded.final[0].numpy().tobytes() == alone.final[0].numpy().tobytes()


def decay_first(t, state, control, static):
    return -0.1 * state


@pytest.mark.parametrize("solver", [Rk4(1.0), Bosh3(1.0), Torchdiffeq(5.0)])
def test_one_query_more_changes_no_other_answer(solver):
    doses, _, state = a_batch(1, 3)
    few, more = Queries.of([0, 0], [2.2, 9.0]), Queries.of([0] * 5, [2.2, 9.0, 2.1, 8.9, 0.0])
    answers = []
    for asked in (few, more):
        timeline = cut(doses, asked, max_step=solver.max_step)
        answers.append(solve(pendulum, state, timeline, solver, jump=add).at_query[0, timeline.query_row[:2]])
    assert torch.equal(*answers)


def test_samples_before_and_after_a_dose():
    observations = Observations.of([0, 0], [1.0, 1.0], [0, 0], [0.0, 0.0], post_dose=[False, True])
    timeline = cut(Doses.of([0], [1.0], treatment=[0], amount=[5.0]), observations=observations)
    seen = []

    def note(t, state, row, static):
        if row.mask.any():
            seen.append((float(t[0]), float(state[0, 0])))
        return state

    solve(decay_first, torch.ones(1, 2, dtype=torch.float64), timeline, Rk4(1.0), jump=add, update=note)
    before = np.exp(-0.1)
    assert seen[0] == (1.0, pytest.approx(before, rel=1e-6)) and seen[1] == (1.0, pytest.approx(before + 5, rel=1e-6))


def test_step_error_of_embedded_pairs_bounds_the_true_error():
    asked = Queries.of([0], [3.0])
    truth = solve(pendulum, FIRST, cut(queries=asked, max_step=10), REFERENCE).at_query[0, -1]
    for method in (Heun, Bosh3, Dopri5):
        solution = solve(pendulum, FIRST, cut(queries=asked, max_step=0.1), method(0.1))
        true = (solution.at_query[0, -1] - truth).abs().max()
        assert true < solution.error[0, -1].max() < 1e5 * true
    assert solve(pendulum, FIRST, cut(queries=asked, max_step=0.1), Rk4(0.1)).error is None


def test_rk4_is_the_one_of_torchdiffeq():
    from torchdiffeq import odeint

    grid = torch.arange(0, 5, dtype=torch.float64)
    theirs = odeint(lambda t, y: pendulum(t.expand(1), y, None, None), FIRST, grid, method="rk4")
    ours = solve(pendulum, FIRST, cut(queries=Queries.of([0], [4.0])), Rk4(1.0)).at_query[0, -1]
    torch.testing.assert_close(ours, theirs[-1, 0], rtol=1e-12, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    doses, asked, state = a_batch(2, 1)
    timeline = cut(doses, asked, n=2, max_step=1.0)
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(rate, state):
        return (
            solve(lambda t, y, u, s: torch.sin(y) * rate - 0.1 * y, state, timeline, Rk4(1.0), jump=add)
            .at_query.square()
            .sum()
        )

    assert torch.autograd.gradcheck(loss, (rate, state.requires_grad_()), atol=1e-5)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("longer|long", lambda: solve(decay_first, FIRST, cut(queries=Queries.of([0], [3.0]), max_step=2), Rk4(1.0))),
        (
            "no jump",
            lambda: solve(decay_first, FIRST, cut(Doses.of([0], [0.0], treatment=[0], amount=[1.0])), Rk4(1.0)),
        ),
        ("shape", lambda: solve(decay_first, FIRST[0], cut(), Rk4(1.0))),
        ("max_step", lambda: Rk4(0.0)),
        ("max_step", lambda: Rk4(float("nan"))),
        ("no adaptive method", lambda: Torchdiffeq(1.0, "magic")),
        ("positive tolerances", lambda: Torchdiffeq(1.0, rtol=-1.0)),
    ],
)
def test_bad_input_is_refused_at_the_door(message, call):
    with pytest.raises(SolverError, match=message):
        call()


def test_isolation_holds_without_assertions():
    """``python -O`` removes asserts, on which torchdiffeq's own guards rest."""
    run = subprocess.run(
        [sys.executable, "-O", "-c", _OPTIMISED], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.stdout.split() == ["0", "1", "0"], run.stderr


_OPTIMISED = """
import numpy as np, torch
from neurotwin.events import Doses, Observations, Queries
from neurotwin.solvers import Rows, Torchdiffeq, odesolve
from neurotwin.timeline import build_timeline
none = np.zeros((3, 0))
timeline = build_timeline(start=np.zeros(3), static=none, static_mask=none, n_variables=1, n_treatments=1, max_step=5.0,
    observations=Observations.of([], [], [], []), doses=Doses.of(), queries=Queries.of([0, 1, 2], [1.0] * 3))
state = torch.tensor([[1.0], [float("nan")], [2.0]])
solution = odesolve(lambda t, y, u, s: -y, state, Rows.of(timeline), start=torch.zeros(3), static=torch.zeros(3, 0),
    solver=Torchdiffeq(5.0, max_evaluations=500))
print(*solution.status.tolist())
"""
