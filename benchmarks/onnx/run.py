"""An exported forecast beside the floor, torch and the mechanism, for one patient and for many, in one interleaved run.

python benchmarks/onnx/run.py [--repeats 9] [--quick]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from benchmarks import page
from benchmarks.onnx.floor import WIDTHS
from benchmarks.onnx.goals import goals_of
from benchmarks.onnx.problem import STATE, CourseGraph, Problem
from benchmarks.onnx.routes import NETWORK, Forecast, floor_of, makers, solve_of

from neurotwin.bundle import FORECAST
from neurotwin.export import export_bundle
from neurotwin.export.graphs import write_onnx
from neurotwin.solvers.folded import VARIANTS, Variant, exported_for

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "scipy", "torch", "onnx", "onnxruntime", "onnxscript", "numba", "libroadrunner")
COMMAND = "python benchmarks/onnx/run.py"
MATRIX = 2048
SPAN = 0.1
"""Seconds that a route is called for in each turn."""


def export(problem: Problem, folder: Path, variant: Variant, *, whole: bool = True) -> dict[str, Any]:
    """Export a bundle (not ``whole``: of its files the forecast's graph alone), and that graph alone by the clock."""
    bundle = folder / variant / "bench@0.1.0"
    if whole:
        export_bundle(problem.source(folder), bundle, timelines=100, variant=variant)
        path = folder / "again.onnx"
    else:
        bundle.mkdir(parents=True)
        path = bundle / FORECAST
    tensors = {name: torch.as_tensor(one) for name, one in problem.inputs(3).items()}
    begin, wall = time.process_time(), time.perf_counter()
    with exported_for(variant):
        write_onnx(problem.graph, tensors, problem.graph.output_names, path, {})
        took = {"cpu_s": time.process_time() - begin, "wall_s": time.perf_counter() - wall}
        write_onnx(CourseGraph(problem.model).eval(), tensors, ["mean"], folder / "solve.onnx", {})
    told = {"variant": variant, **took, "bytes": (bundle / FORECAST).stat().st_size}
    return told | {"bundle": bundle, "solve": (folder / "solve.onnx").read_bytes()}


def ready(problem: Problem, bundles: dict[str, Path], solves: dict[str, bytes]) -> dict[tuple[str, int], Forecast]:
    """All routes for which the machine has what it takes, called once."""
    found = {}
    for name, (batches, maker) in makers(problem, bundles, solves).items():
        for batch in batches:
            try:
                found[name, batch] = maker(batch)
                found[name, batch]()
            except (ImportError, OSError, subprocess.CalledProcessError) as error:
                print(f"{name}: left out ({type(error).__name__}: {error})", flush=True)
                found.pop((name, batch), None)
    return found


def measure(routes: dict[tuple[str, int], Forecast], repeats: int) -> tuple[dict[tuple[str, int], list[float]], float]:
    """Seconds of this process's CPU of each call, in turns, and the least that a product of two matrices takes."""
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in routes}
    one, other, product = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX), []
    for turn in range(repeats + 1):
        product.append(_clocked(lambda: one @ other))
        for key, route in routes.items():
            route()  # what the last route left in the cache is not its own
            until = time.perf_counter() + SPAN
            while True:
                took = _clocked(route)
                if turn:  # the first turn warms up
                    seconds[key].append(took)
                if time.perf_counter() > until:
                    break
    return seconds, min(product)


def _clocked(work: Forecast) -> float:
    begin = time.process_time_ns()
    work()
    return (time.process_time_ns() - begin) / 1e9


def rows_of(
    problem: Problem, routes: dict[tuple[str, int], Forecast], seconds: dict[tuple[str, int], list[float]]
) -> list[dict[str, Any]]:
    """One row per route and number of patients."""
    rows = []
    for (name, batch), took in seconds.items():
        least = min(took)
        row = {"route": name, "patients": batch, "us_p50": 1e6 * float(np.median(took)), "us_min": 1e6 * least}
        row |= {"us_p99": 1e6 * float(np.quantile(took, 0.99)), "calls": len(took), "per_s": batch / least}
        solves = not name.startswith("mechanism")
        row["gflops"] = problem.flops * batch / least / 1e9 if solves else None
        answers = solves and name != NETWORK
        row["error"] = error_of(problem, name, batch, routes[name, batch]) if answers else None
        rows.append(row)
    return rows


def error_of(problem: Problem, name: str, batch: int, route: Forecast) -> float:
    """Largest difference to the answer in double precision, relative to the largest of each channel."""
    inputs, found = problem.inputs(batch), np.asarray(route(), np.float64)
    if name in map(floor_of, WIDTHS) or name in map(solve_of, VARIANTS):
        truth, found = problem.course(inputs), found.reshape(batch, problem.rows, STATE)
    else:
        truth = problem.truth(inputs)
    return float((np.abs(found - truth) / np.abs(truth).max((0, 1))).max())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    page.quick_arguments(parser, "few repeats")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem()
    with tempfile.TemporaryDirectory() as folder:
        exports = [
            export(problem, Path(folder), variant, whole=variant == "latency" or not given.quick)
            for variant in VARIANTS
        ]
        bundles, solves = ({one["variant"]: one.pop(key) for one in exports} for key in ("bundle", "solve"))
        routes = ready(problem, bundles, solves)
        seconds, product = measure(routes, 2 if given.quick else given.repeats)
        rows = rows_of(problem, routes, seconds)
    sgemm = 2 * MATRIX**3 / product / 1e9
    goals = goals_of(rows, exports, sgemm)
    content = page.results(COMMAND, PACKAGES, rows, goals) | {"exports": exports, "sgemm_gflops": sgemm}
    if given.quick:
        print("\n\n".join(tables(content)))
        page.tell(goals, given.json)
        return
    page.write(HERE, content, tables(content))


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "route": "route", "patients": "patients", "us_p50": "CPU us, median", "us_min": "least", "us_p99": "99 %",
        "per_s": "patients per s", "gflops": "GFLOP/s", "error": "error",
    }  # fmt: skip
    columns_of_exports = {"variant": "variant", "cpu_s": "CPU s", "wall_s": "s", "bytes": "bytes"}
    return [
        f"Product of two {MATRIX} x {MATRIX} matrices by torch in the same run: {content['sgemm_gflops']:.3g} GFLOP/s.",
        page.table(columns, content["rows"]),
        "Export of the forecast alone:",
        page.table(columns_of_exports, content["exports"]),
    ]


if __name__ == "__main__":
    main()
