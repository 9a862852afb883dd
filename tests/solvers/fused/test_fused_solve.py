"""The fused solve: what torch says, in the same digits, forward and backward, whatever the instruction set."""

import logging
import shutil

import pytest
import torch
from mlp_cases import case, field_of, gradients, solved

from neurotwin.solvers import FixedStep, Rk4, fused
from neurotwin.solvers.bosh3 import Bosh3
from neurotwin.solvers.dopri5 import Dopri5
from neurotwin.solvers.euler import Euler
from neurotwin.solvers.heun import Heun
from neurotwin.solvers.midpoint import Midpoint

pytestmark = pytest.mark.skipif(
    not (shutil.which("c++") or shutil.which("g++")), reason="no C++ compiler for the fused solve"
)
OPTIONS = [
    {},
    {"regular": True},
    {"use_clock": False},
    {"layers": 1},
    {"layers": 3, "hidden": 33},
    {"rest": 3, "time": 7.0},
    {"rest": 14, "moved": 3},
    {"batch": 131, "moved": 17, "hidden": 64},
    {"control": 0, "static": 0},
    {"rows": 1},
]


def split(options):
    made = ("moved", "control", "static", "rest")
    field = {name: value for name, value in options.items() if name in (*made, "hidden", "layers", "use_clock", "time")}
    rows = {name: value for name, value in options.items() if name in (*made, "batch", "rows", "regular")}
    return field_of(**field), case(**rows)


def agree(field, given, solver, **more):
    one = solved(field, given, type(solver)(1.0, backend="fused"), **more)
    other = solved(field, given, solver, **more)
    torch.testing.assert_close(one.at_query, other.at_query, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.final, other.final, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.clock, other.clock)
    assert torch.equal(one.status, other.status)
    for mine, theirs in zip(gradients(field, one, given), gradients(field, other, given), strict=True):
        scale = theirs.norm().clamp(min=1e-6)
        assert float((mine - theirs).norm() / scale) < 1e-5


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_says_what_torch_says(options):
    agree(*split(options), Rk4(1.0))


@pytest.mark.parametrize("method", [Euler, Midpoint])
def test_every_method_without_an_error_estimate(method):
    agree(field_of(), case(), method(1.0))


def test_with_doses_and_visits_it_goes_row_by_row():
    field, given = field_of(), case(rows=12)
    draw = torch.Generator().manual_seed(3)
    amounts = torch.randn(*given.rows.dt.shape, 2, generator=draw)
    value = torch.randn(*given.rows.dt.shape, 1, generator=draw)
    given = given._replace(rows=given.rows._replace(jump=amounts, value=value, mask=(value > 0).float()))

    def jump(t, state, amount, static):
        return state + 0.1 * amount.sum(-1, keepdim=True)

    def update(t, state, row, static):
        return 0.5 * state + 0.5 * row.value

    agree(field, given, Rk4(1.0), jump=jump)
    agree(field, given, Rk4(1.0), jump=jump, update=update)


@pytest.mark.parametrize("instructions", fused.INSTRUCTION_SETS)
def test_every_instruction_set(instructions, monkeypatch):
    library = fused.library()
    number = fused.INSTRUCTION_SETS.index(instructions)
    if number > library.best:
        pytest.skip(f"this processor has no {instructions}")
    monkeypatch.setattr(library, "chosen", number)
    agree(field_of(hidden=40, layers=3), case(batch=70), Rk4(1.0))


def test_gradients_are_those_of_finite_differences():
    """Central differences in double precision of the same solve by torch."""
    field, given = field_of(), case(batch=3, rows=5)
    found = gradients(field, solved(field, given, Rk4(1.0, backend="fused")), given)
    double = field_of().double()
    wide = given._replace(
        state=given.state.detach().double().requires_grad_(), static=given.static.double(),
        start=given.start.double(), rows=type(given.rows)(*(one.double() for one in given.rows)),
    )  # fmt: skip
    draw = torch.Generator().manual_seed(5)
    shares = [torch.randn(3, 5, 5, generator=draw).double(), torch.randn(3, 5, generator=draw).double()]

    def total():
        with torch.no_grad():
            done = solved(double, wide, Rk4(1.0))
        return float((done.at_query * shares[0]).sum() + (done.final * shares[1]).sum())

    for tensor, gradient in zip([wide.state, *double.parameters()], found, strict=True):
        flat, told = tensor.data.view(-1), gradient.reshape(-1)
        for place in range(0, len(flat), max(1, len(flat) // 7)):
            kept, ends = float(flat[place]), []
            for step in (1e-5, -1e-5):
                flat[place] = kept + step
                ends.append(total())
            flat[place] = kept
            assert float(told[place]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_threads_change_nothing_but_the_order_of_sums():
    field, given = field_of(hidden=48), case(batch=300)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            done = solved(field, given, Rk4(1.0, backend="fused"))
            found.append((done.at_query.detach(), gradients(field, done, given)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_wild_subject_is_told_and_leaves_the_others():
    field, given = field_of(), case(regular=True)
    state = given.state.detach().clone()
    alone = solved(field, given._replace(state=state), Rk4(1.0, backend="fused"))
    wild = state.clone()
    wild[2] = float("nan")
    found = solved(field, given._replace(state=wild), Rk4(1.0, backend="fused"))
    others = torch.arange(len(state)) != 2
    assert found.status.tolist() == [0, 0, 1, 0, 0, 0, 0] and torch.isnan(found.final[2]).all()
    assert torch.equal(found.at_query[others], alone.at_query[others])


@pytest.mark.parametrize("method", [Heun, Bosh3, Dopri5])
def test_a_method_that_estimates_its_error_is_refused(method):
    from neurotwin.errors import SolverError

    assert issubclass(method, FixedStep)
    with pytest.raises(SolverError, match=r"fused.*no error estimate.*backend=torch"):
        solved(field_of(), case(), method(1.0, backend="fused"))


def test_without_a_compiler_it_says_so_once_and_solves_with_torch(monkeypatch, caplog):
    from torch.utils import cpp_extension

    def broken(*_, **__):
        raise RuntimeError("Error building extension\nno g++")

    monkeypatch.setattr(cpp_extension, "load", broken)
    fused.library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                one = solved(field_of(), case(), Rk4(1.0, backend="fused"))
    finally:
        fused.library.cache_clear()
    told = [record.getMessage() for record in caplog.records if "fused" in record.getMessage()]
    assert told == ["solver.backend fused: no compiled solve (Error building extension); solving with torch instead"]
    torch.testing.assert_close(one.final, solved(field_of(), case(), Rk4(1.0)).final)
