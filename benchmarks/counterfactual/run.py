"""Do the intervals of paired differences between plans hold the true difference as often as they say?

python benchmarks/counterfactual/run.py [--folder runs/benchmarks/failsafe] [--patients 500] [--quick]
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from benchmarks import page
from benchmarks.counterfactual.truth import CONTRASTS, Contrast, Pair, pairs_of
from benchmarks.failsafe import twins

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "onnxruntime")
COMMAND = "python benchmarks/counterfactual/run.py"
LEVEL, NEAR = 0.9, 0.05
"""Of the intervals, and how far from it a measured coverage may be."""


def rows_of(contrast: Contrast, work: Path, patients: int) -> list[dict[str, Any]]:
    """Coverage by channel and third of the horizon, each patient with the same weight."""
    kind = twins.TWINS[contrast.kind]
    pairs, counts = pairs_of(contrast, twins.predictor_of(kind, work), kind, patients)
    first, second = contrast.plans
    rows = []
    for pair in pairs:
        for begin in range(3):
            low, high = (contrast.horizon * (begin + part) / 3 for part in (0, 1))
            rows.append(
                {"bundle": contrast.kind, "difference": f"{second} less {first}", "channel": pair.channel,
                 "after": f"{low:g} to {high:g}", "silent": counts["abstain"], **told(pair, low, high)}
            )  # fmt: skip
    return rows


def told(pair: Pair, low: float, high: float) -> dict[str, Any]:
    """Of one stretch of the horizon: who covers, how wide, how far off, and what would have been wide enough."""
    here = (pair.after > low) & (pair.after <= high)
    patients = np.unique(pair.patient[here])
    covered = (pair.low <= pair.truth) & (pair.truth <= pair.high)
    share = [covered[here & (pair.patient == one)].mean() for one in patients]
    half = np.where(pair.truth > pair.median, pair.high - pair.median, pair.median - pair.low)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.abs(pair.truth - pair.median) / half
    factor = [np.nanmax(stretch[here & (pair.patient == one)]) for one in patients] if here.any() else []
    return {
        "patients": len(patients),
        "coverage": float(np.mean(share)) if share else None,
        "width": float(np.median((pair.high - pair.low)[here])) if here.any() else None,
        "error": float(np.median(np.abs(pair.truth - pair.median)[here])) if here.any() else None,
        "size": float(np.median(np.abs(pair.truth[here]))) if here.any() else None,
        "told": float(np.median(np.abs(pair.median[here]))) if here.any() else None,
        "sign": float(np.mean(np.sign(pair.truth[here]) == np.sign(pair.median[here]))) if here.any() else None,
        "factor": float(np.quantile(factor, LEVEL)) if factor else None,
    }


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    known = [row["coverage"] for row in rows if row["coverage"] is not None]
    worst = min((row for row in rows if row["coverage"] is not None), key=lambda row: row["coverage"])
    told, size = (page.spelled(worst[name]) for name in ("told", "size"))
    cause = (
        "the interval is that of the joint draws, which hold what the model leaves open about the patient and not its "
        f"own error: in the lowest row ({worst['bundle']}) the twin foretells {told} where the truth is {size}. "
        "calibration.json has no factor for differences; `factor` is what it would have to be"
    )
    return [
        page.goal("coverage of 90 % intervals, lowest row", LEVEL - NEAR, page.LARGER, min(known), "", cause),
        page.goal("coverage of 90 % intervals, highest row", LEVEL + NEAR, page.SMALLER, max(known), "", cause),
        page.goal(
            "differences whose sign is right, lowest row", 0.9, page.LARGER,
            min(row["sign"] for row in rows if row["sign"] is not None), "",
            "where the true difference is smaller than the model's error",
        ),
    ]  # fmt: skip


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "bundle": "bundle", "difference": "difference", "channel": "channel", "after": "after", "patients": "patients",
        "silent": "silent", "coverage": "coverage", "width": "width, median", "error": "error, median",
        "size": "true difference, median size",
        "told": "foretold difference, median size", "sign": "sign right", "factor": "factor",
    }  # fmt: skip
    return [page.table(columns, content["rows"])]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=twins.WORK, help="bundles of the fail-safe benchmark")
    parser.add_argument("--patients", type=int, default=500)
    page.quick_arguments(parser, "the bundle of the repository alone, few patients")
    given = parser.parse_args()
    if given.quick:
        with tempfile.TemporaryDirectory() as scratch:
            page.tell(goals_of(rows_of(CONTRASTS[0], Path(scratch), 12)), given.json)
        return
    rows = [row for contrast in CONTRASTS for row in rows_of(contrast, given.folder, given.patients)]
    content = page.results(COMMAND, PACKAGES, rows, goals_of(rows))
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
