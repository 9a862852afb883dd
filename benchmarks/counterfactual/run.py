"""Do the intervals of paired differences between plans hold the true difference as often as they say?

python benchmarks/counterfactual/run.py [--folder runs/benchmarks/counterfactual] [--patients 500] [--quick] [--train]
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
from benchmarks.counterfactual import bundles
from benchmarks.counterfactual.truth import CONTRASTS, Contrast, Pair, pairs_of
from benchmarks.failsafe import twins

from neurotwin.runtime import Predictor

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "onnxruntime", "scipy")
COMMAND = "python benchmarks/counterfactual/run.py"
LEVEL, NEAR = 0.9, 0.05
"""Of the intervals, and how far from it a measured coverage may be."""
DRAWN, THIRDS = "drawn as in fitting", 3
UNSEEN = 20_266
"""Seed of patients and plans drawn as those of the calibration, and not among them."""


def rows_of(contrast: Contrast, work: Path, patients: int, recipe: str = "") -> list[dict[str, Any]]:
    """Coverage by channel and third of the horizon, each patient with the same weight: of the contrast, and of pairs
    drawn as in fitting; by the bundle of another ``recipe``, of the contrast alone."""
    name = recipe or contrast.kind
    one, both = bundles.BUNDLES[name], bundles.calibrated(name, work)
    rows = _rows(both, name, contrast.name, contrast.trial(one.kind), contrast.horizon, patients)
    if recipe:
        return rows
    return [*rows, *_rows(both, name, DRAWN, one.virtual(seed=UNSEEN).trial, contrast.horizon, patients)]


def _rows(
    both: tuple[Predictor, Predictor], kind: str, name: str, trial: Any, horizon: float, patients: int
) -> list[dict[str, Any]]:
    raw, _ = pairs_of(both[0], trial, horizon, patients)
    pairs, counts = pairs_of(both[1], trial, horizon, patients)
    rows = []
    for pair, before in zip(pairs, raw, strict=True):
        for begin in range(THIRDS):
            low, high = (horizon * (begin + part) / THIRDS for part in (0, 1))
            alone = told(before, low, high)
            rows.append(
                {"bundle": kind, "difference": name, "channel": pair.channel, "after": f"{low:g} to {high:g}",
                 "silent": counts["abstain"], **told(pair, low, high), "alone": alone["coverage"],
                 "alone_width": alone["width"]}
            )  # fmt: skip
    return rows


def told(pair: Pair, low: float, high: float) -> dict[str, Any]:
    """Of one stretch of the horizon: who covers, how wide, how far off, and how much lies outside what was tried."""
    here = (pair.after > low) & (pair.after <= high)
    patients = np.unique(pair.patient[here])
    covered = (pair.low <= pair.truth) & (pair.truth <= pair.high)
    share = [covered[here & (pair.patient == one)].mean() for one in patients]
    known = bool(here.any())
    return {
        "patients": len(patients),
        "coverage": float(np.mean(share)) if share else None,
        "width": float(np.median((pair.high - pair.low)[here])) if known else None,
        "error": float(np.median(np.abs(pair.truth - pair.median)[here])) if known else None,
        "size": float(np.median(np.abs(pair.truth[here]))) if known else None,
        "told": float(np.median(np.abs(pair.median[here]))) if known else None,
        "sign": float(np.mean(np.sign(pair.truth[here]) == np.sign(pair.median[here]))) if known else None,
        "outside": float(np.mean(pair.n[here] == 0)) if known else None,
    }


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    goals, contrasts = [], [row for row in rows if row["difference"] != DRAWN and row["bundle"] != bundles.WIDER]
    for what, part in (
        ("plans not used in fitting", contrasts),
        ("pairs drawn as in fitting", [row for row in rows if row["difference"] == DRAWN]),
    ):
        known = [row for row in part if row["coverage"] is not None]
        lowest, highest = (pick(known, key=lambda row: row["coverage"]) for pick in (min, max))
        for edge, direction, row, asked in (
            ("lowest", page.LARGER, lowest, LEVEL - NEAR), ("highest", page.SMALLER, highest, LEVEL + NEAR),
        ):  # fmt: skip
            name = f"coverage of 90 % intervals, {what}, {edge} row"
            goals.append(page.goal(name, asked, direction, row["coverage"], "", _cause(row)))
    signs = [row["sign"] for row in contrasts if row["sign"] is not None]
    goals.append(
        page.goal(
            "differences whose sign is right, plans not used in fitting, lowest row", 0.9, page.LARGER, min(signs),
            "", "where the true difference is smaller than the model's error",
        )
    )  # fmt: skip
    return goals


def _cause(row: dict[str, Any]) -> str:
    error, width = page.spelled(row["error"]), page.spelled(row["width"])
    return (
        f"{row['bundle']}, {row['channel']}, {row['after']}: the calibration holds for pairs drawn as in fitting, on "
        f"average, not for each pair; here the median error is {error} and the median width {width}"
    )


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "bundle": "bundle", "difference": "difference", "channel": "channel", "after": "after", "patients": "patients",
        "silent": "silent", "alone": "coverage of joint draws alone", "coverage": "coverage",
        "alone_width": "width of joint draws alone, median", "width": "width, median", "error": "error, median",
        "size": "true difference, median size", "told": "foretold difference, median size", "sign": "sign right",
        "outside": "outside what was tried",
    }  # fmt: skip
    contrasts = [row for row in content["rows"] if row["difference"] != DRAWN and row["bundle"] != bundles.WIDER]
    drawn = [row for row in content["rows"] if row["difference"] == DRAWN]
    wider = [row for row in content["rows"] if row["bundle"] == bundles.WIDER]
    return [
        "### Plans not used in fitting", page.table(columns, contrasts),
        "### Pairs drawn as in fitting, of other patients",
        page.table({key: name for key, name in columns.items() if key != "difference"}, drawn),
        "### The same difference, calibrated on pairs that are unlike it", page.table(columns, wider),
    ]  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=bundles.WORK, help="bundles, kept between calls")
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--train", action="store_true", help="train the twin of titrated doses anew, and keep it")
    page.quick_arguments(parser, "the bundle of the repository alone, few patients")
    given = parser.parse_args()
    if given.quick:
        with tempfile.TemporaryDirectory() as scratch:
            page.tell(goals_of(rows_of(CONTRASTS[0], Path(scratch), 12)), given.json)
        return
    if given.train:
        twins.train(bundles.TITRATED, given.folder)
    rows = [row for contrast in CONTRASTS for row in rows_of(contrast, given.folder, given.patients)]
    rows += rows_of(CONTRASTS[-1], given.folder, given.patients, bundles.WIDER)
    content = page.results(COMMAND, PACKAGES, rows, goals_of(rows))
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
