"""Training steps, a whole training run and a cohort on a GPU, beside torchdiffeq on the same device.

python benchmarks/gpu/run.py [--sizes S M L] [--repeats 15] [--quick] [--require-gpu]

Without a CUDA device nothing is measured: the goals are written as not measured, with the cause.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmarks import page
from benchmarks.gpu import measures
from benchmarks.gpu.measures import DEFAULT, PEER
from benchmarks.gpu.routes import ROUTES
from benchmarks.train_step.problem import SIZES

HERE = Path(__file__).resolve().parent
COMMAND = "python benchmarks/gpu/run.py"
PACKAGES = ("numpy", "torch", "triton", "torchdiffeq")
ASKED = (
    ("neurotwin cuda_graph", PEER, "times_rk4", 3.0),
    ("neurotwin triton", PEER, "times_rk4", 10.0),
    ("neurotwin triton", DEFAULT, "times_dopri5", 50.0),
)
NO_DEVICE = "no CUDA device on this machine; the code has never been run on one"
PATIENTS = {"geng_nsclc": 20_000, "t1d_uvapadova": 10_000}
FEW = {"geng_nsclc": 40, "t1d_uvapadova": 20}


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked of a card of the H200's class, and what was measured."""
    told = {(row["size"], row["route"]): row for row in rows if row["part"] == "training step"}
    cause = "not explained (a row that failed says why)" if rows else NO_DEVICE
    goals = [
        page.goal(
            f"{route} over {peer}, training step, M",
            asked,
            page.LARGER,
            told.get(("M", route), {}).get(key),
            "times",
            cause,
        )
        for route, peer, key, asked in ASKED
    ]
    wrong = [row["gradient"] for row in rows if "gradient" in row]
    name = "largest difference of gradients to torchdiffeq rk4"
    return [*goals, page.goal(name, 1e-5, page.SMALLER, max(wrong, default=None), "", cause)]


def card() -> str:
    """Name, driver and CUDA of the device."""
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    return f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"


def measured(sizes: list[str], repeats: int, *, quick: bool) -> list[dict[str, Any]]:
    """Every row. A route that fails at a training step is told, and takes no part in the training run."""
    device, rows = "cuda", []
    for size in sizes:
        rows += measures.training_steps(device, size, repeats)
        for row in rows:
            print(json.dumps(row), flush=True)
    failed = {row["route"] for row in rows if "failed" in row}
    routes = tuple(route for route in ROUTES if route not in failed)
    rows += measures.training_runs(device, sizes[-1] if quick else "M", 5 if quick else 100, 1 if quick else 3, routes)
    rows += measures.cohorts(device, FEW if quick else PATIENTS, 1 if quick else 5)
    return rows


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """For the README."""
    if not rows:
        return ["Nothing was measured: there was no CUDA device."]
    columns = {
        "part": "what", "size": "size", "route": "route", "ms": "ms", "first_ms": "first ms",
        "times_rk4": "times torchdiffeq rk4", "times_dopri5": "times torchdiffeq dopri5",
        "gradient": "gradients differ by", "loss": "last loss", "failed": "failed",
    }  # fmt: skip
    cohort = {
        "model": "model",
        "device": "device",
        "threads": "threads",
        "patients": "patients",
        "per_second": "per second",
    }
    drawn = [row for row in rows if row["part"] == "cohort"]
    return [page.table(columns, [row for row in rows if row["part"] != "cohort"]), page.table(cohort, drawn)]


def main() -> int:
    """Measure and write; 2 where a GPU was required and there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["S", "M", "L"], choices=sorted(SIZES))
    parser.add_argument("--repeats", type=int, default=15)
    page.quick_arguments(parser, "size S alone, few repeats")
    parser.add_argument("--require-gpu", action="store_true", help="fail where there is none")
    parser.add_argument("--folder", type=Path, default=HERE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    there = torch.cuda.is_available()
    if not there:
        print(f"not measured: {NO_DEVICE}", file=sys.stderr)
        if given.require_gpu:
            return 2
    sizes, repeats = (["S"], 3) if given.quick else (given.sizes, given.repeats)
    rows = measured(sizes, repeats, quick=given.quick) if there else []
    goals = goals_of(rows)
    if given.quick:
        page.tell(goals, given.json)
        return 0
    content = page.results(COMMAND, PACKAGES, rows, goals)
    if there:
        content["machine"] += f"; {card()}"
    page.write(given.folder, content, tables(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
