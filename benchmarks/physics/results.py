"""results.json, one row per task, with the goals; and the tables of README.md made from it."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.physics.tasks import TASKS
from filelock import FileLock

import neurotwin

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
LOCK = Path("runs/benchmarks/physics/results.lock")
Row = dict[str, Any]

CAUSES = {
    "circulation: error, median": "cardiac output, in which the beats alone leave a third of this (`limits.py`)",
    "circulation: error, 95th": "cardiac output. The surrogate does not know the beats, which alone leave most of what "
    "the goal allows (`limits.py`); the figure has the rest where events begin or end shortly before a visit",
    "sepsis": "patients between recovery and lasting inflammation, where damage drifts for days. Fates foretold rose "
    "with the surrogate's own unit of time (93 to 98 %) and with the last stage (98.0 to 98.2 %); few of the wrong "
    "ones are within 2 % of another fate: the surrogate limits, not the border",
}
"""Why a goal is missed, by the beginning of its name."""


def put(row: Row, path: Path = RESULTS) -> None:
    """Put a task's row in the place of its earlier one."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(LOCK):
        old = json.loads(path.read_text())["rows"] if path.exists() else []
        rows = [one for one in old if one["task"] != row["task"]] + [row]
        _write(sorted(rows, key=lambda one: list(TASKS).index(one["task"])), path)


def _write(rows: list[Row], path: Path) -> None:
    versions = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    libraries = {name: importlib.metadata.version(name) for name in ("numpy", "torch", "onnxruntime")}
    content = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores, shared with other work",
        "versions": versions | libraries,
        "command": "python benchmarks/physics/run.py --task TASK",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": rows,
        "goals": goals_of(rows),
    }
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


def goals_of(rows: list[Row]) -> list[Row]:
    """What was asked of every task; null where it has no row."""
    found = []
    for task in TASKS:
        row = next((one for one in rows if one["task"] == task), {})
        channels = list(row.get("channels", {}).values())

        def worst(name: str, pick: Any = max, channels: list[Row] = channels) -> float | None:
            return pick((one[name] for one in channels), default=None)

        found += [
            _goal(f"{task}: error, median over patients, worst channel", 0.02, "<=", worst("median"), "of scale"),
            _goal(f"{task}: error, 95th percentile over patients, worst channel", 0.05, "<=", worst("p95"), "of scale"),
            _goal(f"{task}: coverage of 90 % intervals, lowest channel", 0.868, ">=", worst("coverage", min), "1"),
            _goal(f"{task}: coverage of 90 % intervals, highest channel", 0.930, "<=", worst("coverage"), "1"),
        ]
        if task == "sepsis":
            found.append(_goal(f"{task}: fates foretold", 0.99, ">=", row.get("fates", {}).get("right"), "1"))
        if task == "seizure":
            seizures = row.get("seizures", {})
            for name in ("onset", "duration"):
                for what, limit in (("median", 0.02), ("p95", 0.05)):
                    measured = seizures.get(name, {}).get(what)
                    found.append(_goal(f"{task}: error of the {name}, {what}", limit, "<=", measured, "of scale"))
    return found


def _goal(name: str, goal: float, direction: str, measured: float | None, unit: str) -> Row:
    missed = measured is not None and not is_met(measured, goal, direction)
    cause = next((why for begin, why in CAUSES.items() if name.startswith(begin)), "") if missed else ""
    if measured is None:
        cause = f"not run yet: python benchmarks/physics/run.py --task {name.split(':')[0]}"
    return {"name": name, "goal": goal, "direction": direction, "measured": measured, "unit": unit, "cause": cause}


def is_met(measured: float, goal: float, direction: str) -> bool:
    """Whether a goal is met."""
    return measured <= goal if direction == "<=" else measured >= goal


def write_page(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Put the tables between the marks of README.md."""
    found = json.loads(results.read_text())
    told = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    parts = [f"`{found['command']}` on {found['machine']}; {told}; last change {found['date']}."]
    for row in found["rows"]:
        parts += [
            f"### {row['task']}",
            _about(row),
            _channels(row),
            *_more(row),
            f"![{row['task']}]({row['task']}.png)",
        ]
    parts += ["### Seconds per patient", _clocks(found["rows"]), "### Goals", _goals(found["goals"])]
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{rest.partition(END)[2]}")


def _about(row: Row) -> str:
    steps = " and then ".join(map(str, row["steps"]))
    return (
        f"`{row['model']}`, {row['parameters']} weights, {steps} steps on {row['patients_trained']} patients in "
        f"{sum(row['seconds']) / 60:.0f} minutes; "
        f"{row['patients']} unseen patients; intervals calibrated on {row['patients_calibrated']} others."
    )


def _channels(row: Row) -> str:
    head = ["channel", "scale", "median", "95 %", "RMS median", "RMS 95 %", "population mean", "coverage"]
    lines = []
    for name, one in row["channels"].items():
        errors = [_percent(one[key]) for key in ("median", "p95", "rms_median", "rms_p95", "population_mean")]
        lines.append([name, f"{one['scale']:.3g} {one['unit']}", *errors, f"{one['coverage']:.3f}"])
    return "Errors in percent of the scale.\n\n" + _table(head, lines)


def _more(row: Row) -> list[str]:
    told = []
    if fates := row.get("fates"):
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in fates["shares"].items())
        told.append(f"Fates foretold: {100 * fates['right']:.2f} % ({fates['wrong']} wrong; {shares}).")
        turned = fates["turned"]
        told.append(
            f"An inoculum {100 * turned['change']:.0f} % larger or smaller turns the true fate of "
            f"{100 * turned['all']:.1f} % of patients, and of {turned['wrong']} of those who were foretold a wrong one."
        )
    if seizures := row.get("seizures"):
        parts = [
            f"{name}: median {one['median_ms']:.0f} ms, {_percent(one['median'])} % of the scale of {one['scale']:.0f} "
            f"ms, 95th percentile {_percent(one['p95'])} % ({one['patients']} patients)"
            for name, one in seizures.items()
            if name != "alike"
        ]
        told.append(f"Foretold alike whether there is a seizure: {100 * seizures['alike']:.1f} %. {'; '.join(parts)}.")
    if limits := row.get("without_beats"):
        parts = [f"{name} {_percent(one['median'])} ({_percent(one['p95'])})" for name, one in limits.items()]
        told.append(
            "What is left of the error where everything but the beats is known (`limits.py`), median over patients and "
            f"95th percentile, in percent of the scale: {', '.join(parts)}."
        )
    return told


def _clocks(rows: list[Row]) -> str:
    head = [
        "task",
        "patients",
        "surrogate ms",
        "solver ms",
        "times as fast",
        "one patient alone, surrogate ms",
        "parity",
    ]
    lines = []
    for row in rows:
        one = row["clock"]
        ours, solver, alone = (one[f"{key}_ms"] for key in ("surrogate", "solver", "surrogate_one"))
        cells = [f"{ours:.3g}", f"{solver:.3g}", f"{solver / ours:.3g}", f"{alone:.3g}", f"{one['parity']:.0e}"]
        lines.append([row["task"], str(one["patients"]), *cells])
    return _table(head, lines)


def _goals(goals: list[Row]) -> str:
    lines = []
    for goal in goals:
        measured = goal["measured"]
        met = goal["cause"] if measured is None else "yes"
        if measured is not None and not is_met(measured, goal["goal"], goal["direction"]):
            met = f"no: {goal['cause'] or 'not explained'}"
        shown = "-" if measured is None else f"{measured:.4f}"
        lines.append([goal["name"], f"{goal['direction']} {goal['goal']:g} {goal['unit']}", shown, met])
    return _table(["goal", "asked", "measured", "met"], lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
