"""The service under load, beside a bare FastAPI echo: python benchmarks/serve/run.py [--quick]

64 connections ask without pause, each for patients whose answers are known, beside 300 that never end their request.
"""

import argparse
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
from benchmarks.serve.questions import echoes, questions

from neurotwin.service.audit import verify_audit

HERE = Path(__file__).resolve().parent
COMMAND = "python benchmarks/serve/run.py"
PACKAGES = ("numpy", "onnxruntime", "fastapi", "starlette", "uvicorn")
CLIENTS, HALF_OPEN, SECONDS, PATIENTS, GROWTH_REQUESTS = 64, 300, 60.0, 500, 100_000
QUEUED = (
    "with one worker, 64 requests wait in one line: each waits for 63 models before it (see the row of one client); "
    "more cores and --workers shorten it"
)


def measure(seconds: float, growth_requests: int, patients: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
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
        before, done = process.memory_info().rss, 0
        while done < growth_requests:
            load = run_load(place, asked, clients=CLIENTS, seconds=min(seconds, 20.0))
            done += len(load.seconds)
            rows[0]["wrong"] += load.wrong
        growth = (process.memory_info().rss - before) / 2**20
        lines = verify_audit(Path(folder) / "audit.jsonl")
    return rows, {"model_ms": model_seconds * 1e3, "growth_mb": growth, "growth_requests": done, "audit_lines": lines}


def goals_of(rows: list[dict[str, Any]], seen: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    at = {(row["what"], row["clients"]): row for row in rows}
    ratios = {
        clients: at["neurotwin predict", clients]["p50_ms"]
        / (3 * at["bare echo", clients]["p50_ms"] + seen["model_ms"])
        for clients in (1, CLIENTS)
    }
    wrong = sum(row["wrong"] for row in rows)
    refused = sum(row["refused"] for row in rows if row["what"] == "neurotwin predict")
    growth = seen["growth_mb"] * GROWTH_REQUESTS / max(seen["growth_requests"], GROWTH_REQUESTS)
    return [
        page.goal("answers that are wrong or another patient's", 0, page.SMALLER, wrong),
        page.goal("requests refused", 0, page.SMALLER, refused),
        page.goal("one client: p50 over three echoes and the model's time", 1.0, page.SMALLER, ratios[1], "times"),
        page.goal(
            "64 clients: p50 over three echoes and the model's time",
            1.0,
            page.SMALLER,
            ratios[CLIENTS],
            "times",
            QUEUED,
        ),
        page.goal("growth of memory over 100,000 requests", 50.0, page.SMALLER, growth, "MB"),
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
        f"Memory grew by {seen['growth_mb']:.1f} MB over {seen['growth_requests']} requests; the audit log told "
        f"{seen['audit_lines']} lines, and its chain held."
    )
    return [page.table(columns, content["rows"]), told]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    page.quick_arguments(parser, "seconds instead of a minute, no growth of memory")
    given = parser.parse_args()
    rows, seen = measure(4.0, 0, 100) if given.quick else measure(SECONDS, GROWTH_REQUESTS, PATIENTS)
    goals = goals_of(rows, seen)
    if given.quick:
        page.tell(goals, given.json)
        return
    page.write(
        HERE, page.results(COMMAND, PACKAGES, rows, goals) | {"seen": seen}, tables({"rows": rows, "seen": seen})
    )


if __name__ == "__main__":
    main()
