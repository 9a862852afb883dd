"""results.json and the tables of README.md, which are made from it."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neurotwin

HERE = Path(__file__).resolve().parent.parent
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
Row = dict[str, Any]
PARTS = {
    "student_t": "A Student-t head (5 degrees of freedom) beside a Gaussian one",
    "permutation": "Label permutation",
    "boosting": "What carries boosting on laleh (folds 0 to 3)",
    "visits": "What a visit does to the neural ODE on laleh (folds 0 to 3)",
    "balance": "A balanced state",
}
COLUMNS = {
    "student_t": ("task", "choice", "seed", "variant", "mae", "rmse", "crps", "coverage", "interval_score",
                  "calibrated_coverage", "calibrated_interval_score"),
    "permutation": ("task", "choice", "variant", "n", "mae", "constant_mae", "skill"),
    "boosting": ("variant", "n", "mae", "rmse", "less_locf"),
    "visits": ("variant", "seed", "n", "mae", "rmse", "less_locf"),
    "balance": ("task", "model", "variant", "epochs", "one_step.last", "sliding.0", "sliding.-1", "sliding_less",
                "randomised.0", "randomised.-1", "randomised_less"),
}  # fmt: skip
LARGEST_SKILL = 0.02


def rows_at_hand() -> list[Row]:
    """What has been measured."""
    return list(json.loads(RESULTS.read_text())["rows"]) if RESULTS.exists() else []


def same(row: Row, key: Row) -> bool:
    """Is it the row of a key (part, variant, seed)?"""
    return all(row.get(name) == value for name, value in key.items())


def add(row: Row, key: Row) -> None:
    """Put a row in the place of its earlier one, in the order of the parts."""
    every = [one for one in rows_at_hand() if not same(one, key)] + [row]
    every.sort(key=lambda one: list(PARTS).index(one["part"]))
    versions = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    results = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores, shared with other work",
        "versions": versions | {name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        "command": "python benchmarks/ablations/run.py",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": every,
        "goals": goals(every),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_page()


def goals(rows: list[Row]) -> list[Row]:
    """Permuted outcomes leave no skill; the other parts are measured without a goal."""
    skill = next((row["skill"] for row in rows if row.get("variant") == "permuted"), None)
    name = "permutation: skill over a constant"
    met = skill is not None and skill <= LARGEST_SKILL
    cause = "" if met else "not run" if skill is None else "look for a leak"
    goal = {"name": name, "goal": LARGEST_SKILL, "direction": "<=", "measured": skill, "unit": "1", "cause": cause}
    return [goal]


def write_page() -> None:
    """The tables between the marks of README.md."""
    results = json.loads(RESULTS.read_text())
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [f"`{results['command']}` on {results['machine']}, {results['date']}; {versions}."]
    for name, title in PARTS.items():
        rows = [row for row in results["rows"] if row["part"] == name]
        parts += [f"### {title}", _table(rows, COLUMNS[name]) if rows else "Not run yet."]
    goal = results["goals"][0]
    told = "not run" if goal["measured"] is None else f"{goal['measured']:.3f}"
    parts.append(f"Goal: {goal['name']} {goal['direction']} {goal['goal']:g}; measured {told}. {goal['cause']}".strip())
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{rest.partition(END)[2]}")


def _table(rows: list[Row], columns: tuple[str, ...]) -> str:
    lines = [f"| {' | '.join(columns)} |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += [f"| {' | '.join(_cell(row, name) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def _cell(row: Row, name: str) -> str:
    first, _, inner = name.partition(".")
    value = row.get(first)
    if inner and value is not None:
        value = value[inner] if isinstance(value, dict) else value[int(inner)]
    if isinstance(value, list):
        return f"{value[0]:+.3f} ({value[1]:+.3f} to {value[2]:+.3f})"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
