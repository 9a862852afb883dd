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
COMMAND = "python benchmarks/events/run.py"
LIBRARIES = ("torch", "numpy", "statsmodels")
Row = dict[str, Any]
WHY = "20 epochs on three folds, after any visit; the Cox models saw four folds, at the landmark itself"
FEW = "two trainings of 12 epochs"
"""Why goals are missed."""


def merge(rows: list[Row], path: Path = RESULTS) -> dict[str, Any]:
    """Put rows in the place of earlier ones of the same parts."""
    old = json.loads(path.read_text())["rows"] if path.exists() else []
    parts = {row["part"] for row in rows}
    kept = [row for row in old if row["part"] not in parts] + rows
    versions = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    results = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores, shared with other work",
        "versions": versions | {name: importlib.metadata.version(name) for name in LIBRARIES},
        "command": COMMAND,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": kept,
        "goals": goals(kept),
    }
    path.write_text(json.dumps(results, indent=1) + "\n")
    return results


def goals(rows: list[Row]) -> list[Row]:
    """The model against landmark Cox, at the middle horizon and over all of them; and the bias that it removes."""
    pbc = next((row for row in rows if row["part"] == "pbc"), None)
    found = []
    for outcome in ("death", "transplant"):
        one = _difference(pbc, outcome, 1095.0)
        for name, direction in (("c_index", ">="), ("brier", "<=")):
            measured = None if one is None else one[name]["value"]
            label = f"{outcome} in 1095 d: {name.replace('_', '-')} less landmark Cox"
            found.append(_goal(label, 0.0, direction, measured, _interval(one, name)))
    biases = {row["model"]: abs(row["bias"]) for row in rows if row["part"] == "dropout" and _hardest(row)}
    share = biases["with hazards"] / biases["without hazards"] if len(biases) == 2 else None
    found.append(_goal("informative dropout: bias with hazards over bias without, 4 a ahead", 0.5, "<=", share, ""))
    return found


def _hardest(row: Row) -> bool:
    return row["ahead"] == 4.0 and row["dropout"] == "dropout follows the value"


def _difference(pbc: Row | None, outcome: str, horizon: float) -> Row | None:
    for one in [] if pbc is None else pbc["differences"]:
        wanted = ("neural_ode", "landmark_cox", outcome, horizon)
        if (one["predictor"], one["baseline"], one["outcome"], one["horizon"]) == wanted:
            return dict(one)
    return None


def _interval(one: Row | None, name: str) -> str:
    return "" if one is None else f"95 % interval {one[name]['low']:+.3f} to {one[name]['high']:+.3f}"


def _goal(name: str, goal: float, direction: str, measured: float | None, note: str) -> Row:
    met = measured is not None and (measured <= goal if direction == "<=" else measured >= goal)
    why = "not run" if measured is None else note if met else f"{note}; {WHY}" if note else FEW
    return {"name": name, "goal": goal, "direction": direction, "measured": measured, "unit": "1", "cause": why}


def write_page() -> None:
    """The tables between the marks of README.md."""
    results = json.loads(RESULTS.read_text())
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [f"`{results['command']}` on {results['machine']}, {results['date']}; {versions}."]
    pbc = next((row for row in results["rows"] if row["part"] == "pbc"), None)
    if pbc:
        parts += _pbc(pbc)
    dropout = [row for row in results["rows"] if row["part"] == "dropout"]
    if dropout:
        parts += ["### Informative dropout", _dropout(dropout)]
    parts += ["### Goals", _table(["goal", "asked", "measured", "note"], [_cells(one) for one in results["goals"]])]
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{rest.partition(END)[2]}")


def _pbc(row: Row) -> list[str]:
    ended = ", ".join(f"{name} {count}" for name, count in row["ended"].items())
    minutes = ", ".join(f"{name} {value / 60:.1f}" for name, value in row["training_processor_seconds"].items())
    parts = [
        f"### PBC: {row['n_subjects']} patients free of both outcomes at the landmark; follow-up ended: {ended}",
        f"Minutes of processor time in training: {minutes}.",
    ]
    for outcome in dict.fromkeys(one["outcome"] for one in row["scores"]):
        lines = []
        for one in (one for one in row["scores"] if one["outcome"] == outcome):
            thirds = ", ".join(f"{risk:.2f}/{seen:.2f}" for risk, seen in one["groups"])
            told = [_span(one["c_index"]), _span(one["brier"], 4), f"{one['predicted']['value']:.3f}"]
            lines.append([f"{one['horizon']:g} d", one["predictor"], *told, _span(one["observed"]), thirds])
        lines.sort(key=lambda cells: float(cells[0].split()[0]))
        head = ["horizon", "predictor", "C-index (95 %)", "Brier (95 %)", "mean risk", "observed (95 %)"]
        parts += [f"#### {outcome}", _table([*head, "risk/observed by third"], lines)]
        whole = [one for one in row["integrated"] if one["outcome"] == outcome]
        parts.append(
            _table(["predictor", "integrated Brier (95 %)"], [[o["predictor"], _span(o["value"], 4)] for o in whole])
        )
        against = [one for one in row["differences"] if one["outcome"] == outcome and one["baseline"] == "landmark_cox"]
        cells = [
            [f"{o['horizon']:g} d", o["predictor"], _span(o["c_index"], sign=True), _span(o["brier"], 4, sign=True)]
            for o in against
        ]
        parts.append(_table(["horizon", "less landmark Cox", "C-index (95 %)", "Brier (95 %)"], cells))
    return parts


def _dropout(rows: list[Row]) -> str:
    lines = [
        [
            *(row["dropout"], f"{row['ahead']:g} a", f"{row['share_left']:.0%}", row["model"]),
            f"{row['bias']:+.3f} ({row['bias_low']:+.3f} to {row['bias_high']:+.3f})",
            " ".join(f"{one:+.2f}" for one in row["bias_by_seed"]),
            "" if row["model"] == "without hazards" else _less(row),
            *(f"{row['bias_of_who_stayed']:+.3f}", f"{row['rmse']:.3f}"),
        ]
        for row in rows
    ]
    head = ["dropout", "ahead", "have left", "model", "bias (95 %)", "by seed", "less without (95 %)"]
    return _table([*head, "bias, who stayed", "RMSE"], lines)


def _less(row: Row) -> str:
    mean, low, high = (row[f"bias_less_without{end}"] for end in ("", "_low", "_high"))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _cells(one: Row) -> list[str]:
    measured = "not run" if one["measured"] is None else f"{one['measured']:+.4f}"
    return [one["name"], f"{one['direction']} {one['goal']:g}", measured, one["cause"]]


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = "| " + " | ".join("---" for _ in head) + " |"
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])


def _span(one: Row, digits: int = 3, *, sign: bool = False) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    if one["value"] is None:
        return "-"
    if one["low"] is None:
        return f"{one['value']:{form}}"
    return f"{one['value']:{form}} ({one['low']:{form}} to {one['high']:{form}})"
