"""Patients a second that one worker scores, beside the graphs alone on the same arrays; and its memory.

python benchmarks/score/run.py [--repeats 8] [--patients 2048] [--quick]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import page
from benchmarks.score.measuring import STEPS, measure, memory_of
from benchmarks.score.scale import plan_facts, plan_rows

from neurotwin.score import make_job, score_cohort

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUNDLE = ROOT / "checkpoints" / "lung_tumour@0.1.0"
COMMAND = "python benchmarks/score/run.py"
PACKAGES = ("numpy", "onnxruntime", "pyarrow")
QUESTIONS = {
    "nothing given, 5 and 15 days": {},
    "as recorded, 5 and 15 days": {"plan": "recorded"},
    "nothing given, each 5 of 59 days": {"after": ",".join(str(day) for day in range(5, 60, 5))},
}
"""What is asked; the first is what the verb asks by itself."""
ASKED = 0.9
PART = 512


def cause_of(row: dict[str, Any]) -> str:
    """Why less of a core's time goes to the graphs than was asked, from the time of the steps."""
    rest = {name: row[f"{name}_us"] for name in (*STEPS, "other") if name != "graphs"}
    most = sorted(rest, key=lambda name: -rest[name])[:2]
    told = " and ".join(f"{name} ({rest[name]:.0f} us)" for name in most)
    spent = f"of {sum(rest.values()):.0f} us a patient outside the graphs most are {told}"
    return f"{spent}: each record is cut into rows of its own"


def simulate(patients: int, folder: Path) -> Path:
    """Virtual patients of the bundle's simulator, whom it has not seen; one shard."""
    from neurotwin.verbs.simulate import simulate_cohort

    asked = ("simulator=geng_nsclc", f"n_subjects={patients}", "seed=77", f"output={folder}", f"shard_size={patients}")
    return Path(simulate_cohort(asked).folder)


def rows_of(cohort: Path, repeats: int) -> list[dict[str, Any]]:
    """One for each question."""
    rows = []
    for question, asked in QUESTIONS.items():
        job = make_job(BUNDLE, cohort, part_size=PART, **asked)
        rows.append({"question": question, **measure(job, repeats), "memory_mib": memory_of(job)})
        print(f"{question}: {rows[-1]['share']:.2f}", flush=True)
    return rows


def walls_of(cohort: Path) -> list[dict[str, Any]]:
    """Patients a second of the local engine by the clock, workers' start included."""
    rows = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            job = make_job(BUNDLE, cohort, part_size=PART)
            summary = score_cohort(job, Path(folder) / "out", workers=workers)
            seconds = time.monotonic() - begun
            rows.append({"workers": workers, "wall_s": seconds, "wall_per_second": summary.fresh / seconds})
    return rows


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As much of a core's time for the graphs as was asked."""
    return [
        page.goal(f"patients a second per core over the bare loop: {row['question']}", ASKED, page.LARGER, row["share"],
                  "", cause_of(row))
        for row in rows
    ]  # fmt: skip


def tables(content: dict[str, Any]) -> list[str]:
    """What was measured, and where the time goes."""
    main = {
        "question": "question",
        "patients": "patients",
        "bare_us": "graphs alone, us",
        "scored_us": "scored, us",
        "share": "share",
        "per_second": "patients a second per core",
        "memory_mib": "memory of a worker, MiB",
        "bytes_out": "bytes written each",
    }
    steps = {"question": "question", **{f"{name}_us": name for name in (*STEPS, "other")}}
    walls = {"workers": "workers", "wall_s": "seconds", "wall_per_second": "patients a second"}
    return [
        page.table(main, content["rows"]),
        "Where a worker's time goes, microseconds of CPU for each patient (timing them costs a little itself):",
        page.table(steps, content["rows"]),
        "The local engine by the clock, workers' start included, in parts of 512 (much other work ran beside it):",
        page.table(walls, content["walls"]),
    ]


def scale_parts(content: dict[str, Any]) -> list[str]:
    """For docs/scale.md."""
    row = content["rows"][0]
    columns = {
        "cores": "cores",
        "hours": "hours",
        "memory_gb": "memory, GB",
        "read_mb_s": "read, MB/s",
        "write_mb_s": "written, MB/s",
        "losses": "workers lost",
        "again_hours": "core hours done again",
    }
    return [page.head(content), plan_facts(row), page.table(columns, plan_rows(row))]


def write(content: dict[str, Any]) -> None:
    """results.json, README.md and the plan in docs."""
    page.write(HERE, content, tables(content))
    page.put(ROOT / "docs" / "scale.md", scale_parts(content))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--patients", type=int, default=2048)
    parser.add_argument("--page", action="store_true", help="only write the pages again, from results.json")
    page.quick_arguments(parser, "few patients, two repeats")
    given = parser.parse_args()
    if given.page:
        content = json.loads((HERE / "results.json").read_text())
        write(content | {"goals": goals_of(content["rows"])})
        return
    with tempfile.TemporaryDirectory() as place:
        cohort = simulate(600 if given.quick else given.patients, Path(place) / "cohort")
        rows = rows_of(cohort, 2 if given.quick else given.repeats)
        walls = [] if given.quick else walls_of(cohort)
    if given.quick:
        page.tell(goals_of(rows), given.json)
        return
    write(page.results(COMMAND, PACKAGES, rows, goals_of(rows)) | {"walls": walls})


if __name__ == "__main__":
    main()
