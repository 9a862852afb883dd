"""Where the time of `neurotwin train experiment=lung_tumour` goes, and what padding costs.

python benchmarks/pipeline/run.py [--accuracy | --quick]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmarks import page
from benchmarks.pipeline.accuracy import accuracy_rows
from benchmarks.pipeline.epochs import BareLoop, recipe_for, timed_fit
from benchmarks.pipeline.padding import padding_rows
from benchmarks.pipeline.starts import start_rows

HERE = Path(__file__).resolve().parent
WORK = Path("runs/benchmarks/pipeline")
COMMAND = "python benchmarks/pipeline/run.py"
PACKAGES = ("numpy", "torch", "lightning", "hydra-core")
WINDOWS = (1, 64)
LARGE = 10_000
SEEDS = (0, 1)
SMALL = "batches of 64 among 574 training subjects: the lengths of their records differ too much"


def cohort_of(n_subjects: int, work: Path) -> Path:
    """Folder of the experiment's cohort, simulated unless it is there."""
    folder = work / f"lung_tumour-{n_subjects}"
    if not (folder / "cohort.json").exists():
        command = ["simulate", f"n_subjects={n_subjects}", "seed=1", f"output={folder}"]
        subprocess.run([sys.executable, "-m", "neurotwin", *command], check=True, capture_output=True)
    return folder


def epoch_rows(cohort: Path, epochs: int, repeats: int) -> list[dict[str, Any]]:
    """CPU seconds of an epoch by Lightning and by a bare loop, in turns; the least of the repeats."""
    rows = []
    for window in WINDOWS:
        seconds: dict[str, list[float]] = {"neurotwin train": [], "bare loop": []}
        parts: dict[str, float] = {}
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                total, told = timed_fit(recipe_for(cohort, Path(folder) / "run", epochs, window))
                if not seconds["neurotwin train"] or total < min(seconds["neurotwin train"]):
                    parts = told
                seconds["neurotwin train"].append(total)
                seconds["bare loop"].append(BareLoop(recipe_for(cohort, Path(folder) / "bare", epochs, window)).epoch())
        for name, found in seconds.items():
            share = {} if name == "bare loop" else {key: value / min(found) for key, value in parts.items()}
            ratio = min(found) / min(seconds["bare loop"])
            rows.append({"window": window, "loop": name, "epoch_s": min(found), "times_bare": ratio} | share)
        print(rows[-2:], flush=True)
    return rows


def goals_of(
    epochs: list[dict[str, Any]],
    padding: list[dict[str, Any]],
    starts: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    ours = [row for row in epochs if row["loop"] == "neurotwin train"]
    around = max((row["data"] + row["logging"] + row["checkpoints"] for row in ours), default=None)
    ratio = max((row["times_bare"] for row in ours), default=None)
    wasted = {(row["subjects"], row["window"]): row["wasted"] for row in padding}
    told = {row["what"]: row["ratio"] for row in starts}
    return [
        page.goal("data, logging and checkpoints: share of an epoch", 0.10, page.SMALLER, around, "", "see the parts"),
        page.goal("epoch over that of a bare loop", 1.1, page.SMALLER, ratio, "times", "see the parts"),
        *(
            page.goal(f"padding with a window, {n} subjects", 0.15, page.SMALLER, wasted[n, WINDOWS[1]], "", SMALL)
            for n in sorted({subjects for subjects, _ in wasted})
        ),
        page.goal("neurotwin --help over a bare lazy hydra --help", 3.0, page.SMALLER, told.get("neurotwin --help")),
        page.goal("import neurotwin less import numpy", 0.05, page.SMALLER, told.get("import neurotwin"), "s"),
    ]


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    epochs = {
        "window": "window", "loop": "loop", "epoch_s": "CPU s per epoch", "times_bare": "times the bare loop",
        "data": "data", "logging": "logging", "checkpoints": "checkpoints",
    }  # fmt: skip
    padding = {
        "subjects": "subjects", "window": "window", "rows": "rows per batch", "wasted": "padding", "ms": "ms per batch",
    }  # fmt: skip
    accuracy = {
        "seed": "seed", "window": "window", "loss": "best validation loss", "epochs": "epochs", "seconds": "s",
    }  # fmt: skip
    starts = {"what": "what", "seconds": "CPU s", "beside": "beside", "peer_seconds": "its CPU s", "ratio": "ratio"}
    return [
        "An epoch (shares of it in the last columns):",
        page.table(epochs, content["rows"]),
        "Padding, and the time to make a batch:",
        page.table(padding, content["padding"]),
        "Whole trainings on a like number of epochs; wall seconds, beside other work:",
        page.table(accuracy, content["accuracy"]),
        "Starts (`import neurotwin`: the difference, in seconds):",
        page.table(starts, content["starts"]),
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4, help="of each fit; the first is not counted")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--accuracy", action="store_true", help="only train with and without a window, and add the rows"
    )
    page.quick_arguments(parser, "few subjects, once")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.accuracy:
        content = json.loads((HERE / "results.json").read_text())
        content["accuracy"] = accuracy_rows(cohort_of(given.subjects, WORK), WINDOWS, SEEDS)
        page.write(HERE, content, tables(content))
        return
    begun, work = time.monotonic(), WORK
    subjects, repeats = (200, 1) if given.quick else (given.subjects, given.repeats)
    cohort = cohort_of(subjects, work)
    epochs = epoch_rows(cohort, 2 if given.quick else given.epochs, repeats)
    sizes = [subjects] if given.quick else [subjects, LARGE]
    padding = [row for n in sizes for row in padding_rows(cohort_of(n, work), n, WINDOWS)]
    starts = start_rows(3 if given.quick else 9)
    goals = goals_of(epochs, padding, starts)
    if given.quick:
        page.tell(goals, given.json)
        return
    content = page.results(COMMAND, PACKAGES, epochs, goals) | {"padding": padding, "starts": starts}
    before = HERE / "results.json"
    content["accuracy"] = json.loads(before.read_text()).get("accuracy", []) if before.exists() else []
    content["wall_s"] = round(time.monotonic() - begun)
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
