"""Forecasts of real patients: five folds, nested selection, baselines beside the model.

python benchmarks/real/run.py --task pbc [--resume] [--grid plain long] [--seeds 0 1]
python benchmarks/real/run.py --cohort runs/cohorts/pbc_liver --variable albumin --cut 400 [--key KEY] [--scale log]

The first form writes rows to results.json and the tables of README.md, the second, the same recipe on a cohort of your
own, to the folder of the run. What is trained stands in runs/benchmarks/real; --resume goes on from there.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from real_patients.baselines import BASELINES, baseline, fitted
from real_patients.folds import ask, split
from real_patients.judge import judge
from real_patients.members import at_hand, member, processor_seconds
from real_patients.mice import run_mice
from real_patients.recipe import GRID
from real_patients.results import merge, write_page
from real_patients.tasks import TASKS, Task

from neurotwin.cohort import N_FOLDS

WORK = Path("runs/benchmarks/real")


def run(task: Task, grid: list[str], seeds: list[int], root: Path, *, train: bool) -> dict[str, Any]:
    """Rows of one task; what stands in ``root`` is not made again, and without ``train`` no other model is used."""
    begun = time.monotonic()
    cohort = split(task)
    questions = [ask(task, cohort, fold) for fold in range(N_FOLDS)]
    at_all = [name for name in BASELINES if train or fitted(name, root)]
    baselines = {name: baseline(task, cohort, questions, name, root) for name in at_all}
    members = {}
    for seed in seeds:
        for name in grid:
            if not train and not at_hand(name, seed, root):
                continue
            members[name, seed] = member(task, cohort, questions, name, seed, root)
            print(f"{task.name}: {name}, seed {seed}, {time.monotonic() - begun:,.0f} s", flush=True)
    rows = judge(task, questions, baselines, members)
    return {
        "task": task.name,
        "rows": rows,
        "grid": list(dict.fromkeys(name for name, _ in members)),
        "seeds": seeds,
        "wall_seconds": time.monotonic() - begun,
        "training_processor_seconds": processor_seconds(root),
    }


def _task(given: argparse.Namespace) -> Task:
    if given.task:
        return TASKS[given.task]
    key = given.key
    name = f"{given.cohort.name}-{given.variable}"
    return Task(name, given.cohort, given.variable, given.cut, given.scale, key=key)


def main() -> None:
    """Run one task and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", choices=list(TASKS))
    what.add_argument("--cohort", type=Path, help="folder of a cohort, made by neurotwin ingest")
    parser.add_argument("--variable", help="with --cohort: what is asked for")
    parser.add_argument("--cut", type=float, help="with --cohort: time up to which visits are known")
    parser.add_argument("--key", help="with --cohort: key of the split; else the cohort's own folds")
    parser.add_argument("--scale", choices=["natural", "log"], default="natural", help="of the errors")
    parser.add_argument("--grid", nargs="+", choices=list(GRID), default=list(GRID))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run has trained")
    parser.add_argument("--score-only", action="store_true", help="train nothing: judge what an earlier run has left")
    given = parser.parse_args()
    if given.cohort and (given.variable is None or given.cut is None):
        parser.error("--cohort needs --variable and --cut")
    torch.set_num_threads(1)
    task = _task(given)
    root = WORK / task.name
    if root.exists() and not (given.resume or given.score_only):
        shutil.rmtree(root)
    if given.task == "lxf":
        found = run_mice(task, root, train=not given.score_only)
    else:
        found = run(task, given.grid, given.seeds, root, train=not given.score_only)
    root.mkdir(parents=True, exist_ok=True)
    (root / "rows.json").write_text(json.dumps(found, indent=1) + "\n")
    if given.task:
        merge(found)
        write_page()
    for row in found["rows"]:
        print(f"{task.name:8} {row['model']:26} MAE {row['mae']:.4f}  RMSE {row['rmse']:.4f}")


if __name__ == "__main__":
    main()
