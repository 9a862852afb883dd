"""Small networks as vector fields, and rows to solve them along."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurotwin.solvers import MlpField, Rows, odesolve


class Case(NamedTuple):
    state: Tensor
    rows: Rows
    start: Tensor
    static: Tensor


def field_of(*, moved=5, control=2, static=3, hidden=20, rest=0, seed=0, **options):
    torch.manual_seed(seed)

    def drift(like, control):
        return torch.stack([like * 0 + number + control[..., 0] for number in range(rest)], dim=-1)

    return MlpField(moved, control, static, hidden, gentle=False, drift=drift if rest else None, **options)


def case(*, moved=5, control=2, static=3, rest=0, batch=7, rows=9, seed=1, regular=False, **_):
    """Rows of unlike lengths with padding, peeks and queries inside; or regular ones."""
    draw = torch.Generator().manual_seed(seed)
    dt = torch.rand(batch, rows, generator=draw)
    peek, query = (torch.rand(batch, rows, generator=draw) for _ in range(2))
    dt = torch.where(torch.rand(batch, rows, generator=draw) < 0.2, 0.0, dt)
    if regular:
        dt, peek, query = torch.full_like(dt, 0.5), torch.ones_like(dt), torch.ones_like(dt)
    nothing = torch.zeros(batch, rows, 1)
    given = Rows(
        dt, torch.randn(batch, rows, control, generator=draw), torch.zeros(batch, rows, control), nothing, nothing,
        nothing, query, (peek < 0.2).float(),
    )  # fmt: skip
    state = torch.randn(batch, moved + rest, generator=draw, requires_grad=True)
    start = torch.randn(batch, generator=draw)
    return Case(state, given, start, torch.randn(batch, static, generator=draw))


def solved(field, given, solver, **more):
    return odesolve(field, given.state, given.rows, start=given.start, static=given.static, solver=solver, **more)


def gradients(field, solution, given):
    """Of a sum of everything that a solve gives, by the state and the field's weights."""
    draw = torch.Generator().manual_seed(5)
    shares = [torch.randn(one.shape, generator=draw) for one in (solution.at_query, solution.final)]
    total = (solution.at_query * shares[0]).sum() + (solution.final * shares[1]).sum()
    weights = list(field.parameters()) if isinstance(field, torch.nn.Module) else []
    return torch.autograd.grad(total, [given.state, *weights])
