"""results.json, one row per track, gamma, seed and model; and the tables of README.md made from it."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

import neurotwin

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
KEY = ("track", "gamma", "seed", "model")


def versions() -> dict[str, str]:
    """Of what a number may depend on."""
    found = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "torch")}


def read(path: Path = RESULTS) -> dict[str, Any]:
    """The results so far."""
    return dict(json.loads(path.read_text())) if path.exists() else {"rows": []}


def find(results: dict[str, Any], **key: Any) -> dict[str, Any] | None:
    """The row of a key, if there is one."""
    return next((row for row in results["rows"] if all(row[name] == value for name, value in key.items())), None)


def add(row: dict[str, Any], goals: Any, path: Path = RESULTS) -> None:
    """Put a row in the place of the one with its key; several processes may do so at once.

    Args:
        goals: function of the rows.
    """
    lock = Path("runs/benchmarks/cancer/results.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        rows = [old for old in read(path)["rows"] if any(old[name] != row[name] for name in KEY)]
        rows = sorted([*rows, row], key=lambda one: [one[name] for name in KEY])
        content = {
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "versions": versions(),
            "command": "python benchmarks/cancer/run.py --gamma GAMMA --seeds SEED ... --model MODEL --track TRACK",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "rows": rows,
            "goals": goals(rows),
        }
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(content, indent=1) + "\n")
        draft.replace(path)
