"""A hybrid twin leaves torch: mechanism, hidden memory, nonlinear jump, covariates, a dose at time 0, a query between
rows and joint draws, through one ONNX Scan, at parity."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from neurotwin.events import Doses, Observations, Queries
from neurotwin.solvers import Dopri5, Rk4, Rows, Solver, odesolve
from neurotwin.timeline import build_timeline

N_MECHANISM, N_MEMORY, N_STATIC, N_DRAWS = 2, 5, 3, 4
HISTORY = ("dt", "control", "jump", "value", "mask", "peek")
PLAN = ("dt", "control", "jump", "query_at", "peek")


class Hybrid(nn.Module):
    """Gompertz growth under a drug and radiotherapy, with a learned residual driven by a hidden memory."""

    def __init__(self, solver: Solver) -> None:
        super().__init__()
        self.solver = solver
        size = N_MECHANISM + N_MEMORY
        self.residual = nn.Sequential(nn.Linear(size + 2 + N_STATIC, 16), nn.SiLU(), nn.Linear(16, size))
        self.update = nn.GRUCell(2, N_MEMORY)
        self.spread = nn.Linear(N_MEMORY + N_STATIC, size)
        self.register_buffer("noise", torch.randn(N_DRAWS, size, generator=torch.Generator().manual_seed(1)))

    def vector_field(self, t, state, control, static):
        mechanism, _ = state.split([N_MECHANISM, N_MEMORY], dim=-1)
        volume, drug = mechanism.unbind(-1)
        rate = 0.05 * static[:, 0] * torch.log(30.0 / (volume.abs() + 0.1)) - 0.03 * drug
        physics = torch.stack([volume * rate, control[:, 1] - 0.7 * drug], dim=-1)
        learned = self.residual(torch.cat([state, control, static], dim=-1)) * torch.cos(0.1 * t).unsqueeze(-1)
        return torch.nn.functional.pad(physics, (0, N_MEMORY)) + 0.05 * learned

    def jump(self, t, state, amount, static):
        volume, drug = state[:, 0], state[:, 1]
        dose = amount[:, 0]
        after = torch.stack([volume * torch.exp(-0.1 * dose - 0.01 * dose**2), drug + amount[:, 1]], dim=-1)
        return torch.cat([after, state[:, N_MECHANISM:]], dim=-1)

    def see(self, t, state, row, static):
        error = (row.value[:, 0] - state[:, 0]) * row.mask[:, 0]
        memory = self.update(torch.stack([error, row.mask[:, 0]], -1), state[:, N_MECHANISM:])
        volume = state[:, :1] + 0.7 * error.unsqueeze(-1)
        return torch.cat([volume, state[:, 1:2], memory], dim=-1)

    def solve(self, state, rows, start, static, **more):
        return odesolve(
            self.vector_field, state, rows, start=start, static=static, solver=self.solver, jump=self.jump, **more
        )


def rows_of(names, tensors, n_obs=1):
    given = dict(zip(names, tensors, strict=True))
    dt = given["dt"]
    empty = torch.zeros_like(dt)
    channels = torch.zeros(*dt.shape, n_obs)
    return Rows(*(given.get(name, channels if name in ("value", "mask", "censor") else empty) for name in Rows._fields))


class Assimilate(nn.Module):
    def __init__(self, hybrid):
        super().__init__()
        self.hybrid = hybrid

    def forward(self, state, clock, static, dt, control, jump, value, mask, peek):
        rows = rows_of(HISTORY, (dt, control, jump, value, mask, peek))
        solution = self.hybrid.solve(state, rows, clock, static, update=self.hybrid.see)
        return torch.cat([solution.final, solution.clock.unsqueeze(-1), static], dim=-1)


class ForecastGraph(nn.Module):
    def __init__(self, hybrid):
        super().__init__()
        self.hybrid = hybrid

    def forward(self, packed, dt, control, jump, query_at, peek):
        size = N_MECHANISM + N_MEMORY
        state, clock, static = packed[:, :size], packed[:, size], packed[:, size + 1 :]
        spread = 0.1 * self.hybrid.spread(torch.cat([state[:, N_MECHANISM:], static], dim=-1))
        drawn = (state.unsqueeze(1) + spread.unsqueeze(1) * self.hybrid.noise).flatten(0, 1)

        def many(x):
            return x.unsqueeze(1).expand(-1, N_DRAWS, *x.shape[1:]).flatten(0, 1)

        rows = rows_of(PLAN, tuple(many(x) for x in (dt, control, jump, query_at, peek)))
        solution = self.hybrid.solve(drawn, rows, many(clock), many(static))
        draws = solution.at_query[..., 0].unflatten(0, (-1, N_DRAWS)).transpose(1, 2)
        return draws.mean(-1), draws


def episode(n, rng, n_events):
    """Irregular visits, doses at time 0 and later, an infusion, and queries between them, per subject."""
    start = np.zeros(n)
    subject = np.repeat(np.arange(n), n_events)
    seen = Observations.of(subject, rng.uniform(0, 20, n * n_events), 0, rng.uniform(1, 10, n * n_events))
    doses = Doses.of(
        np.r_[np.arange(n), subject, np.arange(n)],
        np.r_[np.zeros(n), rng.uniform(0, 20, n * n_events), np.full(n, 3.0)],
        np.r_[np.full(n * (n_events + 1), np.nan), np.full(n, 9.5)],
        np.r_[np.zeros(n), np.arange(n * n_events) % 2, np.ones(n)],
        rng.uniform(0.5, 2, n * (n_events + 2)),
    )
    asked = Queries.of(subject, rng.uniform(0, 25, n * n_events))
    more = {
        "start": start,
        "static": np.zeros((n, 0)),
        "static_mask": np.zeros((n, 0)),
        "n_variables": 1,
        "n_treatments": 2,
    }
    history = build_timeline(observations=seen, doses=doses, queries=Queries.of(), max_step=2.0, **more)
    plan = build_timeline(
        observations=Observations.of([], [], [], []), doses=doses, queries=asked, max_step=2.0, **more
    )
    return Rows.of(history), Rows.of(plan)


def inputs(n, seed, n_events=6):
    rng = np.random.default_rng(seed)
    history, plan = episode(n, rng, n_events)
    torch.manual_seed(seed)
    state = torch.cat([torch.rand(n, 1) * 9 + 1, torch.zeros(n, 1), torch.randn(n, N_MEMORY)], dim=-1)
    past = (state, torch.zeros(n), torch.rand(n, N_STATIC), *(getattr(history, name) for name in HISTORY))
    return past, tuple(getattr(plan, name) for name in PLAN)


def to_onnx(module, args, names, outputs, path, dims):
    shapes = {
        name: dims if value.ndim > 2 or name in ("dt", "query_at", "peek") else {0: dims[0]}
        for name, value in zip(names, args, strict=True)
    }
    program = torch.onnx.export(
        module,
        args,
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=list(names),
        output_names=outputs,
        verbose=False,
        external_data=False,
    )
    program.save(path, external_data=False)
    return ort.InferenceSession(path)


def run(session, args):
    return session.run(None, {item.name: value.numpy() for item, value in zip(session.get_inputs(), args, strict=True)})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", [Rk4(2.0), pytest.param(Dopri5(2.0), marks=pytest.mark.full)], ids=["rk4", "dopri5"])
def test_a_hybrid_exports_at_parity(tmp_path, solver):
    torch.manual_seed(0)
    hybrid = Hybrid(solver).eval()
    past, plan = inputs(3, 0)
    assimilate, forecast = Assimilate(hybrid).eval(), ForecastGraph(hybrid).eval()
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("row")}
    with torch.no_grad():
        packed = assimilate(*past)
        names = ("state", "clock", "static", *HISTORY)
        first = to_onnx(assimilate, past, names, ["packed"], tmp_path / "assimilate.onnx", dims)
        second = to_onnx(
            forecast, (packed, *plan), ("packed", *PLAN), ["mean", "draws"], tmp_path / "forecast.onnx", dims
        )
        for n, seed, n_events in [(1, 1, 1), (2, 2, 9), (17, 3, 4)]:
            past, plan = inputs(n, seed, n_events)
            packed = assimilate(*past)
            (exported,) = run(first, past)
            np.testing.assert_allclose(exported, packed.numpy(), rtol=1e-5, atol=1e-5)
            for mine, theirs in zip(run(second, (packed, *plan)), forecast(packed, *plan), strict=True):
                np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-5)
