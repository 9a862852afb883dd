"""In-silico trials: type-I error, power against theory, twins as covariate and as control, agreement of both engines.

python benchmarks/trials/run.py [--folder runs/benchmarks/trials] [--glioma-bundle FOLDER] [--quick]

Resumable: each part is kept in the folder and is not measured again.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import page
from benchmarks.trials import parts
from benchmarks.trials.parts import GLIOMA, LEVODOPA, LUNG, VANCOMYCIN, Size

from neurotwin.trials.effects import binomial_limits

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "scipy", "statsmodels", "onnxruntime")
COMMAND = "python benchmarks/trials/run.py"
TOLERANCE = 0.2
Rows = list[dict[str, Any]]


def plan(size: Size, glioma: Path | None) -> dict[str, Callable[[], Rows]]:
    """What is measured, by the name of its file."""
    told: dict[str, Callable[[], Rows]] = {
        "type_one_glioma_progression": partial(parts.type_one, GLIOMA, "progression", "library", size),
        "type_one_glioma_mean": partial(parts.type_one, GLIOMA, None, "library", size),
        "type_one_vancomycin_mean": partial(parts.type_one, VANCOMYCIN, None, "library", size),
        "type_one_lung_progression": partial(parts.type_one, LUNG, "progression", "none", size),
        "power_glioma_progression": partial(parts.power, GLIOMA, "progression", "library", size),
        "power_glioma_mean": partial(parts.power, GLIOMA, None, "library", size),
        "power_levodopa_mean": partial(parts.power, LEVODOPA, None, "library", size),
        "precision_vancomycin": partial(parts.precision, VANCOMYCIN, "library", size),
        "precision_levodopa": partial(parts.precision, LEVODOPA, "library", size),
        "precision_glioma": partial(parts.precision, GLIOMA, "library", size),
        "precision_lung": partial(parts.precision, LUNG, "bundle", size),
        "external_vancomycin": partial(parts.external, VANCOMYCIN, "library", size),
        "external_glioma": partial(parts.external, GLIOMA, "library", size),
        "engines_lung": partial(parts.engines, LUNG, parts.BUNDLES[LUNG], size),
    }
    if glioma is not None:
        told["engines_glioma"] = partial(parts.engines, GLIOMA, glioma, size)
    return told


def goals_of(found: dict[str, Rows]) -> Rows:
    """What was asked, and what came of it."""
    errors = _all(found, "type_one_")
    precision = _all(found, "precision_")
    twins = [row for row in precision if row["analysis"] in ("twin", "baseline and twin")]
    power = [row for row in _all(found, "power_") if row["theory"] is not None]
    means = [row for row in power if row["analysis"] != "log-rank"]
    ranks = [row for row in power if row["analysis"] == "log-rank"]
    best = [row["ratio"] for row in precision if row["trial"] == VANCOMYCIN and row["analysis"] == "twin"]
    goals = [
        page.goal(
            "type-I errors outside the binomial limits of 99 % for all rows together", 0, page.SMALLER,
            outside(errors) if errors else None,
            f"of {len(errors)}", "see the row",
        ),
        page.goal(
            "power less its formula, means: greatest gap", 0.05, page.SMALLER,
            max((abs(row["power"] - row["theory"]) for row in means), default=None), "",
            f"the formula is that of large trials: at most {_gap(means, 200):.3f} from 200 subjects on",
        ),
        page.goal(
            "power less Schoenfeld's formula, log-rank: greatest gap", 0.1, page.SMALLER,
            max((abs(row["power"] - row["theory"]) for row in ranks), default=None), "",
            "the hazards are not proportional, as the formula has it",
        ),
        page.goal(
            "variance ratio of PROCOVA, vancomycin", 0.5, page.SMALLER, best[0] if best else None, "",
            "twins whose forecasts tell less",
        ),
        page.goal(
            "variance ratio of PROCOVA less 1 - r² in its general form: greatest gap", 0.05, page.SMALLER,
            max((abs(row["ratio"] - row["theory"]) for row in twins), default=None), "",
            "the formula is that of large trials",
        ),
        page.goal(
            "bias of PROCOVA, in its standard errors: greatest", 3.0, page.SMALLER,
            max((abs(row["bias_in_se"]) for row in twins), default=None), "", "see the row",
        ),
        page.goal(
            "coverages of 95 % intervals with twins outside the 99 % binomial limits", 0, page.SMALLER,
            sum(not row["coverage_low"] <= row["coverage"] <= row["coverage_high"] for row in twins) if twins else None,
            f"of {len(twins)}", "see the row",
        ),
    ]  # fmt: skip
    return goals + [_agreement(found, trial) for trial in ("lung", "glioma")]


def _gap(rows: Rows, least: int) -> float:
    return max((abs(row["power"] - row["theory"]) for row in rows if row["size"] >= least), default=float("nan"))


def outside(rows: Rows) -> int:
    """Rows outside the limits within which all would be together with a confidence of 99 % (Bonferroni)."""
    limits = [binomial_limits(row["trials"], 1 - parts.LEVEL, 1 - 0.01 / len(rows)) for row in rows]
    return sum(not low <= row["rejected"] <= high for row, (low, high) in zip(rows, limits, strict=True))


CAUSES = {
    "lung": "the bundle lets tumours under chemotherapy alone grow less than they do; the gap's standard error is 0.04",
    "glioma": "no bundle was given",
}


def _agreement(found: dict[str, Rows], trial: str) -> dict[str, Any]:
    rows = found.get(f"engines_{trial}", [])
    worst = max(rows, key=lambda row: abs(row["gap_in_sd"]), default=None)
    cause = (
        CAUSES[trial]
        if worst is None or trial == "lung"
        else "too soon under both drugs; its effect and all other gaps are at most 0.17, see the page"
    )
    if worst is not None:
        cause = f"{worst['endpoint']}, {worst['what']}: {cause}"
    return page.goal(
        f"mechanistic and surrogate engine, {trial}: greatest gap of a mean or an effect", TOLERANCE, page.SMALLER,
        abs(worst["gap_in_sd"]) if worst else None, "SD", cause,
    )  # fmt: skip


def _all(found: dict[str, Rows], begin: str) -> Rows:
    return [row for name, rows in found.items() if name.startswith(begin) for row in rows]


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    found = content["parts"]
    errors = {"trial": "trial", "endpoint": "endpoint", "analysis": "analysis", "trials": "trials",
              "rejected": "rejected",
              "limit_low": "limits from", "limit_high": "to", "within": "within"}  # fmt: skip
    power = {"trial": "trial", "endpoint": "endpoint", "analysis": "analysis", "size": "subjects", "power": "power",
             "low": "from", "high": "to", "theory": "formula"}  # fmt: skip
    precision = {"trial": "trial", "twins": "twins", "analysis": "analysis", "r": "r, control",
                 "ratio": "variance ratio",
                 "ratio_low": "from", "ratio_high": "to", "theory": "formula", "bias_in_se": "bias / SE",
                 "coverage": "coverage"}  # fmt: skip
    external = {"trial": "trial", "population": "population", "design": "design", "truth": "true effect",
                "bias": "bias", "bias_se": "its SE", "coverage": "coverage"}  # fmt: skip
    engines = {"trial": "trial", "bundle": "bundle", "endpoint": "endpoint", "what": "", "mechanistic": "mechanistic",
               "surrogate": "surrogate", "gap_in_sd": "gap, SD"}  # fmt: skip
    heads = (
        ("Rejections where the arm changes nobody's outcome:", "type_one_", errors),
        ("Power:", "power_", power),
        ("The effect's variance over that of the unadjusted analysis:", "precision_", precision),
        ("A single arm of half the subjects against its twins, beside the randomised trial:", "external_", external),
        ("The same patients by both engines:", "engines_", engines),
    )
    return [part for title, begin, columns in heads for part in (title, page.table(columns, _all(found, begin)))]


def main() -> None:
    """Measure what is not there yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/trials"), help="kept between calls")
    parser.add_argument("--glioma-bundle", type=Path, help="made as docs/trials.md says")
    parser.add_argument("--only", default="", help="parts whose name begins so; nothing is written to the page")
    page.quick_arguments(parser, "few subjects and trials")
    given = parser.parse_args()
    todo = plan(parts.QUICK if given.quick else Size(), given.glioma_bundle)
    found = {}
    for name, measure in todo.items():
        path = given.folder / f"{name}.json"
        if not given.quick and path.is_file():
            found[name] = json.loads(path.read_text())
        elif name.startswith(given.only):
            found[name] = measure()
            print(name, len(found[name]), "rows", flush=True)
            if not given.quick:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found[name], indent=1))
    goals = goals_of(found)
    if given.quick:
        page.tell(goals, given.json)
    elif not given.only:
        content = page.results(COMMAND, PACKAGES, [row for rows in found.values() for row in rows], goals)
        content["parts"] = found
        page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
