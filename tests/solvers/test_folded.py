"""A folded solve is the solve: of every method that folds, with and without clock, drift, doses and covariates."""

from itertools import product

import numpy as np
import pytest
import torch

from neurotwin.runge_kutta import Tableau
from neurotwin.solvers import Bosh3, Euler, Midpoint, MlpField, Rk4, Rows, odesolve
from neurotwin.solvers.fold import fold
from neurotwin.solvers.folded import VARIANTS, exported_for, folded_for
from neurotwin.solvers.rows import clock_of

BATCH, ROWS, MOVED = 5, 8, 3


def drift(like, control):
    """Slopes of two columns that the network does not move."""
    return torch.stack([like + 1.0, control.sum(-1)], dim=-1)


def dosed(t, state, amount, static):
    return state + amount.sum(-1, keepdim=True)


def task(*, clock, drifts, controls=2, statics=4):
    """A field, rows with padding, peeks and queries anywhere, and a start."""
    generator = torch.Generator().manual_seed(3)

    def number(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    torch.manual_seed(1)
    field = MlpField(
        MOVED, controls, statics, 8, time=3.0, use_clock=clock, drift=drift if drifts else None, gentle=False
    ).double()
    dt = number(BATCH, ROWS).abs().clamp(max=1.0)
    dt[1, 5:] = 0.0  # padding
    none = torch.zeros(BATCH, ROWS, 1, dtype=torch.float64)
    doses = number(BATCH, ROWS, controls) * (dt > 0).unsqueeze(-1)
    peek = (number(BATCH, ROWS) > 0.7).double()
    rows = Rows(dt, number(BATCH, ROWS, controls), doses, none, none, none, number(BATCH, ROWS).sigmoid(), peek)
    return field, rows, number(BATCH, MOVED + 2 * drifts), number(BATCH).abs(), number(BATCH, statics)


@pytest.mark.parametrize("method", [Rk4, Euler, Midpoint])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("clock", "drifts", "jump"), list(product([False, True], [False, True], [None, dosed])))
def test_a_folded_solve_is_the_solve(method, variant, clock, drifts, jump):
    field, rows, state, start, static = task(clock=clock, drifts=drifts)
    if jump is None:
        rows = rows._replace(jump=torch.zeros_like(rows.jump))
    solver = method(1.0)
    expected = odesolve(field, state, rows, start=start, static=static, solver=solver, jump=jump)
    with exported_for(variant), torch.no_grad():
        folded = folded_for(field, solver, rows, clock_of(rows, start)[1], static)
        at_query, final = folded.solve(state, jump)
    torch.testing.assert_close(at_query, expected.at_query, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(final, expected.final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("controls", "statics"), [(0, 0), (0, 4), (2, 0)])
def test_nothing_to_be_told(variant, controls, statics):
    field, rows, state, start, static = task(clock=False, drifts=False, controls=controls, statics=statics)
    rows = rows._replace(jump=torch.zeros_like(rows.jump))
    expected = odesolve(field, state, rows, start=start, static=static, solver=Rk4(1.0))
    with exported_for(variant), torch.no_grad():
        at_query, _ = folded_for(field, Rk4(1.0), rows, clock_of(rows, start)[1], static).solve(state, None)
    torch.testing.assert_close(at_query, expected.at_query, rtol=1e-12, atol=1e-12)


def test_what_does_not_fold_is_left_to_others():
    field, rows, _, start, static = task(clock=False, drifts=False)
    begins = clock_of(rows, start)[1]
    assert folded_for(field, Bosh3(1.0), rows, begins, static) is None  # tells its error
    assert folded_for(lambda *given: given[1], Rk4(1.0), rows, begins, static) is None
    dense = ((1.0,),) * 3
    unused = Tableau(((), (0.5,), (0.5, 0.0)), (0.0, 0.5, 0.5), (0.0, 0.5, 0.5), dense, (), order=1, dense_order=1)
    assert fold(unused) is None


def test_sums_of_the_fold_are_those_of_the_tableau():
    """Each q over its scale is the sum of stages that the tableau tells, whatever the stages are."""
    tableau = Rk4.tableau
    kappa = np.random.default_rng(0).normal(size=len(tableau.b))
    done: list[float] = []
    for number, stage in enumerate(fold(tableau).stages):
        done.append(stage.own * kappa[number] + stage.beta * sum(sign * done[i] for i, sign in stage.terms))
        told = [*tableau.a[1:], tableau.b][number]
        assert done[-1] / stage.scale == pytest.approx(np.dot(told, kappa[: len(told)]))
        assert all(sign > 0 for _, sign in stage.terms[:1]) or any(sign > 0 for _, sign in stage.terms)


def test_a_variant_holds_for_what_is_exported_meanwhile():
    field, rows, _, start, static = task(clock=False, drifts=False)
    begins = clock_of(rows, start)[1]

    def inside():
        return folded_for(field, Rk4(1.0), rows, begins, static).inside

    with exported_for("throughput"):
        assert inside()
    assert not inside()
