"""Patients per second of CPU: neurotwin's engines and other people's solvers on the same patients, side by side.

python benchmarks/cohort/run.py [--device cuda] [--quick] [--output FILE]
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
import peers
import problems
import torch
from benchmarks import page

import neurotwin
from neurotwin.solvers import TorchEngine

HERE = Path(__file__).parent
ERROR = 1e-5
"""Of a state's largest value: what ours must keep, and to which the others' tolerances are set."""
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
PATIENTS = {"geng_nsclc": 20_000, "t1d_uvapadova": 10_000}
N_PEER, N_VMAP, N_TRUTH, REPEATS = 20, 1000, 8, 5
CAUSE = (
    "measured on 5000 patients in single precision: 0.6 of 1.3 s of CPU are in the compiled loops; the rest goes into "
    "439 rows (tables, calls) and into keeping 16 states at 289 times"
)
"""Of a goal that the diabetes model misses."""
NOT_JUDGED = {"t1d_uvapadova": 3}
"""Last states that only remember the meal: set by events, no solution of an equation."""


class Route:
    """One way to solve a problem: how it is called, for how many patients, and what came of it."""

    def __init__(self, problem: problems.Problem, name: str, solve: Any, n: int, setting: str, clock: Any) -> None:
        self.problem, self.name, self.solve, self.n, self.setting, self.clock = problem, name, solve, n, setting, clock
        self.seconds: list[float] = []

    def measure(self) -> None:
        """Once more."""
        begin = self.clock()
        self.solve(self.n)
        self.seconds.append(self.clock() - begin)

    def row(self, truth: np.ndarray) -> dict[str, Any]:
        """For results.json."""
        best = min(self.seconds)
        return {
            "model": self.problem.name,
            "route": self.name,
            "setting": self.setting,
            "patients": self.n,
            "per_second": self.n / best,
            "error": error_of(self.problem, self.solve(len(truth)), truth),
            "repeats": len(self.seconds),
        }


def error_of(problem: problems.Problem, found: np.ndarray, truth: np.ndarray) -> float:
    """Largest difference, each state in units of its largest value."""
    judged = truth.shape[2] - NOT_JUDGED.get(problem.name, 0)
    scale = np.abs(truth).max(axis=(0, 1))[:judged]
    return float((np.abs(found - truth)[..., :judged] / np.where(scale > 0, scale, 1.0)).max())


def own_routes(problem: problems.Problem, device: str) -> list[Route]:
    """neurotwin's, the fast ones on many patients."""
    many, few = problem.n, min(problem.n, 1000)

    def route(name: str, n: int, clock: Any = time.process_time, **how: Any) -> Route:
        kept: dict[int, problems.Problem] = {}

        def solve(count: int) -> np.ndarray:
            part = kept.setdefault(count, problem.first(count))
            return part.states(**how)

        solve(n)  # builds the table and compiles: neither is timed
        return Route(problem, name, solve, n, "1 core" if clock is time.process_time else "wall clock", clock)

    found = [route("numpy rk4", few, method="rk4")]
    if problem.model.has_closed_form:
        found.append(route("numpy closed form", many, method="closed_form"))
    found.append(route("torch rk4, float64", few, method="rk4", engine=TorchEngine()))
    for dtype in ("float64", "float32"):
        engine = TorchEngine(dtype, compiled=True)
        found.append(route(f"torch rk4, compiled, {dtype}", many, method="rk4", engine=engine))
        if device != "cpu":
            engine = TorchEngine(dtype, device, compiled=True)
            clock = time.perf_counter
            found.append(route(f"torch rk4, compiled, {dtype}, {device}", many, clock, method="rk4", engine=engine))
    return found


def peer_routes(problem: problems.Problem, truth: np.ndarray, quick: bool) -> list[Route]:
    """Those that are installed, each at the loosest tolerance that keeps `ERROR`."""
    found = []
    for name, make in peers.PEERS.items():
        n = 4 if quick else (N_VMAP if "vmap" in name else N_PEER)
        try:
            part = problem.first(max(n, len(truth)))
            for tolerance in TOLERANCES:
                solve = make(part, tolerance)
                if error_of(problem, solve(len(truth)), truth) <= ERROR:
                    break
        except ImportError:
            print(f"{problem.name}: {name} is not installed", flush=True)
            continue
        solve(n)
        found.append(Route(problem, name, solve, n, f"rtol {tolerance:g}", time.process_time))
    return found


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    speed = {(row["model"], row["route"]): row["per_second"] for row in rows}

    def best(model: str, word: str) -> float | None:
        return max((value for (name, route), value in speed.items() if name == model and word in route), default=None)

    found = []
    lsoda, cvode = "solve_ivp (LSODA)", "libroadrunner (CVODE)"
    asked = [("geng_nsclc", lsoda, 1000.0), ("t1d_uvapadova", lsoda, 250.0), ("t1d_uvapadova", cvode, 40.0)]
    for model, peer, goal in asked:
        mine, theirs = best(model, "torch rk4, compiled, float"), best(model, peer)
        ratio = mine / theirs if mine and theirs else None
        cause = CAUSE if model == "t1d_uvapadova" and ratio is not None and ratio < goal else ""
        found.append(_goal(f"{model}: patients per CPU second, ours over {peer}", goal, ">=", ratio, "times", cause))
    wrong = max(row["error"] for row in rows if row["route"].startswith(("numpy", "torch")))
    return [*found, _goal("largest error of ours", ERROR, "<=", wrong, "of a state's largest value")]


def _goal(name: str, goal: float, direction: str, measured: float | None, unit: str, cause: str = "") -> dict[str, Any]:
    return {"name": name, "goal": goal, "direction": direction, "measured": measured, "unit": unit, "cause": cause}


def versions() -> dict[str, str]:
    """Of all that takes part and is installed."""
    found = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "torch", "libroadrunner", "antimony", "jax", "diffrax"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """In words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name}, {platform.machine()}, {platform.system()}, {os.cpu_count()} cores, of which 1 is used"


def measure(device: str, quick: bool) -> dict[str, Any]:
    """All routes of both problems, interleaved; quick: of the tumours alone, which solve fast."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for make in (problems.geng,) if quick else (problems.geng, problems.t1d):
        problem = make()
        problem = problem.draw(PATIENTS[problem.name])
        truth = problem.first(N_TRUTH).states(method="dop853", rtol=1e-10, atol=1e-12)
        routes = [*own_routes(problem, device), *peer_routes(problem, truth, quick)]
        for _ in range(2 if quick else REPEATS):
            for route in routes:
                route.measure()
        rows += [route.row(truth) for route in routes]
        for row in rows[-len(routes) :]:
            print(
                {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in row.items()}, flush=True
            )
    return {
        "machine": machine() + (f"; {torch.cuda.get_device_name()}" if device != "cpu" else ""),
        "versions": versions(),
        "command": "python benchmarks/cohort/run.py" + (f" --device {device}" if device != "cpu" else ""),
        "date": date.today().isoformat(),
        "rows": rows,
        "goals": goals_of(rows),
    }


def main() -> None:
    """Measure and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="adds rows on this device, such as cuda")
    page.quick_arguments(parser, "tumours alone, few patients by the peers, twice")
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    content = measure(given.device, given.quick)
    if given.quick:
        page.tell(content["goals"], given.json)
        return
    given.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
