"""Rewrite the results blocks of README.md and of benchmarks/cohort/README.md from the results.json of each."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = ("task", "variable", "scale", "predictor", "mae", "rmse", "crps", "coverage")
COHORT_COLUMNS = ("model", "route", "setting", "patients", "per_second", "error")
PAGES = (
    ("README.md", "benchmarks/demo/results.json", COLUMNS),
    ("benchmarks/cohort/README.md", "benchmarks/cohort/results.json", COHORT_COLUMNS),
)


def block(results: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> str:
    """The results in Markdown: what was measured, where, and which goals are met."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    words = [isinstance(results["rows"][0].get(name), str) for name in columns]
    bars = ["---" if word else "---:" for word in words]
    rows = [columns, bars, *([row.get(name) for name in columns] for row in results["rows"])]
    goals = [["goal", "asked", "measured", "unit", "met"], ["---", "---:", "---:", "---", "---"]]
    for goal in results["goals"]:
        asked = f"{goal['direction']} {_cell(goal['goal'])}"
        goals.append([goal["name"], asked, goal["measured"], goal["unit"], _met(goal)])
    tables = ["\n".join(f"| {' | '.join(map(_cell, row))} |" for row in table) for table in (rows, goals)]
    return "\n\n".join([f"`{results['command']}` on {results['machine']}, {results['date']}; {versions}.", *tables])


def _met(goal: dict[str, Any]) -> str:
    if goal["measured"] is None:
        return "not measured"
    met = goal["measured"] <= goal["goal"] if goal["direction"] == "<=" else goal["measured"] >= goal["goal"]
    return "yes" if met else f"no: {goal['cause'] or 'not explained'}"


def _cell(value: Any) -> str:
    short = f"{value:.0f}" if isinstance(value, float) and abs(value) >= 1000 else value
    return "-" if value is None else f"{short:.3g}" if isinstance(short, float) else str(short)


def main() -> None:
    """All pages whose results are there."""
    for name, source, columns in PAGES:
        if (ROOT / source).exists():
            page = ROOT / name
            head, _, rest = page.read_text().partition(BEGIN)
            found = block(json.loads((ROOT / source).read_text()), columns)
            page.write_text(f"{head}{BEGIN}\n{found}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
