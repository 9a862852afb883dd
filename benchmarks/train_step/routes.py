"""Ways to solve the problem: ours by backend, and other people's solvers where they are installed."""

from collections.abc import Callable

import torch
from benchmarks.train_step.problem import SPAN, Problem
from torch import Tensor, nn

from neurotwin.solvers import Rk4, odesolve

Solve = Callable[[], tuple[Tensor, nn.Module]]
"""Solves, and gives the course ``[batch, time - 1, state]`` with the module whose weights it depends on."""


def ours(backend: str, adjoint: str = "store") -> Callable[[Problem], Solve]:
    """`neurotwin.solvers.odesolve` with the tableau of torchdiffeq's rk4."""

    def make(problem: Problem) -> Solve:
        rows, solver = problem.rows(), Rk4(SPAN, backend=backend, adjoint=adjoint)
        start = torch.zeros(len(problem.first))

        def solve() -> tuple[Tensor, nn.Module]:
            done = odesolve(problem.field, problem.first, rows, start=start, static=problem.static, solver=solver)
            return done.at_query, problem.field

        return solve

    return make


class ByCount(nn.Module):
    """The field for a fixed number of calls per interval: which interval it is follows from counting."""

    def __init__(self, problem: Problem, calls: int) -> None:
        super().__init__()
        self.network, self.told, self.calls, self.count = problem.network, problem.told, calls, 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        told = self.told[self.count // self.calls]
        self.count += 1
        return torch.as_tensor(self.network(torch.cat([y, told], dim=-1)))


class ByTime(nn.Module):
    """The field for a solver that chooses its steps."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.network, self.told = problem.network, problem.told

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        told = self.told[min(int(float(t.detach()) / SPAN + 1e-6), len(self.told) - 1)]
        return torch.as_tensor(self.network(torch.cat([y, told], dim=-1)))


def torchdiffeq_rk4(problem: Problem) -> Solve:
    """Chen, torchdiffeq: Kutta's 3/8 rule, a step per interval."""
    from torchdiffeq import odeint

    def solve() -> tuple[Tensor, nn.Module]:
        course = odeint(ByCount(problem, 4), problem.first, problem.times, method="rk4")
        return course[1:].transpose(0, 1), problem.network

    return solve


def torchdiffeq_dopri5(problem: Problem) -> Solve:
    """Chen, torchdiffeq: what is used by default, to 1e-5."""
    from torchdiffeq import odeint

    def solve() -> tuple[Tensor, nn.Module]:
        course = odeint(ByTime(problem), problem.first, problem.times, method="dopri5", rtol=1e-5, atol=1e-5)
        return course[1:].transpose(0, 1), problem.network

    return solve


def torchode_dopri5(problem: Problem) -> Solve:
    """Lienen, Guennemann, torchode: each subject has its own steps, to 1e-5."""
    import torchode

    batch = len(problem.first)
    subject = torch.arange(batch)

    def field(t: Tensor, y: Tensor) -> Tensor:
        interval = (t.detach() / SPAN + 1e-6).long().clamp(max=len(problem.told) - 1)
        return torch.as_tensor(problem.network(torch.cat([y, problem.told[interval, subject]], dim=-1)))

    term = torchode.ODETerm(field)
    adjoint = torchode.AutoDiffAdjoint(
        torchode.Dopri5(term=term), torchode.IntegralController(atol=1e-5, rtol=1e-5, term=term)
    )
    times = problem.times.expand(batch, -1)

    def solve() -> tuple[Tensor, nn.Module]:
        found = adjoint.solve(torchode.InitialValueProblem(y0=problem.first, t_eval=times))
        return found.ys[:, 1:], problem.network

    return solve


ROUTES: dict[str, Callable[[Problem], Solve]] = {
    "torchdiffeq rk4": torchdiffeq_rk4,
    "torchdiffeq dopri5": torchdiffeq_dopri5,
    "torchode dopri5": torchode_dopri5,
    "neurotwin torch": ours("torch"),
    "neurotwin torch, recompute": ours("torch", "recompute"),
    "neurotwin fused": ours("fused"),
}
SAME_WORK = ("neurotwin torch", "neurotwin torch, recompute", "neurotwin fused")
"""Those that take the steps of torchdiffeq's rk4, and so must have its gradients."""
SLOW = {"L": ("torchdiffeq dopri5", "torchode dopri5")}
"""Left out: a step takes most of a minute or more memory than there is (see the README)."""
