"""How time and memory grow with patients, rows, state and width: curves, each with the power it grows by.

python benchmarks/growth/run.py [--repeats 5] [--quick]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmarks import page
from benchmarks.growth.cohorts import Cohorts
from benchmarks.growth.curves import Part, fits_of, in_child, peak_of, seconds_of
from benchmarks.growth.forecasts import Forecasts
from benchmarks.growth.plots import draw, exponent
from benchmarks.growth.steps import Steps

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
PICTURES = DOCS / "images"
COMMAND = "python benchmarks/growth/run.py"
PACKAGES = ("numpy", "torch", "torchdiffeq", "onnxruntime", "matplotlib")
LINEAR = 1.1
"""Asked of the exponents of ours: no more than linear."""
ASKED = {("training step", "batch"), ("training step", "rows"), ("exported forecast", "patients"),
         ("exported forecast", "rows"), ("cohort", "patients")}  # fmt: skip
PEERS = ("torchdiffeq rk4", "torch eager")
CAUSES = {
    "exported forecast: exponent of memory in rows": "onnxruntime's arena grows in steps, so that the points scatter: "
    "with the arena switched off the same points gave 0.95 with a standard error of 0.15",
}
"""Why a goal was missed."""


def measure(parts: Sequence[Part], repeats: int, *, quick: bool) -> list[dict[str, Any]]:
    """A row for each part, route and value. Memory first: its processes are forks of this one while it is small.
    ``quick``: fewer axes and values, and no memory."""
    peaks: dict[tuple[str, str, str, int], float | None] = {}
    rows = []
    axes_of = {part.name: part.quick if quick else part.axes for part in parts}
    for part in () if quick else parts:
        for against, values in axes_of[part.name].items():
            for value in values:
                for route in part.routes:
                    peaks[part.name, route, against, value] = peak_of(part, route, against, value)
        print(f"{part.name}: memory measured", flush=True)
    for part in parts:
        for against, values in axes_of[part.name].items():
            seconds = seconds_of(part, against, values, repeats)
            for (route, value), least in seconds.items():
                row = {"what": part.name, "route": route, "against": against, "value": value, "cpu_ms": 1e3 * least}
                rows.append(row | {"repeats": repeats, "peak_mib": peaks.get((part.name, route, against, value))})
            print(f"{part.name} by {against}: time measured", flush=True)
    return rows


def goals_of(fits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours grow with patients and rows no faster than linearly; the fastest growth of a part's routes counts."""
    goals = []
    for what, against in sorted(ASKED):
        mine = [one for one in fits if (one["what"], one["against"]) == (what, against) and one["route"] not in PEERS]
        for name in ("time", "memory"):
            known = [(one[name], one["route"]) for one in mine if one[name] is not None]
            worst, route = max(known, default=(None, ""))
            goal = f"{what}: exponent of {name} in {against}"
            cause = f"by {route}; {CAUSES.get(goal, 'not explained')}" if known else "too few points"
            goals.append(page.goal(goal, LINEAR, page.SMALLER, worst, "", cause))
    return goals


def tables(content: dict[str, Any]) -> list[str]:
    """Of the exponents."""
    columns = {"what": "what", "against": "against", "range": "fitted", "route": "route", "time": "time",
               "memory": "memory"}  # fmt: skip
    fits = content["fits"]
    told = []
    for one in fits:
        mine = [other for other in fits if other["what"] == one["what"]]
        powers = {name: exponent(mine, one["against"], one["route"], name) for name in ("time", "memory")}
        told.append(one | powers | {"range": f"{one['from']} to {one['to']}"})
    return ["Exponents, each with its standard error:", page.table(columns, told)]


def pictures(content: dict[str, Any], folder: Path) -> list[str]:
    """Draw all parts; returns the lines of Markdown that show them, as seen from the folder above."""
    lines = []
    for what in dict.fromkeys(row["what"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["what"] == what]
        path = folder / f"growth_{what.replace(' ', '_')}.svg"
        draw(rows, [one for one in content["fits"] if one["what"] == what], path)
        lines.append(f"![{what}: CPU time and peak memory]({folder.name}/{path.name})")
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="only draw and write again, from results.json")
    page.quick_arguments(parser, "few and small values, few repeats, no memory")
    given = parser.parse_args()
    if given.page:
        content = json.loads((HERE / "results.json").read_text())
        fits = fits_of(content["rows"])
        write(content | {"fits": fits, "goals": goals_of(fits)})
        return
    torch.set_num_threads(1)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        forecasts = Forecasts(Path(folder))
        in_child(lambda: forecasts.export() or 0.0)
        rows = measure([Steps(), forecasts, Cohorts()], 2 if given.quick else given.repeats, quick=given.quick)
    fits = fits_of(rows)
    goals = goals_of(fits)
    if given.quick:
        page.tell(goals, given.json)
        return
    more = {"fits": fits, "wall_s": round(time.monotonic() - begun)}
    write(page.results(COMMAND, PACKAGES, rows, goals) | more)


def write(content: dict[str, Any]) -> None:
    """results.json, README.md, the figures, and the page in docs."""
    page.write(HERE, content, tables(content))
    page.put(DOCS / "performance.md", [page.head(content), *pictures(content, PICTURES), *tables(content)])


if __name__ == "__main__":
    main()
