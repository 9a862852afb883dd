"""All benchmarks of speed: quick, beside the committed goals, or in full.

python benchmarks/run_all.py --quick            fails where a ratio falls under 0.85 of its committed goal
python benchmarks/run_all.py                    writes every results.json and README.md again
python benchmarks/run_all.py --list [--only NAME ...]
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import page
from benchmarks.compare import FAILED, HELD, LEFT, Verdict, better, failed, judge, table
from benchmarks.suite import BENCHMARKS, Benchmark

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600
"""Seconds after which a quick run is stopped, and has failed."""


def committed(one: Benchmark) -> list[dict[str, Any]]:
    """The goals in its results.json."""
    return list(json.loads((ROOT / "benchmarks" / one.name / "results.json").read_text())["goals"])


def quick(one: Benchmark) -> list[Verdict]:
    """Run it quickly; once more where something failed, as timings of few repeats are noisy."""
    verdicts = _judged(one)
    if any(verdict.bound is not None and not verdict.why for verdict in failed(verdicts)):
        print(f"{one.name}: {len(failed(verdicts))} failed, once more", flush=True)
        verdicts = better(verdicts, _judged(one))
    return verdicts


def _judged(one: Benchmark) -> list[Verdict]:
    goals, why = _goals_by_quick(one)
    if why:
        return [Verdict(one.name, "runs", "", None, None, None, None, FAILED, why)]
    return judge(one.name, committed(one), goals, one.full_only)


def _goals_by_quick(one: Benchmark) -> tuple[list[dict[str, Any]], str]:
    """The goals of a quick run, or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "goals.json"
        command = [sys.executable, f"benchmarks/{one.name}/run.py", "--quick", "--json", str(file)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return [], f"stopped after {LIMIT} s"
        if done.returncode or not file.exists():
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "nothing was written")
            return [], f"exit code {done.returncode}: {last[:200]}"
        return json.loads(file.read_text())["goals"], ""


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def run_quick(chosen: Sequence[Benchmark]) -> int:
    """All quick runs, then the table; 1 where something failed or nothing was judged."""
    verdicts, begun = [], time.monotonic()
    for number, one in enumerate(chosen, 1):
        if one.unquick:
            print(f"[{number}/{len(chosen)}] {one.name}: only in the full run ({one.unquick})", flush=True)
            continue
        start, spent = time.monotonic(), _children()
        verdicts += quick(one)
        mine = [verdict.state for verdict in verdicts if verdict.benchmark == one.name]
        told = ", ".join(f"{mine.count(state)} {state}" for state in (HELD, FAILED, LEFT))
        print(
            f"[{number}/{len(chosen)}] {one.name}: {told}; {time.monotonic() - start:.0f} s, "
            f"{_children() - spent:.0f} s of CPU",
            flush=True,
        )
    lost = failed(verdicts)
    judged = sum(verdict.state == HELD for verdict in verdicts) + len(lost)
    print(f"\n{table(verdicts)}\n\n{judged} goals judged, {len(lost)} failed; {time.monotonic() - begun:.0f} s, "
          f"{_children():.0f} s of CPU")  # fmt: skip
    if lost:
        print(f"\nFailed:\n\n{table(lost)}")
    return int(bool(lost) or judged == 0)


def _children() -> float:
    """CPU seconds of the processes that were run and have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def run_full(chosen: Sequence[Benchmark]) -> int:
    """All full runs, one after another; 1 where a command failed."""
    print(f"{listed(chosen)}\n\nabout {sum(one.minutes for one in chosen)} minutes in all", flush=True)
    broken = []
    for one in chosen:
        for command in one.full:
            print(f"\n== {one.name}: python {command}", flush=True)
            if subprocess.run(
                [sys.executable, *shlex.split(command)], cwd=ROOT, env=_environment(), check=False
            ).returncode:
                broken.append(f"python {command}")
                break
    print("\n".join(f"failed: {command}" for command in broken) or "\nall done")
    return int(bool(broken))


def listed(chosen: Sequence[Benchmark]) -> str:
    """What would be run."""
    rows = [
        {"name": one.name, "full": "; ".join(f"python {command}" for command in one.full), "minutes": one.minutes,
         "quick": "no" if one.unquick else "yes"}
        for one in chosen
    ]  # fmt: skip
    return page.table({"name": "benchmark", "quick": "quick run", "full": "full run", "minutes": "about, min"}, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [one.name for one in BENCHMARKS]
    parser.add_argument("--quick", action="store_true", help="small runs beside the committed goals; nothing is kept")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--list", action="store_true", help="say what would be run, and how long it takes")
    given = parser.parse_args(arguments)
    chosen = [one for one in BENCHMARKS if not given.only or one.name in given.only]
    if given.list:
        print(listed(chosen))
        return 0
    return run_quick(chosen) if given.quick else run_full(chosen)


if __name__ == "__main__":
    sys.exit(main())
