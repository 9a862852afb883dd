"""MlpField: the same vector field whether it is called, taken apart, or solved by compiled code."""

import pytest
import torch
from mlp_cases import case, field_of, gradients, solved

from neurotwin.errors import SolverError
from neurotwin.solvers import Dopri5, Euler, Rk4, Torchdiffeq, odesolve


def called(field):
    """The same slopes from a callable that solvers cannot take apart."""
    return lambda t, state, control, static: field(t, state, control, static)


@pytest.mark.parametrize(
    "options", [{}, {"use_clock": False}, {"layers": 1}, {"layers": 3}, {"rest": 3}, {"time": 7.0}]
)
def test_hoisted_is_called(options):
    field, given = field_of(**options), case(**options)
    one, other = solved(field, given, Rk4(1.0)), solved(called(field), given, Rk4(1.0))
    torch.testing.assert_close(one.at_query, other.at_query)
    torch.testing.assert_close(one.final, other.final)
    for mine, theirs in zip(gradients(field, one, given), gradients(field, other, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_controls_and_clock_move_it():
    field, given = field_of(), case()
    plain = solved(field, given, Rk4(1.0)).final
    later = solved(field, given._replace(start=given.start + 3.0), Rk4(1.0)).final
    treated = solved(field, given._replace(rows=given.rows._replace(control=given.rows.control + 1.0)), Rk4(1.0)).final
    assert (plain != later).any(1).all() and (plain != treated).any(1).all()
    assert torch.equal(
        solved(field_of(use_clock=False), given._replace(start=given.start + 3.0), Rk4(1.0)).final,
        solved(field_of(use_clock=False), given, Rk4(1.0)).final,
    )


@pytest.mark.parametrize("solver", [Euler(1.0), Dopri5(1.0), Torchdiffeq(1.0)])
def test_every_solver_takes_it(solver):
    field, given = field_of(), case(batch=3, rows=4)
    one, other = solved(field, given, solver), solved(called(field), given, solver)
    torch.testing.assert_close(one.final, other.final, rtol=1e-4, atol=1e-5)


def test_recomputing_changes_no_gradient_and_keeps_less():
    field, given = field_of(hidden=32), case(batch=64, rows=40)
    kept, found = {}, {}
    for adjoint in ("store", "recompute"):
        saved = 0

        def count(tensor):
            nonlocal saved
            saved += tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            done = solved(field, given, Rk4(1.0, adjoint=adjoint))
        kept[adjoint], found[adjoint] = saved, gradients(field, done, given)
    for mine, theirs in zip(found["store"], found["recompute"], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    assert kept["recompute"] < kept["store"] / 5


@pytest.mark.parametrize("name", ["backend", "adjoint"])
def test_an_unknown_choice_names_those_there_are(name):
    told = rf"no {name} 'quick'; at solver\.{name}; expected one of (torch, fused|store, recompute)"
    with pytest.raises(SolverError, match=told):
        Rk4(1.0, **{name: "quick"})


def test_a_field_that_the_backend_cannot_express_is_named():
    field, given = field_of(), case()
    with pytest.raises(SolverError, match=r"fused backend cannot solve this: .*is no MlpField.*backend=torch"):
        solved(called(field), given, Rk4(1.0, backend="fused"))
    double = given._replace(state=given.state.double())
    with pytest.raises(SolverError, match=r"the state is torch\.float64 on cpu"):
        solved(field.double(), double, Rk4(1.0, backend="fused"))


def test_a_row_asks_the_host_nothing(monkeypatch):
    """What a loop over rows would wait for, a device cannot be given in advance (a CUDA graph): the number of questions
    must not grow with the rows."""
    asked = []
    monkeypatch.setattr(torch.Tensor, "item", lambda self: asked.append("item"))
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: asked.append("bool") or True)
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: asked.append("list") or [True, True, True])
    counts = []
    for rows in (3, 30):
        asked.clear()
        given = case(rows=rows)
        odesolve(
            field_of(), given.state, given.rows, start=given.start, static=given.static, solver=Rk4(1.0),
            jump=lambda t, state, amount, static: state,
        )  # fmt: skip
        counts.append(len(asked))
    assert counts[0] == counts[1] == 1
