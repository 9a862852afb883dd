"""How fast recorded data become a cohort, and in how much memory: python benchmarks/ingest/run.py [--scale 0.1]

Each task is generated, read by a process of its own on one core, and noted in the work folder; a run that was stopped
goes on where it was. Results are written to results.json and into README.md when all tasks are done.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[2]))

import formats
import numpy as np
import pyarrow
from benchmarks import page

import neurotwin

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = ("task", "rows", "accepted", "megabytes", "seconds", "processor_seconds", "rows_per_second", "peak_mib")
CHUNK = 100_000
QUICK = (0.01, 0.05)
"""Shares of the rows."""
VARIABLES = [
    {"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]},
    {"name": "creatinine", "unit": "mg/dL", "plausible": [0.1, 30], "transform": "log"},
    {"name": "temperature", "unit": "Cel", "plausible": [25, 45]},
    {"name": "volume", "unit": "mL"},
]
CODES = [("GLU", "mg/dL", 180.156), ("CREA", "umol/L", 113.12), ("TEMP", "Cel", None), ("VOL", "mL", None)]
HEADER = "patient,taken,test,result,unit\n"


def mapping(time: dict[str, Any], index: str) -> dict[str, Any]:
    """A long table of four variables; the fifth code of the rows is not mapped."""
    variables = [
        {"variable": one["name"], "codes": [code]} | ({"molar_mass": mass} if mass else {})
        for one, (code, _, mass) in zip(VARIABLES, CODES, strict=True)
    ]
    table = {"layout": "long", "subject": "patient", "time": {"column": "taken"} | time, "code": "test"}
    table |= {"value": "result", "unit": "unit", "variables": variables}
    plan = {"name": "ward", "time_unit": "d", "index": {"event": "admission", "at": index}, "split_key": "ward"}
    return plan | {"pseudonymise": "none", "shifted": index != "zero", "variables": VARIABLES, "tables": [table]}


def plain(first: int, count: int, random: np.random.Generator) -> list[str]:
    """Rows of patients with 500 measurements each, an hour apart, sorted as exports often are."""
    patient, hour = (first + np.arange(count)) // 500, (first + np.arange(count)) % 500
    which = random.integers(0, 5, count)
    value = random.normal([110, 90, 37, 500, 1], [20, 10, 0.5, 50, 0.1], (count, 5))[np.arange(count), which]
    names = [*((code, unit) for code, unit, _ in CODES), ("OTHER", "1")]
    cells = zip(patient.tolist(), np.round(hour / 24, 5).tolist(), which.tolist(), value.tolist(), strict=True)
    return [f"p{one:07d},{day},{names[k][0]},{number:.2f},{names[k][1]}\n" for one, day, k, number in cells]


def hard(first: int, count: int, random: np.random.Generator) -> list[str]:
    """The same unsorted and in quotes, with dates, values below a limit, words, missing cells and ragged rows."""
    rows = []
    start = np.datetime64("2024-01-01T00:00")
    for row in plain(first, count, random):
        patient, day, *rest = row.rstrip().split(",")
        moment = str(start + round(float(day) * 1440)).replace("T", " ")
        rows.append(",".join(f'"{cell}"' for cell in (patient, moment, *rest)) + "\n")
    for number, text in zip(random.integers(0, count, count // 50), random.integers(0, 5, count // 50), strict=True):
        cells = rows[number].rstrip().split(",")
        cells[3] = ('"<20"', '"neg"', '""', '"9e400"', cells[3])[text]
        rows[number] = ",".join(cells[: 5 - (text == 4 and number < 10)]) + "\n"
    return [rows[at] for at in random.permutation(count)]


class Task(NamedTuple):
    """What is read: the format, how many rows, what makes the source, and the mapping."""

    kind: str
    rows: int
    make: Callable[..., Any]
    mapping: dict[str, Any]


TASKS = {
    "long rows": Task("csv", 10_000_000, plain, mapping({"unit": "d"}, "zero")),
    "unsorted, quoted, dated, 2 % odd cells": Task(
        "csv", 2_000_000, hard, mapping({"format": "%Y-%m-%d %H:%M"}, "first")
    ),
    "OMOP, delimited": Task("omop", 2_000_000, formats.omop, formats.MAPPINGS["omop"]),
    "OMOP, PostgreSQL": Task("omop", 1_000_000, formats.postgresql, formats.MAPPINGS["omop"]),
    "MEDS": Task("meds", 4_000_000, formats.meds, formats.MAPPINGS["meds"]),
    "NONMEM-style": Task("nonmem", 2_000_000, formats.nonmem, formats.MAPPINGS["nonmem"]),
    "FHIR, half of it mapped": Task("fhir", 60_000, formats.fhir, formats.MAPPINGS["fhir"]),
}


@contextmanager
def source_of(name: str, work: Path, scale: float) -> Iterator[str]:
    """A task's source, gone at the end."""
    task, folder = TASKS[name], work / "source"
    rows = int(task.rows * scale)
    if task.make is formats.postgresql:
        with formats.postgresql(rows) as url:
            yield url
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if task.kind == "csv":
        generate(folder / "long.csv", rows, task.make)
        yield str(folder / "long.csv")
    else:
        yield task.make(folder, rows)
    shutil.rmtree(folder)


def generate(path: Path, rows: int, make: Any) -> None:
    """Write a task's file."""
    random = np.random.default_rng(1)
    with path.open("w") as file:
        file.write(HEADER)
        for first in range(0, rows, CHUNK):
            file.writelines(make(first, min(CHUNK, rows - first), random))


CHILD = """
import importlib, json, os, re, resource, sys, time
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
kind = sys.argv[4]
read = getattr(importlib.import_module(f"neurotwin.ingest.{kind}"), f"ingest_{kind}")
begin = time.perf_counter()
report = read(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]), progress=False)
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: a new process inherits the peak of the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({"rows": report.totals.read, "accepted": report.totals.accepted, "balanced": report.balanced,
    "seconds": time.perf_counter() - begin, "processor_seconds": used.ru_utime + used.ru_stime,
    "peak_mib": peak / 1024, "megabytes": sum(one.size for one in report.files) / 1e6, "cohort": report.sha256}))
"""


def measure(name: str, work: Path, scale: float) -> dict[str, Any]:
    """One task, in a process of its own."""
    task, output = TASKS[name], work / "cohort"
    if task.make is formats.postgresql and not formats.BINARIES:
        return {"task": name, "cause": "PostgreSQL is not installed"}
    (work / "mapping.json").write_text(json.dumps(task.mapping))
    shutil.rmtree(output, ignore_errors=True)
    with source_of(name, work, scale) as source:
        command = [sys.executable, "-c", CHILD, source, str(work / "mapping.json"), str(output), task.kind]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    found = json.loads(done.stdout)
    assert found.pop("balanced") and found["rows"] == int(task.rows * scale)
    shutil.rmtree(output)
    return {"task": name, "rows_per_second": found["rows"] / found["processor_seconds"]} | found


QUICK_TASKS = ("long rows", "MEDS", "FHIR, half of it mapped")


def measure_quick(name: str, work: Path) -> dict[str, Any]:
    """A task of few rows: speed is of the rows that a larger one has over a smaller one, for few rows do not outweigh
    the start of a process."""
    small, large = (measure(name, work, scale) for scale in QUICK)
    if "rows" in large:
        rows, seconds = (large[key] - small[key] for key in ("rows", "processor_seconds"))
        large["rows_per_second"] = rows / seconds
    return large


CAUSES = {
    "FHIR, half of it mapped": "each resource is JSON of 500 bytes, read twice, and what is mapped is checked against "
    "R4B by fhir.resources, which takes half of the time",
    "NONMEM-style": "whether a row follows a dose of its instant is told row by row, in Python",
    "OMOP, PostgreSQL": "the driver makes a Python object of each cell; a COPY of the query would not",
}
"""Why a goal is not met, should it not be."""
TEXT, RECORDS = 200_000.0, 10_000.0


def goals(rows: list[dict[str, Any]], scale: float, *, quick: bool = False) -> list[dict[str, Any]]:
    """What was asked, with what was measured: of the whole number of rows unless ``quick``, else nothing."""
    found, told = [], quick or scale == 1.0
    for row in rows:
        name, speed = row["task"], row.get("rows_per_second") if told else None
        goal = RECORDS if name.startswith("FHIR") else TEXT
        missed = speed is None or speed < goal
        cause = row.get("cause", "") or (CAUSES.get(name, "") if missed and speed is not None else "")
        found.append(_goal(f"{name}: rows in a second of one core", goal, ">=", speed, "1/s", cause))
        found.append(_goal(f"{name}: peak memory", 1024.0, "<=", row.get("peak_mib") if told else None, "MiB"))
    return found


def _goal(name: str, goal: float, way: str, measured: float | None, unit: str, cause: str = "") -> dict[str, Any]:
    return {"name": name, "goal": goal, "direction": way, "measured": measured, "unit": unit, "cause": cause}


def write(rows: list[dict[str, Any]], scale: float) -> None:
    """results.json, and the table of README.md."""
    versions = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    versions |= {"pyarrow": pyarrow.__version__, "numpy": np.__version__}
    results = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "versions": versions,
        "command": "python benchmarks/ingest/run.py" + (f" --scale {scale}" if scale != 1.0 else ""),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": rows,
        "goals": goals(rows, scale),
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    cells = [[row.get(name, "") for name in COLUMNS] for row in rows]
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *([_cell(one) for one in row] for row in cells)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told = f"`{results['command']}` on {results['machine']}, {results['date']}; " + ", ".join(
        f"{name} {number}" for name, number in versions.items()
    )
    head, _, rest = (HERE / "README.md").read_text().partition(BEGIN)
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{told}.\n\n{table}\n{END}{rest.partition(END)[2]}")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows, for a quick look")
    page.quick_arguments(parser, "three tasks, two small numbers of rows, and what is between them")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/ingest"), help="folder for what is made")
    given = parser.parse_args()
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows = [measure_quick(name, Path(folder)) for name in QUICK_TASKS]
        page.tell(goals(rows, QUICK[1], quick=True), given.json)
        return
    given.work.mkdir(parents=True, exist_ok=True)
    notes = given.work / f"done-{given.scale}.json"
    done = json.loads(notes.read_text()) if notes.exists() else {}
    for name in TASKS:
        if name not in done:
            done[name] = measure(name, given.work, given.scale)
            notes.write_text(json.dumps(done))
            print(f"{name}: {done[name].get('rows_per_second', 0):,.0f} rows/s", flush=True)
    write([done[name] for name in TASKS], given.scale)
    notes.unlink()


if __name__ == "__main__":
    main()
