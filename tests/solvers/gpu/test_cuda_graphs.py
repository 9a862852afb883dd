"""Recorded loops: everything but the recording itself, on the CPU with a tape that computes again."""

import copy
import pickle
import sys

import pytest
import torch
from eager_tape import EagerTape
from mlp_cases import case, field_of, gradients, solved
from torch import nn

from neurotwin.errors import SolverError
from neurotwin.solvers import Dopri5, Rk4, odesolve
from neurotwin.solvers.cuda_graphs import Blocking, Graphs
from neurotwin.solvers.cuda_graphs.loops import MOST_TAPES, rounded


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """As if the CPU could record."""
    # The package's own name for the module is that of the function in it.
    monkeypatch.setattr(sys.modules["neurotwin.solvers.odesolve"], "check_device", lambda backend, device: None)
    EagerTape.made.clear()


def recorded(method=Rk4, **options):
    solver = method(1.0, backend="cuda_graph", **options)
    solver.graphs = Graphs(EagerTape)
    return solver


def same(field, given, solver, plain, **more):
    one, other = solved(field, given, solver, **more), solved(field, given, plain, **more)
    for mine, theirs in zip(one, other, strict=True):
        assert mine is None and theirs is None or torch.equal(mine, theirs)
    for mine, theirs in zip(gradients(field, one, given), gradients(field, other, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


class Visited(nn.Module):
    """Jumps and updates with weights of their own, and a vector field that is no MlpField."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.move, self.learn = nn.Linear(5, 5), nn.GRUCell(1, 5)
        self.register_buffer("shift", torch.full((5,), 0.1))

    def field(self, t, state, control, static):
        return torch.tanh(self.move(state)) + control.sum(-1, keepdim=True) + self.shift

    def jump(self, t, state, amount, static):
        return state + 0.1 * amount.sum(-1, keepdim=True) * self.move(static[:, :1].expand(-1, 5))

    def update(self, t, state, row, static):
        return self.learn(row.value, state)


def visited_case(rows=12):
    given, draw = case(rows=rows), torch.Generator().manual_seed(3)
    amounts = torch.randn(*given.rows.dt.shape, 2, generator=draw)
    value = torch.randn(*given.rows.dt.shape, 1, generator=draw)
    return given._replace(rows=given.rows._replace(jump=amounts, value=value, mask=(value > 0).float()))


def visited(model, given, solver, **more):
    return odesolve(
        model.field, given.state, given.rows, start=given.start, static=given.static, solver=solver,
        jump=model.jump, update=model.update, **more,
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"rest": 3}, {"rows": 17}, {"use_clock": False}], ids=str)
def test_it_says_what_torch_says(options):
    rows = {name: value for name, value in options.items() if name != "use_clock"}
    field = field_of(**{name: value for name, value in options.items() if name != "rows"})
    same(field, case(**rows), recorded(), Rk4(1.0))
    same(field, case(**rows), recorded(Dopri5), Dopri5(1.0))
    same(field, case(**rows), recorded(adjoint="recompute"), Rk4(1.0))


def test_any_field_with_doses_and_visits():
    model, given = Visited(), visited_case()
    one, other = visited(model, given, recorded()), visited(model, given, Rk4(1.0))
    assert torch.equal(one.at_query, other.at_query) and torch.equal(one.final, other.final)
    for mine, theirs in zip(gradients(model, one, given), gradients(model, other, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_numbers_of_another_call_are_copied_and_not_recorded_anew():
    field, solver = field_of(), recorded()
    for seed in range(3):
        same(field, case(seed=seed), solver, Rk4(1.0))
    assert len(EagerTape.made) == 1
    for rows in (33, 35, 36):  # rounded up to as many
        same(field, case(seed=5, rows=rows), solver, Rk4(1.0))
    assert len(EagerTape.made) == 2


def test_what_a_field_closes_over_is_copied_too():
    solver, given = recorded(), case()

    def solve(scale):
        def field(t, state, control, static):
            return -state * scale

        return odesolve(field, given.state, given.rows, start=given.start, static=given.static, solver=solver)

    scales = [torch.tensor(value, requires_grad=True) for value in (0.5, 2.0)]
    first, second = (solve(one) for one in scales)
    assert not torch.equal(first.final, second.final)
    found = [torch.autograd.grad(one.final.sum(), scale)[0] for one, scale in zip((first, second), scales, strict=True)]
    plain = Rk4(1.0)
    for scale, gradient in zip(scales, found, strict=True):
        done = odesolve(
            lambda t, state, control, static, scale=scale: -state * scale, given.state, given.rows,
            start=given.start, static=given.static, solver=plain,
        )  # fmt: skip
        torch.testing.assert_close(gradient, torch.autograd.grad(done.final.sum(), scale)[0])


def test_an_optimizers_step_is_seen_and_gradients_reach_every_weight():
    model, given, solver = Visited(), visited_case(), recorded()
    weights = list(model.parameters())
    told = []
    for one in weights:
        one.register_hook(lambda gradient: told.append(gradient))  # as those of distributed training
    optimizer = torch.optim.SGD(weights, lr=0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = visited(model, given, solver).at_query.square().mean()
        loss.backward()
        assert all(one.grad is not None for one in weights) and len(told) == len(weights)
        told.clear()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert len(EagerTape.made) == 1 and losses[2] < losses[1] < losses[0]
    kept = weights[0].grad.clone()
    visited(model, given, solver).final.sum().backward(inputs=[given.state])
    assert torch.equal(weights[0].grad, kept)  # a gradient is no one else's memory


def test_two_solves_before_either_goes_back_have_a_recording_each():
    field, solver = field_of(), recorded()
    first, second = case(seed=1), case(seed=2)
    one, other = solved(field, first, solver), solved(field, second, solver)
    assert len(EagerTape.made) == 2
    for done, given in ((one, first), (other, second)):
        expected = gradients(field, solved(field, given, Rk4(1.0)), given)
        for mine, theirs in zip(gradients(field, done, given), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    del one, done, other
    solved(field, first, solver)  # forgotten at once, so that its recording is free again
    solved(field, first, solver)
    assert len(EagerTape.made) == 2


def test_going_back_twice_is_refused():
    field, given = field_of(), case()
    total = solved(field, given, recorded()).final.sum()
    total.backward(retain_graph=True)
    with pytest.raises(SolverError, match="goes back only once"):
        total.backward()


def test_without_gradients_answers_are_not_overwritten():
    field, solver = field_of(), recorded()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            one = solved(field, case(seed=1), solver)
            kept = one.at_query.clone()
            solved(field, case(seed=2), solver)
            assert torch.equal(one.at_query, kept)
    assert len(EagerTape.made) == 1
    same(field, case(), solver, Rk4(1.0))


def test_mixed_precision_is_recorded_as_it_was():
    field, given, solver = field_of(), case(), recorded()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one, other = solved(field, given, solver), solved(field, given, Rk4(1.0))
    assert torch.equal(one.at_query, other.at_query)
    for mine, theirs in zip(gradients(field, one, given), gradients(field, other, given), strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02  # they are summed in other places
    same(field, given, solver, Rk4(1.0))
    assert len(EagerTape.made) == 2


def test_recordings_are_few_and_stay_where_they_were_made():
    field, solver = field_of(), recorded()
    for rows in range(1, 25):
        solved(field, case(rows=rows), solver)
    assert sum(map(len, solver.graphs.tapes.values())) == MOST_TAPES
    assert not copy.deepcopy(solver).graphs.tapes and not pickle.loads(pickle.dumps(solver)).graphs.tapes
    assert all(rows <= rounded(rows) <= rows * 1.125 for rows in range(1, 2000))
    assert len({rounded(rows) for rows in range(64, 1024)}) <= 34


def test_weights_that_moved_are_recorded_anew():
    field, given, solver = field_of(), case(), recorded()
    solved(field, given, solver)
    for one in field.parameters():
        one.data = one.data * 2.0
    same(field, given, solver, Rk4(1.0))


def test_what_makes_the_host_wait_is_named_with_its_line():
    given = case()

    def asks(t, state, control, static):
        return -state * state.abs().max().item()

    with pytest.raises(
        SolverError, match=r"captured in a CUDA graph: the host waits for aten\._local_scalar_dense"
    ) as told:
        solved(asks, given, recorded())
    assert "test_cuda_graphs.py:" in str(told.value) and "backend=torch" in str(told.value)


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda x: x[x > 0], "aten.index"),
        (lambda x: x.nonzero(), "aten.nonzero"),
        (lambda x: bool((x > 0).any()), "aten."),
        (lambda x: x.tolist(), "Tensor.tolist"),
        (lambda x: x.cpu(), "Tensor.cpu"),
        (lambda x: x.to("cpu"), "Tensor.to"),
        (lambda x: x.detach().numpy(), "Tensor.numpy"),
        (lambda x: torch.linalg.cholesky(x.outer(x) + torch.eye(3)), "aten._linalg_check_errors"),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), "aten.lift_fresh"),
        (lambda x: torch.unique(x), "aten._unique2"),
    ],
)
def test_what_is_counted(act, name):
    with Blocking() as blocking:
        act(torch.ones(3))
    assert len(blocking.found) == 1 and blocking.found[0].operation.startswith(name)


def test_what_is_not_counted():
    with Blocking() as blocking:
        x = torch.randn(4, 3)
        torch.where(x > 0, x, 0.0).sum() + x[:, :2].mean() + torch.full((3,), 2.0).max()
        x.to(torch.float64).clamp(min=0).softmax(-1)
    assert not blocking.found


def test_weights_in_a_second_place_are_found():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 5)
            self.flat = [self.layer.weight]

        def forward(self, t, state, control, static):
            return state @ self.flat[0]

    with pytest.raises(SolverError, match="keeps its weights in a second place"):
        solved(Twice(), case(), recorded())
