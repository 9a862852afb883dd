"""The Triton kernels in Triton's interpreter, on the CPU: what torch says, forward and backward.

Not collected by itself: TRITON_INTERPRET=1 must be set before anything imports triton, so that test_triton_solve.py
runs this file in a process of its own.
"""

import pytest
import torch
from mlp_cases import case, field_of, gradients, solved

from neurotwin.solvers import Euler, Midpoint, Rk4, odesolve
from neurotwin.solvers.bosh3 import Bosh3
from neurotwin.solvers.odesolve import Solution
from neurotwin.solvers.triton_kernels import triton_solve
from neurotwin.solvers.whole import Whole

OPTIONS = [
    {},  # padding, peeks, queries inside rows, a clock
    {"use_clock": False, "regular": True, "hidden": 16},
    {"layers": 1, "rows": 1},
    {"layers": 3, "hidden": 33, "batch": 3, "rows": 2},
    {"rest": 3, "time": 7.0},
    {"batch": 35, "moved": 17, "rows": 2},  # three tiles over two programs, the last one not full
    {"control": 0, "static": 0, "rows": 2},
]


def split(options):
    made = ("moved", "control", "static", "rest")
    field = {name: value for name, value in options.items() if name in (*made, "hidden", "layers", "use_clock", "time")}
    rows = {name: value for name, value in options.items() if name in (*made, "batch", "rows", "regular")}
    return field_of(**field), case(**{"rows": 3, "batch": 5} | rows)


def close(one, other, field, given):
    torch.testing.assert_close(one.at_query, other.at_query, rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(one.final, other.final, rtol=1e-6, atol=2e-6)
    for mine, theirs in zip(gradients(field, one, given), gradients(field, other, given), strict=True):
        assert float((mine - theirs).norm() / theirs.norm().clamp(min=1e-6)) < 1e-5


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_says_what_torch_says(options):
    field, given = split(options)
    close(solved(field, given, Rk4(1.0, backend="triton")), solved(field, given, Rk4(1.0)), field, given)


@pytest.mark.parametrize("method", [Euler, Midpoint])
def test_other_methods(method):
    field, given = split({"rows": 3})
    close(solved(field, given, method(1.0, backend="triton")), solved(field, given, method(1.0)), field, given)


def test_a_tableau_with_an_embedded_pair():
    """No solver asks for it, for its error is not told; the kernels know no difference."""
    field, given = split({"rows": 3, "rest": 2})
    tableau = Bosh3.tableau
    whole = Whole(triton_solve(tableau, 1 / field.time), field, tableau.c, given.rows, given.start, given.static)
    other = solved(field, given, Bosh3(1.0))
    at_query, final = whole.whole(given.state)
    close(Solution(at_query, final, other.clock, None, other.status), other, field, given)


def test_with_doses_and_visits_it_goes_row_by_row():
    field, given = split({"rows": 4})
    draw = torch.Generator().manual_seed(3)
    amounts = torch.randn(*given.rows.dt.shape, 2, generator=draw)
    value = torch.randn(*given.rows.dt.shape, 1, generator=draw)
    given = given._replace(rows=given.rows._replace(jump=amounts, value=value, mask=(value > 0).float()))
    how = {
        "jump": lambda t, state, amount, static: state + 0.1 * amount.sum(-1, keepdim=True),
        "update": lambda t, state, row, static: 0.5 * state + 0.5 * row.value,
    }
    close(solved(field, given, Rk4(1.0, backend="triton"), **how), solved(field, given, Rk4(1.0), **how), field, given)


def test_expanded_and_turned_tensors():
    field, given = split({"rows": 3, "rest": 2})
    one = given.rows._replace(
        control=given.rows.control[:1, :1].expand(5, 3, 2), dt=torch.full((1, 1), 0.5).expand(5, 3)
    )
    turned = given.rows.query_at.t().contiguous().t()
    given = given._replace(rows=one._replace(query_at=turned), static=given.static[:1].expand(5, -1))
    solvers = Rk4(1.0, backend="triton"), Rk4(1.0)
    close(*(solved(field, given, solver) for solver in solvers), field, given)
    # The gradient of a sum is an expanded number.
    summed = [torch.autograd.grad(solved(field, given, one).final.sum(), given.state)[0] for one in solvers]
    torch.testing.assert_close(*summed, rtol=1e-5, atol=1e-6)


def test_without_gradients_nothing_is_kept():
    field, given = split({})
    with torch.no_grad():
        found = solved(field, given, Rk4(1.0, backend="triton"))
    torch.testing.assert_close(found.final, solved(field, given, Rk4(1.0)).final.detach(), rtol=1e-6, atol=2e-6)


def test_a_wild_subject_is_told_and_leaves_the_others():
    field, given = split({"regular": True})
    wild = given.state.detach().clone()
    alone = solved(field, given._replace(state=wild.clone()), Rk4(1.0, backend="triton"))
    wild[2] = float("nan")
    found = solved(field, given._replace(state=wild), Rk4(1.0, backend="triton"))
    others = torch.arange(5) != 2
    assert found.status.tolist() == [0, 0, 1, 0, 0]
    assert torch.equal(found.at_query[others], alone.at_query[others])


def test_gradients_are_those_of_finite_differences():
    """Central differences in double precision of the same solve by torch."""
    field, given = field_of(hidden=8), case(batch=2, rows=3)
    found = gradients(field, solved(field, given, Rk4(1.0, backend="triton")), given)
    double = field_of(hidden=8).double()
    wide = given._replace(
        state=given.state.detach().double(), static=given.static.double(),
        start=given.start.double(), rows=type(given.rows)(*(one.double() for one in given.rows)),
    )  # fmt: skip
    draw = torch.Generator().manual_seed(5)
    shares = [torch.randn(2, 3, 5, generator=draw).double(), torch.randn(2, 5, generator=draw).double()]

    def total():
        with torch.no_grad():
            done = solved(double, wide, Rk4(1.0))
        return float((done.at_query * shares[0]).sum() + (done.final * shares[1]).sum())

    for tensor, gradient in zip([wide.state, *double.parameters()], found, strict=True):
        flat, told = tensor.data.view(-1), gradient.reshape(-1)
        for place in range(0, len(flat), max(1, len(flat) // 4)):
            kept, ends = float(flat[place]), []
            for step in (1e-5, -1e-5):
                flat[place] = kept + step
                ends.append(total())
            flat[place] = kept
            assert float(told[place]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_mixed_precision_has_no_part_in_it():
    field, given = split({"rows": 2})
    expected = solved(field, given, Rk4(1.0, backend="triton"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = solved(field, given, Rk4(1.0, backend="triton"))
        low = solved(field, given._replace(state=given.state.to(torch.bfloat16)), Rk4(1.0, backend="triton"))
    assert torch.equal(found.at_query, expected.at_query) and low.at_query.dtype == torch.float32
    close(found, expected, field, given)
    gradients(field, low, given)  # flow back into what came in less


def test_what_it_cannot_express_is_named():
    from neurotwin.errors import SolverError

    field, given = split({"rows": 2, "hidden": 136})
    with pytest.raises(SolverError, match=r"triton backend cannot solve this: a layer has more than 128 units"):
        solved(field, given, Rk4(1.0, backend="triton"))
    with pytest.raises(SolverError, match=r"is no MlpField; .*backend=torch solves any vector field"):
        odesolve(
            lambda t, state, control, static: -state, given.state, given.rows, start=given.start, static=given.static,
            solver=Rk4(1.0, backend="triton"),
        )  # fmt: skip
    with pytest.raises(SolverError, match=r"no error estimate, which Bosh3 gives"):
        solved(field_of(), given, Bosh3(1.0, backend="triton"))
