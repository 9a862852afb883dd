"""results.json, one row per problem and route; its goals; and the tables of README.md made from it."""

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neurotwin

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results.json"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
CVODE, NUMBA, POSTERIOR = "MAP, CVODE (libroadrunner)", "MAP, numba RK4", "posterior, numba RK4"
PEERS = (CVODE, NUMBA, POSTERIOR)
PROBLEMS = ("geng", "t1d")
TWIN, BATCH = "twin, ", ", in one batch"
LIBRARIES = ("numpy", "scipy", "torch", "onnxruntime", "numba", "libroadrunner", "antimony")
CAUSES = {
    ("geng: twin, bayes_ode", "seconds"): "four unknowns and an equation that is cheap to solve: a fit takes some "
    "thirty solves of half a millisecond, a twin that walks its rows runs a graph of many small operators for each of "
    "them; only in a batch is it much faster",
    ("geng: twin, bayes_ode", "error"): "the twin's field is learned and its patients are normal, while the other "
    "routes know the equations and the exact population, which is cut off at 0; which of the two it is was not tested",
    ("geng: twin, neural_mixed", "seconds"): "half its time are two graphs without a loop, the rest is cutting time "
    "into rows and Python; a compiled fit takes thirty solves of half a millisecond, and no twin that takes a third of "
    "a millisecond to be asked can be a hundred times as fast",
    ("geng: twin, neural_mixed", "error"): "its course is linear in six effects, with normal noise, and its design is "
    "learned; the other routes know the equations and the exact population, which is cut off at 0",
    ("t1d: twin, bayes_ode", "seconds"): "rows of the graph are many small operators, asked for one patient at a time; "
    "in a batch it is much faster, and the compiled posterior takes less than half a millisecond for a course",
    ("t1d: twin, bayes_ode", "error"): "a learned field with six numbers per patient beside the equations with their "
    "exact population; validation had stopped falling after 14 epochs, and no twin with the equations inside was tried",
}
"""Why a goal was missed: by the begin of its name and a word of it."""


def versions() -> dict[str, str]:
    """Of all that takes part and is installed."""
    found = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """In words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    return f"{name}, {platform.machine()}, {platform.system()}, {os.cpu_count()} cores, of which 1 is used"


def read(path: Path = RESULTS) -> dict[str, Any]:
    """The results so far."""
    return dict(json.loads(path.read_text())) if path.exists() else {"rows": []}


def write(problem: str, command: str, rows: list[dict[str, Any]], path: Path = RESULTS) -> None:
    """Put a problem's rows in the place of those it had."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    told = {"command": command, "date": date}
    others = [row for row in read(path)["rows"] if row["problem"] != problem]
    every = sorted([*others, *(row | told for row in rows)], key=lambda row: str(row["problem"]))
    _put({"machine": machine(), "versions": versions()}, every, path)


def put_shares(problem: str, told: dict[str, dict[str, float]], path: Path = RESULTS) -> None:
    """Put where the time of twins goes, by route, into their rows."""
    found = read(path)
    for row in found["rows"]:
        if row["problem"] == problem and row["route"] in told:
            row["shares"] = told[row["route"]]
    _put({name: found[name] for name in ("machine", "versions")}, found["rows"], path)


def again(path: Path = RESULTS) -> None:
    """Goals and README.md from the rows as they are."""
    found = read(path)
    _put({name: found[name] for name in ("machine", "versions")}, found["rows"], path)


def _put(about: dict[str, Any], every: list[dict[str, Any]], path: Path) -> None:
    content = {
        **about,
        "command": "python benchmarks/personalise/run.py --problem geng|t1d",
        "date": max((row["date"] for row in every), default=""),
        "rows": every,
        "goals": [goal for name in PROBLEMS for goal in goals_of(every, name)],
    }
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)
    if path == RESULTS:
        write_readme()


def goals_of(rows: list[dict[str, Any]], problem: str) -> list[dict[str, Any]]:
    """What was asked of each twin of a problem, and what was measured; null where nothing was."""
    own = {row["route"]: row for row in rows if row["problem"] == problem}
    found = []
    names = [name for name in own if name.startswith(TWIN) and not name.endswith(BATCH)]
    for name in names or [f"{TWIN}bayes_ode (ONNX)"]:
        row = own.get(name, {"versus": {}})
        for route, times, word in ((CVODE, 100.0, "the CVODE MAP"), (POSTERIOR, 1000.0, "the posterior")):
            faster = own[route]["seconds"] / row["seconds"] if route in own and name in own else None
            worse = row["versus"].get(route, {}).get("ratio")
            found.append(_goal(f"{problem}: {name}: seconds of {word} over its own", times, ">=", faster, "times"))
            found.append(_goal(f"{problem}: {name}: error over that of {word}", 1.0, "<=", worse, "times"))
    return found


def _goal(name: str, goal: float, direction: str, measured: float | None, unit: str) -> dict[str, Any]:
    content = {"name": name, "goal": goal, "direction": direction, "measured": measured, "unit": unit, "cause": ""}
    missed = measured is not None and (measured < goal if direction == ">=" else measured > goal)
    why = (cause for (begin, word), cause in CAUSES.items() if name.startswith(begin) and word in name)
    return content | ({"cause": next(why, "not explained")} if missed else {})


def write_readme(path: Path = RESULTS) -> None:
    """Put the tables between the markers."""
    page = (HERE / "README.md").read_text()
    head, _, rest = page.partition(BEGIN)
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{block(read(path))}\n{END}{rest.partition(END)[2]}")


def block(found: dict[str, Any]) -> str:
    """Everything that is made from results."""
    told = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    parts = [f"On {found['machine']}, {found['date']}; {told}."]
    for problem in dict.fromkeys(row["problem"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["problem"] == problem]
        parts += [f"### {problem}: `{rows[0]['command']}`", _verdict(rows)]
        parts += [_table_of(rows), _versus(rows), _sampling(rows), _shares(rows)]
    return "\n\n".join([*filter(None, parts), "### Goals", _goals(found["goals"])])


def _verdict(rows: list[dict[str, Any]]) -> str:
    """Who is fastest and who is best, in words; each batch beside the compiled peers."""
    every = max(row["patients"] for row in rows)
    fast = min(rows, key=lambda row: float(row["seconds"]))
    best = min((row for row in rows if row["patients"] == every), key=lambda row: float(row["error"]))
    told = [
        f"Fastest: {fast['route']} ({_short(fast['seconds'] * 1e3)} ms). "
        f"Least error, of routes asked for all: {best['route']}."
    ]
    peer = {row["route"]: row["seconds"] for row in rows}
    for row in rows:
        if row["route"].startswith(TWIN):
            sides = [f"{_short(peer[name] / row['seconds'])} times as fast as {name}" for name in PEERS if name in peer]
            told.append(f"{row['route']}: {', '.join(sides)}.")
    return " ".join(told)


def _table_of(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        numbers = (row["error"], row["error_measured"], row["coverage"], row["width"])
        cells = [_short(row["seconds"] * 1e3), *map(_short, numbers), str(row["patients"]), str(row["repeats"])]
        lines.append([row["route"], row["knows"], *cells])
    unit = rows[0]["unit"]
    head = ["route", "knows, beside the record", "CPU ms per patient", f"error, {unit}", "error, measured",
            "coverage", "width", "patients", "repeats"]  # fmt: skip
    return _table(head, lines, left=2)


def _versus(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        for route, one in row.get("versus", {}).items():
            interval = f"{one['low']:.3f} to {one['high']:.3f}"
            lines.append(
                [row["route"], route, _short(one["faster"]), f"{one['ratio']:.3f}", interval, str(one["patients"])]
            )
    head = ["route", "beside", "times faster", "error ratio", "95 % (paired bootstrap)", "patients"]
    return _table(head, lines, left=2) if lines else ""


def _sampling(rows: list[dict[str, Any]]) -> str:
    """What the fits and chains took."""
    told = [f"{row['route']}: {row['solves']:.0f} solves of the past" for row in rows if "solves" in row]
    told += [
        f"effective draws of the posterior (least over a patient's queries): median {row['ess']:.0f}, least "
        f"{row['least_ess']:.0f}; worst split R-hat {row['worst_rhat']:.3f}; {row['accepted']:.0%} taken"
        for row in rows
        if "ess" in row
    ]
    return f"Medians over patients. {'; '.join(told)}." if told else ""


def _shares(rows: list[dict[str, Any]]) -> str:
    """Where the time of a twin goes that is asked for one patient."""
    told = []
    for row in (row for row in rows if "shares" in row):
        cut, graphs, whole = (row["shares"][name] * 1e3 for name in ("cutting", "graphs", "whole"))
        left = _short(whole - cut - graphs)
        told.append(
            f"{row['route']}, timed by itself: {_short(whole)} ms per patient, of which {_short(cut)} cut time into "
            f"rows, {_short(graphs)} are the two graphs, and {left} Python around them and the calibration."
        )
    return "\n".join(told)


def _goals(goals: list[dict[str, Any]]) -> str:
    lines = []
    for goal in goals:
        measured, asked = goal["measured"], goal["goal"]
        holds = measured is not None and (measured >= asked if goal["direction"] == ">=" else measured <= asked)
        met = "not measured" if measured is None else "yes" if holds else f"no: {goal['cause']}"
        lines.append([goal["name"], f"{goal['direction']} {asked:g}", _short(measured), met])
    return _table(["goal", "asked", "measured", "met"], lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _table(head: list[str], lines: list[list[str]], left: int = 1) -> str:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
