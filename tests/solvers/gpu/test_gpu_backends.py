"""Which backends there are, what is said of those that are not, and the GPU's own where there is a GPU."""

import importlib.util
import warnings

import pytest
import torch
from mlp_cases import case, field_of, gradients, solved

from neurotwin.errors import SolverError
from neurotwin.solvers import MlpField, Rk4, Rows, backends, odesolve

without = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: no CUDA device")


@without
@pytest.mark.parametrize("backend", ["cuda_graph", "triton"])
def test_without_a_gpu_it_is_an_error_that_lists_what_there_is(backend, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    cause = "no package triton" if backend == "triton" and not importlib.util.find_spec("triton") else "no CUDA device"
    told = rf"the {backend} backend is not available: {cause}; .*expected one of torch, fused; .*backend=torch"
    with pytest.raises(SolverError, match=told):
        solved(field_of(), case(), Rk4(1.0, backend=backend))


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert backends.available() == ("torch", "fused", "cuda_graph")
    with pytest.raises(SolverError, match="triton backend is not available: no package triton"):
        backends.check_device("triton", torch.device("cuda"))


def test_with_a_gpu_the_state_must_be_on_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SolverError, match="cuda_graph backend is not available: the state is on cpu; .*cuda_graph"):
        backends.check_device("cuda_graph", torch.device("cpu"))


@pytest.mark.parametrize("backend", ["fused", "triton", "cuda_graph"])
def test_a_model_that_takes_its_steps_one_by_one_is_told(backend):
    given = case()
    with pytest.raises(SolverError, match=f"{backend} backend has no part in a model that takes its steps one by one"):
        Rk4(1.0, backend=backend).advance(
            lambda t, state: -state, given.start, given.rows.dt[:, 0], given.state, given.rows.query_at[:, 0]
        )


@without
@pytest.mark.parametrize("backend", ["cuda_graph", "triton"])
def test_an_export_asks_for_no_device(backend, monkeypatch):
    """A model that was trained with a GPU's backend is exported where there is none."""
    field, given = field_of(), case()
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    with torch.no_grad():
        found = solved(field, given, Rk4(1.0, backend=backend))
    monkeypatch.undo()
    torch.testing.assert_close(found.at_query, solved(field, given, Rk4(1.0)).at_query)


def on(device, field, given):
    state = given.state.detach().to(device).requires_grad_()
    rows = Rows(*(one.to(device) for one in given.rows))
    there = given._replace(state=state, rows=rows, start=given.start.to(device), static=given.static.to(device))
    return field.to(device), there


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("backend", ["cuda_graph", "triton"])
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"regular": True}, {"use_clock": False}, {"layers": 1, "rows": 1}, {"layers": 3, "hidden": 33}),
        *({"rest": 3, "time": 7.0}, {"batch": 1000, "moved": 17, "hidden": 64}, {"batch": 100, "hidden": 128}),
        *({"control": 0, "static": 0}, {"rows": 60, "batch": 50}),
    ],
    ids=str,
)
def test_on_the_gpu_it_says_what_torch_says_on_the_cpu(backend, options):
    made = {name: value for name, value in options.items() if name not in ("batch", "rows", "regular")}
    drawn = {name: value for name, value in options.items() if name not in ("hidden", "layers", "use_clock", "time")}
    field, given = field_of(**made), case(**drawn)
    other = solved(field, given, Rk4(1.0))
    expected = gradients(field, other, given)
    field, there = on("cuda", field, given)
    solver = Rk4(1.0, backend=backend)
    for _ in range(3):  # the first records or compiles
        one = solved(field, there, solver)
        draw = torch.Generator().manual_seed(5)
        shares = [torch.randn(part.shape, generator=draw).cuda() for part in (one.at_query, one.final)]
        total = (one.at_query * shares[0]).sum() + (one.final * shares[1]).sum()
        found = torch.autograd.grad(total, [there.state, *field.parameters()])
        torch.testing.assert_close(one.at_query.cpu(), other.at_query, rtol=1e-4, atol=1e-4)
        for mine, theirs in zip(found, expected, strict=True):
            assert float((mine.cpu() - theirs).norm() / theirs.norm().clamp(min=1e-6)) < 1e-4


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("backend", ["cuda_graph", "triton"])
def test_on_the_gpu_it_trains(backend):
    """Weights are read where they lie; mixed precision; two solves before either goes back."""
    torch.manual_seed(0)
    field = MlpField(4, 2, 3, 64).cuda()
    solver, optimizer = Rk4(1.0, backend=backend), torch.optim.Adam(field.parameters(), lr=1e-2)
    _, given = on("cuda", field, case(moved=4, batch=300, rows=20))
    losses = []
    for _ in range(20):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            one = solved(field, given, solver)
            other = solved(field, given._replace(static=given.static + 1.0), solver)
            loss = (one.at_query.square().mean() + other.at_query.square().mean()).float()
        loss.backward()
        assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in field.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("backend", ["cuda_graph", "triton"])
def test_on_the_gpu_a_solve_asks_no_more_for_more_rows(backend):
    solver, counts = Rk4(1.0, backend=backend), []
    for rows in (8, 64):
        field, given = on("cuda", field_of(), case(rows=rows))
        solved(field, given, solver)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                solved(field, given, solver)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("called a synchronizing" in str(one.message) for one in told))
    assert (
        1 <= counts[0] == counts[1] <= 2
    )  # of lengths and doses; and the method's nodes are sent, where it has a clock


@pytest.mark.gpu
@on_gpu
def test_on_the_gpu_what_cannot_be_recorded_is_named():
    _, given = on("cuda", field_of(), case())

    def asks(t, state, control, static):
        return -state * float(state.abs().max())

    with pytest.raises(SolverError, match=r"host waits for aten\._local_scalar_dense"):
        odesolve(
            asks, given.state, given.rows, start=given.start, static=given.static,
            solver=Rk4(1.0, backend="cuda_graph"),
        )  # fmt: skip
