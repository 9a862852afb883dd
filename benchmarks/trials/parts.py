"""The parts: each composes a trial of conf/trial, makes its population once, and repeats trials from it."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from neurotwin.paths import conf_dir
from neurotwin.runtime import Predictor
from neurotwin.trials import agreement, replicates
from neurotwin.trials.analysis import Pool
from neurotwin.trials.design import Design
from neurotwin.trials.eligibility import screen
from neurotwin.trials.external import external_control
from neurotwin.trials.population import prepare, prognostic_scores
from neurotwin.trials.run_trial import until_of
from neurotwin.trials.surrogate import surrogate_courses
from neurotwin.trials.twins import BundleTwins
from neurotwin.trials.world import World
from neurotwin.verbs.trials import design_of

SEED, LEVEL = 11, 0.95
MANY = 3
"""So many times the trials for the type-I error, whose rows are looked at together."""
GLIOMA, VANCOMYCIN, LEVODOPA, LUNG = "tmz_vs_pcv", "vancomycin_dose", "levodopa_infusion", "chemo_vs_chemoradiation"
BUNDLES = {LUNG: Path("checkpoints/lung_tumour@0.1.0")}


class Size(NamedTuple):
    """How much is done."""

    screened: int = 1500
    trials: int = 1000
    power: tuple[int, ...] = (50, 100, 200, 400)
    randomised: int = 200


QUICK = Size(200, 40, (50,), 60)


@cache
def ready(trial: str, size: Size, twins: str, shifted: bool = False) -> tuple[Design, Any]:
    """A design, and its eligible population with the outcomes of all under both arms."""
    design, world, _ = design_of([f"trial={trial}"])
    here = world.shifted(*design.shift) if shifted and design.shift else world
    courses = here.courses(design, size.screened, SEED)
    courses = courses.take(screen(design.eligibility, courses).eligible)
    scores = prognostic_scores(design, courses, _twins(design, world, trial, size, twins)) if twins != "none" else None
    return design, prepare(design, courses, scores, SEED)


def _twins(design: Design, world: World, trial: str, size: Size, twins: str) -> Any:
    if twins == "bundle":
        return BundleTwins(Predictor.load(BUNDLES[trial]), tuple(world.protocol.assays))
    return world.library(design, size.screened, SEED)


def mean_endpoint(design: Design) -> str:
    """The first endpoint that is a mean."""
    return next(name for name, one in design.endpoints.items() if one.kind == "continuous")


def type_one(trial: str, endpoint: str | None, twins: str, size: Size) -> list[dict[str, Any]]:
    """Rejections where the arm changes nobody's outcome; dropout is as in the trial."""
    design, population = ready(trial, size, twins)
    name = endpoint or mean_endpoint(design)
    told = replicates.type_one_error(
        population.seen[name], design.randomisation, size.randomised, MANY * size.trials, SEED, LEVEL
    )
    return [
        {"trial": trial, "endpoint": name, "analysis": analysis, "trials": row["trials"],
         "rejected": row["share"], "low": row["low"],
         "high": row["high"], "limit_low": told["limits"][0], "limit_high": told["limits"][1],
         "within": "yes" if row["within"] else "no"}
        for analysis, row in told["analyses"].items()
    ]  # fmt: skip


def power(trial: str, endpoint: str | None, twins: str, size: Size) -> list[dict[str, Any]]:
    """Measured power beside the formula's."""
    design, population = ready(trial, size, twins)
    name = endpoint or mean_endpoint(design)
    rows = replicates.power_curve(population.seen[name], design.randomisation, size.power, size.trials, SEED + 1, LEVEL)
    return [
        {"trial": trial, "endpoint": name, "analysis": row["analysis"], "size": row["size"], "power": row["share"],
         "low": row["low"], "high": row["high"], "theory": row["theory"]}
        for row in rows
    ]  # fmt: skip


def precision(trial: str, twins: str, size: Size) -> list[dict[str, Any]]:
    """Variance, bias and coverage by analysis."""
    design, population = ready(trial, size, twins)
    name = mean_endpoint(design)
    told = replicates.precision(
        population.complete[name], design.randomisation, size.randomised, size.trials, SEED + 2, LEVEL
    )
    correlation = told["correlation"] or {"control": None}
    return [
        {"trial": trial, "twins": twins, "endpoint": name, "analysis": analysis, "r": correlation["control"],
         "ratio": row["variance_ratio"], "ratio_low": row["variance_ratio_low"],
         "ratio_high": row["variance_ratio_high"],
         "theory": row["variance_ratio_theory"], "bias_in_se": row["bias"] / row["bias_se"],
         "coverage": row["coverage"], "coverage_low": row["coverage_limits"][0],
         "coverage_high": row["coverage_limits"][1]}
        for analysis, row in told["analyses"].items()
    ]  # fmt: skip


def external(trial: str, twins: str, size: Size) -> list[dict[str, Any]]:
    """A single arm against its twins, in the population of the twins and in one that differs."""
    rows = []
    for shifted in (False, True):
        design, population = ready(trial, size, twins, shifted)
        pool: Pool = population.complete[mean_endpoint(design)]
        told = external_control(pool, design.randomisation, size.randomised, size.trials, SEED + 3, LEVEL)
        where = f"{design.shift[0]} x {design.shift[1]:g}" if shifted and design.shift else "as expected"
        for analysis, row in (told["analyses"] if told else {}).items():
            rows.append(
                {"trial": trial, "population": where, "design": analysis, "truth": told["truth"], "bias": row["bias"],
                 "bias_se": row["bias_se"], "coverage": row["coverage"]}
            )  # fmt: skip
    return rows


def engines(trial: str, bundle: Path, size: Size) -> list[dict[str, Any]]:
    """Mechanistic and surrogate outcomes of the same patients."""
    design, population = ready(trial, size, "none")
    _, world, _ = design_of([f"trial={trial}"])
    twins = BundleTwins(Predictor.load(bundle), tuple(world.protocol.assays))
    other = surrogate_courses(population.courses, twins, tuple(world.protocol.assays), SEED)
    theirs = prepare(design, other, None, SEED)
    untils = {name: until_of(design, name) for name in design.endpoints}
    told = agreement.agreement(population.complete, theirs.complete, untils, design.tolerance)
    return [
        {"trial": trial, "bundle": bundle.name.partition("@")[0], "endpoint": name, "what": what,
         "mechanistic": row["mechanistic"], "surrogate": row["surrogate"], "gap_in_sd": row["gap"]}
        for name, one in told.items()
        for what, row in (*one["arms"].items(), ("effect", one["effect"]))
    ]  # fmt: skip


def composed() -> list[str]:
    """Names of the trials there are."""
    return sorted(path.stem for path in (conf_dir() / "trial").glob("*.yaml"))
