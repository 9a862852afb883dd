"""What is timed on a device: a training step, a whole short training run, a cohort."""

import time
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.gpu.routes import OURS, ROUTES, made_on
from benchmarks.train_step.problem import SIZES, Problem
from benchmarks.train_step.routes import Solve
from torch import Tensor

PEER, DEFAULT = "torchdiffeq rk4", "torchdiffeq dopri5"
WARM_UPS = 3
Timed = Callable[[], Any]


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds(device: str, act: Timed) -> float:
    """By the clock on the wall, from a device that waits to one that waits: what a user waits for."""
    wait(device)
    begin = time.perf_counter()
    act()
    wait(device)
    return time.perf_counter() - begin


def step(problem: Problem, solve: Solve) -> tuple[list[Tensor], Tensor]:
    """Forecast, loss, gradients."""
    for module in (problem.field, problem.network):
        module.zero_grad(set_to_none=True)
    course, module = solve()
    problem.loss(course).backward()
    return problem.gradients(module), course.detach()


def training_steps(
    device: str, size: str, repeats: int, routes: tuple[str, ...] = tuple(ROUTES)
) -> list[dict[str, Any]]:
    """All routes of one size in turns; the least of the repeats."""
    made, first, rows = {}, {}, []
    for route in routes:
        try:
            made[route] = made_on(device, SIZES[size], route)
            first[route] = step(*made[route])
            for _ in range(WARM_UPS):
                step(*made[route])
        except Exception as error:  # one route that fails leaves the others
            made.pop(route, None)
            told = str(error).strip().splitlines() or [type(error).__name__]
            rows.append({"part": "training step", "size": size, "route": route, "failed": told[0][:200]})
    taken: dict[str, list[float]] = {route: [] for route in made}
    for _ in range(repeats):
        for route, one in made.items():
            taken[route].append(seconds(device, lambda one=one: step(*one)))  # type: ignore[misc]
    for route in made:
        row = {"part": "training step", "size": size, "route": route, "ms": 1e3 * min(taken[route]), "repeats": repeats}
        row |= ratios(taken, route)
        if route in OURS and PEER in made:
            pairs = zip(first[route][0], first[PEER][0], strict=True)
            row["gradient"] = max(float((one - other).norm() / other.norm()) for one, other in pairs)
        rows.append(row)
    return rows


def ratios(taken: dict[str, list[float]], route: str) -> dict[str, float]:
    """How many times as fast as the peers."""
    return {
        key: min(taken[peer]) / min(taken[route])
        for key, peer in (("times_rk4", PEER), ("times_dopri5", DEFAULT))
        if peer in taken
    }


def training_runs(
    device: str, size: str, steps: int, repeats: int, routes: tuple[str, ...] = tuple(ROUTES)
) -> list[dict[str, Any]]:
    """Whole short runs of Adam from the same weights over the same batches, each drawn anew on the device; what
    recording and compiling take is in the first of them, which is told apart."""
    taken: dict[str, list[float]] = {route: [] for route in routes}
    losses: dict[str, float] = {}
    for _ in range(repeats + 1):
        for route in routes:
            kept: list[float] = []
            taken[route].append(
                seconds(device, lambda route=route, kept=kept: kept.append(run(device, size, steps, route)))
            )  # type: ignore[misc]
            losses[route] = kept[0]
    rows = []
    for route in routes:
        row = {"part": f"run of {steps} steps", "size": size, "route": route, "ms": 1e3 * min(taken[route][1:])}
        row |= {"first_ms": 1e3 * taken[route][0], "repeats": repeats, "loss": losses[route]}
        rows.append(row | ratios({name: values[1:] for name, values in taken.items()}, route))
    return rows


def run(device: str, size: str, steps: int, route: str) -> float:
    """Train; the mean loss of the last tenth of the steps."""
    problem, solve = made_on(device, SIZES[size], route)
    with torch.device(device):
        module = solve()[1]
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    draw = torch.Generator(device).manual_seed(1)
    losses = []
    for _ in range(steps):
        for one in (problem.first, problem.control, problem.static):
            one.normal_(generator=draw)
        told = torch.cat([problem.control.transpose(0, 1), problem.static.expand(len(problem.told), -1, -1)], dim=-1)
        problem.told.copy_(told)
        optimizer.zero_grad(set_to_none=True)
        # A course to learn: each state returns to 0 at the pace of its own time.
        target = problem.first.unsqueeze(1) * torch.exp(-problem.times[1:]).view(1, -1, 1)
        loss = (solve()[0] - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses[-max(1, steps // 10) :]).mean())


def cohorts(device: str, patients: dict[str, int], repeats: int) -> list[dict[str, Any]]:
    """Patients per second of the simulators' torch engine, on a device and on this machine's CPU."""
    from benchmarks.cohort.problems import geng, t1d

    from neurotwin.solvers import TorchEngine

    rows = []
    for make in (geng, t1d):
        problem = make()
        problem = problem.draw(patients[problem.name])
        for where in dict.fromkeys(("cpu", device)):
            engine = TorchEngine("float32", where, compiled=True)
            problem.states(method="rk4", engine=engine)  # compiles, and builds the table of events
            taken = [seconds(where, lambda: problem.states(method="rk4", engine=engine)) for _ in range(repeats)]  # noqa: B023
            rows.append(
                {
                    "part": "cohort", "model": problem.name, "device": where, "patients": problem.n,
                    "per_second": problem.n / min(taken), "repeats": repeats,
                    "threads": torch.get_num_threads() if where == "cpu" else None,
                }
            )  # fmt: skip
    return rows
