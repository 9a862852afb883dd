"""Rewrite the results block of README.md from benchmarks/demo/results.json."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
COLUMNS = ("task", "variable", "scale", "predictor", "mae", "rmse", "crps", "coverage")


def block(results: dict[str, Any]) -> str:
    """The results in Markdown: what was measured, where, and which goals are met."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    rows = [COLUMNS, ["---"] * 4 + ["---:"] * 4, *([row.get(name) for name in COLUMNS] for row in results["rows"])]
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


if __name__ == "__main__":
    page, results = ROOT / "README.md", json.loads((ROOT / "benchmarks/demo/results.json").read_text())
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{block(results)}\n{END}{rest.partition(END)[2]}")
