"""Ways to solve the training step's problem on a device: those of benchmarks/train_step, told where they are."""

from collections.abc import Callable

import torch
from benchmarks.train_step import routes as step_routes
from benchmarks.train_step.problem import SPAN, Problem, Size
from torch import Tensor, nn

Make = Callable[[Problem], step_routes.Solve]


class ByTime(nn.Module):
    """The field for a solver that chooses its steps; the interval is picked on the device, which waits for no host."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.network, self.told = problem.network, problem.told

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        interval = (t.detach() / SPAN + 1e-6).long().clamp(0, len(self.told) - 1)
        told = self.told.index_select(0, interval.reshape(1)).squeeze(0)
        return torch.as_tensor(self.network(torch.cat([y, told], dim=-1)))


def torchdiffeq_dopri5(problem: Problem) -> step_routes.Solve:
    """Chen, torchdiffeq: what is used by default, to 1e-5."""
    from torchdiffeq import odeint

    field = ByTime(problem)

    def solve() -> tuple[Tensor, nn.Module]:
        course = odeint(field, problem.first, problem.times, method="dopri5", rtol=1e-5, atol=1e-5)
        return course[1:].transpose(0, 1), problem.network

    return solve


ROUTES: dict[str, Make] = {
    "torchdiffeq rk4": step_routes.torchdiffeq_rk4,
    "torchdiffeq dopri5": torchdiffeq_dopri5,
    "neurotwin torch": step_routes.ours("torch"),
    "neurotwin cuda_graph": step_routes.ours("cuda_graph"),
    "neurotwin triton": step_routes.ours("triton"),
}
OURS = tuple(name for name in ROUTES if name.startswith("neurotwin"))
"""Those that take the steps of torchdiffeq's rk4, and so must have its gradients."""


def made_on(device: str, size: Size, route: str, seed: int = 0) -> tuple[Problem, step_routes.Solve]:
    """A problem whose every tensor is on a device, and a route's way to solve it."""
    with torch.device(device):
        torch.manual_seed(seed)
        problem = Problem(size, seed)
        return problem, ROUTES[route](problem)
