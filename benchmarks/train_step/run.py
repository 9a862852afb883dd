"""A training step of a neural ODE: ours beside other people's solvers, in one interleaved run.

python benchmarks/train_step/run.py [--sizes S M L] [--repeats 9] [--quick]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmarks import page
from benchmarks.train_step.problem import SIZES, Problem, Size
from benchmarks.train_step.routes import ROUTES, SAME_WORK, SLOW, Solve

HERE = Path(__file__).resolve().parent
PEER, DEFAULT = "torchdiffeq rk4", "torchdiffeq dopri5"
PACKAGES = ("numpy", "torch", "torchdiffeq", "torchode")
COMMAND = "python benchmarks/train_step/run.py"
ASKED = {
    ("neurotwin torch", PEER): {"S": 1.5, "M": 1.15},
    ("neurotwin torch", DEFAULT): {"S": 6.0, "M": 4.5},
    ("neurotwin fused", PEER): {"S": 3.0, "M": 1.8, "L": 1.25},
}
BOUND = "both are bound by the same products and activations of torch; only small operations are fewer"
UNITS = (
    "two thirds of the time (by perf) are products at about the rate of torch's own, on a processor whose 512-bit "
    "units are 256 wide; memory and small operations are all there is to gain"
)
CAUSES = {"neurotwin torch": BOUND, "neurotwin fused": UNITS}
"""Why a route's goal was missed."""


def step_of(problem: Problem, solve: Solve) -> tuple[float, list[torch.Tensor], torch.Tensor]:
    """One training step: seconds of this process's CPU, gradients and course."""
    for module in (problem.field, problem.network):
        module.zero_grad(set_to_none=True)
    begin = time.process_time()
    course, module = solve()
    problem.loss(course).backward()
    return time.process_time() - begin, problem.gradients(module), course.detach()


def measure(name: str, repeats: int) -> list[dict[str, Any]]:
    """All routes of one size, in turns; the least of the repeats."""
    problem, solves = Problem(SIZES[name]), {}
    for route, make in ROUTES.items():
        if route in SLOW.get(name, ()):
            continue
        try:
            solves[route] = make(problem)
        except ImportError as error:
            print(f"{route}: {error.name} is not installed", flush=True)
    first = {route: step_of(problem, solve) for route, solve in solves.items()}  # warms up, and is compared
    seconds: dict[str, list[float]] = {route: [] for route in solves}
    for _ in range(repeats):
        for route, solve in solves.items():
            seconds[route].append(step_of(problem, solve)[0])
        print(f"{name}: " + ", ".join(f"{one} {1e3 * min(s):.1f} ms" for one, s in seconds.items()), flush=True)
    _, gradients, course = first[PEER]
    truth = problem.truth()
    rows = []
    for route in solves:
        row = {"size": name, "route": route, "cpu_ms": 1e3 * min(seconds[route]), "repeats": repeats}
        row["times_rk4"] = min(seconds[PEER]) / min(seconds[route])
        row["times_dopri5"] = min(seconds[DEFAULT]) / min(seconds[route]) if DEFAULT in seconds else None
        if route in SAME_WORK:
            row["gradient"] = max(
                float((one - other).norm() / other.norm())
                for one, other in zip(first[route][1], gradients, strict=True)
            )
        row["error"] = float((first[route][2] - truth).abs().max() / truth.abs().max())
        rows.append(row | {"peak_mib": peak_of(route, name)})
    return rows


def peak_of(route: str, size: str, times: int = 1) -> float | None:
    """Peak memory that one step adds, in MiB, in a process of its own; None where it was killed."""
    command = [sys.executable, __file__, "--peak", route, size, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def tell_peak(route: str, name: str, times: int) -> None:
    """What `peak_of` asks for: the size's rows ``times`` as many."""
    size = SIZES[name]
    problem = Problem(Size(size.batch, (size.times - 1) * times + 1, size.state, size.hidden))
    small = Problem(SIZES["tiny"])
    step_of(small, ROUTES[route](small))  # what is loaded once is no one's
    solve = ROUTES[route](problem)
    before = high_water()
    step_of(problem, solve)
    print((high_water() - before) / 1024)


def high_water() -> int:
    """KiB that this process ever held (that of ``getrusage`` would begin with the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def memory_per_row(size: str) -> list[dict[str, Any]]:
    """Ten times the rows: what a row costs then."""
    found = []
    intervals = SIZES[size].times - 1
    for route in SAME_WORK:
        for times in (1, 10):
            peak = peak_of(route, size, times)
            each = None if peak is None else 1024 * peak / (intervals * times)
            found.append({"size": size, "route": route, "rows": intervals * times, "peak_mib": peak, "kib_row": each})
    return found


def goals_of(rows: list[dict[str, Any]], memory: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    told = {(row["size"], row["route"]): row for row in rows}
    goals = []
    for (route, peer), sizes in ASKED.items():
        for size, asked in sizes.items():
            row = told.get((size, route), {})
            measured = row.get("times_rk4" if peer == PEER else "times_dopri5")
            cause = CAUSES[route] if measured is not None else "not run: takes minutes and gigabytes"
            goals.append(page.goal(f"{route} over {peer}, {size}", asked, page.LARGER, measured, "times", cause))
    wrong = [row["gradient"] for row in rows if "gradient" in row]
    goals.append(
        page.goal("largest difference of gradients to torchdiffeq rk4", 1e-5, page.SMALLER, max(wrong, default=None))
    )
    each = {row["rows"]: row["kib_row"] for row in memory if row["route"] == "neurotwin torch, recompute"}
    few, many = (each.get(rows) for rows in sorted(each)) if len(each) == 2 else (None, None)
    ratio = many / few if few and many else None
    goals.append(
        page.goal(
            "recompute: memory per row at ten times the rows over that at one",
            1.1,
            page.SMALLER,
            ratio,
            "times",
            "not explained",
        )
    )
    return goals


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["S", "M", "L"], choices=sorted(SIZES))
    parser.add_argument("--repeats", type=int, default=9)
    page.quick_arguments(parser, "size S alone, few repeats")
    parser.add_argument("--peak", nargs=3, metavar=("ROUTE", "SIZE", "TIMES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.peak:
        route, size, times = given.peak
        tell_peak(route, size, int(times))
        return
    sizes = ["S"] if given.quick else given.sizes
    rows = [row for size in sizes for row in measure(size, 3 if given.quick else given.repeats)]
    memory = memory_per_row("S")
    goals = goals_of(rows, memory)
    content = page.results(COMMAND, PACKAGES, rows, goals) | {"memory": memory}
    if given.quick:
        page.tell(goals, given.json)
        return
    page.write(HERE, content, tables(content))


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "size": "size", "route": "route", "cpu_ms": "CPU ms", "times_rk4": "times torchdiffeq rk4",
        "times_dopri5": "times torchdiffeq dopri5", "gradient": "gradients differ by", "error": "forecast differs by",
        "peak_mib": "peak MiB",
    }  # fmt: skip
    memory = {"size": "size", "route": "route", "rows": "rows", "peak_mib": "peak MiB", "kib_row": "KiB per row"}
    return [
        page.table(columns, content["rows"]),
        "Memory, at ten times the rows:",
        page.table(memory, content["memory"]),
    ]


if __name__ == "__main__":
    main()
