"""A neural ODE distilled into a flow map: how far it is off, what that costs in accuracy, and how fast it forecasts.

python benchmarks/distill/run.py [--folder runs/benchmarks/distill] [--repeats 9] [--quick]
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
from benchmarks.distill import latency, stages

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "torch", "onnx", "onnxruntime")
COMMAND = "python benchmarks/distill/run.py"
NODES = (
    "some ninety operators of about a microsecond each: narrower flow maps took a few percent less; head, quantiles "
    "and draws are timed with it, which the C++ solve does not have"
)


def errors_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each kind of plan, variable and horizon."""
    begins = [0.0, *told["horizons"][:-1]]
    return [
        {
            "plans": kind.replace("_", " "),
            "variable": name,
            "horizon": f"{begin:g} to {end:.3g}",
            **{key: row[key][number] for key in ("median", "p95", "worst", "share")},
        }
        for kind, table in told["errors"].items()
        for name, row in table.items()
        for number, (begin, end) in enumerate(zip(begins, told["horizons"], strict=True))
    ]


def goals_of(times: list[dict[str, Any]], told: dict[str, Any], accuracy: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    ratio = {(row["route"], row["plan"]): row["times_floor_p50"] for row in times}
    goals = [
        page.goal(
            f"p50 of the distilled forecast over that of the C++ solve, {plan}",
            2.0,
            page.SMALLER,
            ratio.get((route, plan)),
            "times",
            NODES if ratio.get((route, plan)) else "no compiler",
        )
        for route, plan in (
            ("distilled, onnxruntime", latency.FEW),
            ("distilled, onnxruntime", latency.DAILY),
            ("distilled, weights not trained, onnxruntime", latency.HELD),
        )
    ]
    worst = max(share for row in told["share"].values() for share in row)
    goals.append(
        page.goal(
            "error within which 95 % of forecasts are, over half of an interval's width, worst horizon",
            told["allowed_share"],
            page.SMALLER,
            worst,
            "",
            "more steps or a wider flow map come closer; the bundle is degraded there",
        )
    )
    mae = {row["forecast"]: row["mae"] for row in accuracy if row["scale"] == accuracy[0]["scale"]}
    more = mae["distilled"] / mae["solved"]
    cause = "errors of the flow map add to those of the model"
    goals.append(page.goal("mean absolute error, distilled over solved", 1.05, page.SMALLER, more, "times", cause))
    return goals


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    times = {
        "route": "route", "plan": "plan", "cpu_us": "CPU us", "p50_us": "p50 us", "times_floor": "times C++ solve, CPU",
        "times_floor_p50": "times C++ solve, p50",
    }  # fmt: skip
    errors = {
        "plans": "plans", "variable": "variable", "horizon": "horizon, d", "median": "median", "p95": "95 % within",
        "worst": "worst", "share": "95 % within, of half an interval",
    }  # fmt: skip
    scores = {
        "forecast": "forecast", "variable": "variable", "scale": "scale", "targets": "values", "mae": "MAE",
        "mae_low": "from", "mae_high": "to", "crps": "CRPS", "coverage": "coverage",
    }  # fmt: skip
    told = content["distilled"]
    return [
        "One patient, one course, 90 queries:",
        page.table(times, content["rows"]),
        f"Distance from the solve, in the channel's scale, on {told['subjects']} test patients "
        f"({told['steps']} steps, {told['seconds']:.0f} s; up to {told['changes']} changes of treatment):",
        page.table(errors, errors_of(told)),
        "Against what came true on test patients:",
        page.table(scores, content["accuracy"]),
        f"Sizes of forecast.onnx: {content['bytes']['teacher']} bytes solved, {content['bytes']['student']} distilled.",
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/distill"), help="kept between calls")
    parser.add_argument("--repeats", type=int, default=9)
    page.quick_arguments(parser, "few subjects and steps")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if given.quick else given.folder
        bundles = stages.prepare(folder, stages.QUICK if given.quick else stages.Size())
        told, accuracy = stages.told(folder), stages.accuracy(folder, 50 if given.quick else 1000)
        times = latency.measure(latency.routes(bundles), 2 if given.quick else given.repeats)
        sizes = {name: (path / "forecast.onnx").stat().st_size for name, path in bundles.items()}
    goals = goals_of(times, told, accuracy)
    more = {"distilled": told, "accuracy": accuracy, "bytes": sizes}
    content = page.results(COMMAND, PACKAGES, times, goals) | more
    if given.quick:
        page.tell(goals, given.json)
        return
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
