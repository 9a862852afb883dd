"""The service under load, beside a bare FastAPI echo: python benchmarks/serve/run.py [--growth | --quick]

64 connections ask without pause, each for patients whose answers are known, beside 300 that never end their request.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import page
from benchmarks.serve import servers
from benchmarks.serve.client import run_load
from benchmarks.serve.questions import echoes, fake_questions, questions

from neurotwin.fake import fake_bundle
from neurotwin.service.audit import verify_audit

HERE = Path(__file__).resolve().parent
COMMAND = "python benchmarks/serve/run.py"
PACKAGES = ("numpy", "onnxruntime", "fastapi", "starlette", "uvicorn")
CLIENTS, HALF_OPEN, SECONDS, PATIENTS, GROWTH_REQUESTS = 64, 300, 60.0, 500, 100_000
AROUND = (
    "reading HTTP in Python, routing, the hand-over to a thread and the audit line take twice the .7 ms that three "
    "echoes allow; the model runs slower between pauses than in a row"
)
QUEUED = (
    "with one worker, 64 requests wait in one line: each waits for 63 models before it (see the row of one client); "
    "more cores and --workers shorten it. Questions that wait are not put into one run of the graph: it would save at "
    "most the half of the time that the graphs take, and rounding, so the last digits of an answer, would depend on "
    "who else asks (tried: half of the quantiles changed in their last bits between batches of 1 and 64)"
)


def measure(seconds: float, patients: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of both servers, and what else was seen."""
    asked, model_seconds = questions(patients)
    given, rows = echoes(patients), []
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.neurotwin(Path(folder)) as (place, process),
        servers.echo() as other,
    ):
        for clients, half_open, how_long in ((1, 0, seconds / 4), (CLIENTS, HALF_OPEN, seconds)):
            for name, where, what in (("neurotwin predict", place, asked), ("bare echo", other, given)):
                run_load(where, what, clients=clients, seconds=1.0)  # warm
                slow = half_open if name == "neurotwin predict" else 0
                load = run_load(where, what, clients=clients, seconds=how_long, half_open=slow)
                rows.append(load.row(name, clients))
                print(rows[-1], flush=True)
        lines = verify_audit(Path(folder) / "audit.jsonl")
    return rows, {"model_ms": model_seconds * 1e3, "audit_lines": lines}


def measure_growth(least: int) -> dict[str, Any]:
    """Memory of a service of the fake bundle, whose model costs little, before and after so many requests."""
    asked, done, wrong = fake_questions(200), 0, 0
    with tempfile.TemporaryDirectory() as folder, servers.neurotwin(Path(folder), fake_bundle()) as (place, process):
        run_load(place, asked, clients=CLIENTS, seconds=2.0)
        before = process.memory_info().rss
        while done < least:
            load = run_load(place, asked, clients=CLIENTS, seconds=20.0)
            done, wrong = done + len(load.seconds), wrong + load.wrong + load.refused
        growth = (process.memory_info().rss - before) / 2**20
    return {"growth_mb": growth, "growth_requests": done, "growth_wrong": wrong}


def goals_of(rows: list[dict[str, Any]], seen: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    at = {(row["what"], row["clients"]): row for row in rows}
    ratios = {
        clients: at["neurotwin predict", clients]["p50_ms"]
        / (3 * at["bare echo", clients]["p50_ms"] + seen["model_ms"])
        for clients in (1, CLIENTS)
    }
    wrong = sum(row["wrong"] for row in rows) + seen.get("growth_wrong", 0)
    refused = sum(row["refused"] for row in rows if row["what"] == "neurotwin predict")
    return [
        page.goal("answers that are wrong or another patient's", 0, page.SMALLER, wrong),
        page.goal("requests refused", 0, page.SMALLER, refused),
        page.goal(
            "one client: p50 over three echoes and the model's time", 1.0, page.SMALLER, ratios[1], "times", AROUND
        ),
        page.goal(
            "64 clients: p50 over three echoes and the model's time",
            1.0,
            page.SMALLER,
            ratios[CLIENTS],
            "times",
            QUEUED,
        ),
        page.goal("growth of memory over 100,000 requests", 50.0, page.SMALLER, seen.get("growth_mb"), "MB"),
    ]


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "what": "server", "clients": "clients", "requests": "requests", "per_second": "per second",
        "p50_ms": "p50, ms", "p99_ms": "p99, ms", "wrong": "wrong", "refused": "refused",
    }  # fmt: skip
    seen = content["seen"]
    told = (
        f"The model's own time, in a process that does nothing else: {seen['model_ms']:.2f} ms from bytes to bytes. "
        f"The audit log told {seen['audit_lines']} lines, and its chain held."
    )
    if "growth_mb" in seen:
        told += (
            f" Memory of a service of the fake bundle grew by {seen['growth_mb']:.1f} MB over "
            f"{seen['growth_requests']} requests."
        )
    return [page.table(columns, content["rows"]), told]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", action="store_true", help="only measure the growth of memory, and add it")
    page.quick_arguments(parser, "seconds instead of a minute, no growth of memory")
    given = parser.parse_args()
    if given.growth:
        before = json.loads((HERE / "results.json").read_text())
        rows, seen = before["rows"], before["seen"] | measure_growth(GROWTH_REQUESTS)
    else:
        rows, seen = measure(4.0, 100) if given.quick else measure(SECONDS, PATIENTS)
    goals = goals_of(rows, seen)
    if given.quick:
        page.tell(goals, given.json)
        return
    content = page.results(COMMAND, PACKAGES, rows, goals) | {"seen": seen}
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
