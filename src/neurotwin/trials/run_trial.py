"""One trial from its design to its numbers: screening, allocation, analyses, and what only a simulation can tell."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor
from neurotwin.trials import pharmacovigilance, replicates
from neurotwin.trials.agreement import agreement, mean_courses
from neurotwin.trials.analysis import Pool, Sample, analyse, true_effect
from neurotwin.trials.courses import Courses
from neurotwin.trials.design import Design
from neurotwin.trials.eligibility import Screening, screen
from neurotwin.trials.external import external_control
from neurotwin.trials.population import Ready, Scores, prepare, prognostic_scores
from neurotwin.trials.subgroup_effects import subgroup_effects
from neurotwin.trials.surrogate import surrogate_courses
from neurotwin.trials.twins import BundleTwins, Twins
from neurotwin.trials.world import World

Array = NDArray[np.float64]


class Trial(NamedTuple):
    """What a trial came to: ``numbers`` as plain data, and the population and sample that they are of."""

    numbers: dict[str, Any]
    ready: Ready
    sample: Sample
    screening: Screening


def run_trial(
    design: Design, world: World, *, seed: int, twins: str = "library", bundle: Predictor | None = None
) -> Trial:
    """Screen, allocate, follow and analyse; then what is known in silico alone: true effects, power, type-I error.

    Args:
        twins: ``library``, ``bundle`` or ``none``: who forecasts each subject's course under control.
        bundle: of the same simulator; with it, its own population is compared with the mechanistic one.

    Raises:
        ConfigError: nobody or too few eligible, an arm without subjects, an endpoint that is not measured.
        UnitError: a unit that does not fit its variable.
    """
    everyone = world.courses(design, design.sizes.screened, seed)
    screening = screen(design.eligibility, everyone)
    courses = everyone.take(screening.eligible)
    scores = _scores(design, world, courses, seed, twins, bundle)
    ready = prepare(design, courses, scores, seed)
    sample = draw_trial(design, ready, seed)
    numbers = _trial_numbers(design, ready, sample, screening)
    numbers |= _simulated_numbers(design, world, ready, seed, twins, bundle, scores)
    if bundle is not None:
        other = surrogate_courses(courses, BundleTwins(bundle), tuple(world.protocol.assays), seed)
        theirs = prepare(design, other, scores, seed)
        untils = {name: until_of(design, name) for name in design.endpoints}
        numbers["engines"] = {
            "bundle": f"{bundle.bundle.name}@{bundle.bundle.version}",
            "subjects": len(courses),
            "endpoints": agreement(ready.complete, theirs.complete, untils, design.tolerance),
            "courses": _courses_by_variable(other),
        }
    return Trial(numbers, ready, sample, screening)


def until_of(design: Design, name: str) -> float:
    """End of observation of an endpoint."""
    endpoint = design.endpoints[name]
    return float(getattr(endpoint, "until", getattr(endpoint, "at", 0.0)))


def draw_trial(design: Design, ready: Ready, seed: int) -> Sample:
    """The first eligible subjects, allocated. Raises ConfigError for too few, or an arm without subjects."""
    wanted, there = design.sizes.randomised, len(ready.courses)
    if there < wanted:
        raise ConfigError(
            f"{there} of {design.sizes.screened} screened subjects are eligible",
            where="trial.eligibility",
            expected=f"at least {wanted}, as many as are to be randomised",
            remedy=f"screen more: sizes.screened={int(np.ceil(1.1 * wanted * design.sizes.screened / max(there, 1)))}",
        )
    index = np.arange(wanted)
    arm = design.randomisation.assign(ready.stratum.member[index], np.random.default_rng([seed, 0xA1]))
    counts = np.bincount(arm, minlength=2)
    if counts.min() < 2:
        empty = list(design.arms)[int(counts.argmin())]
        raise ConfigError(
            f"arm {empty!r} got {int(counts.min())} of {wanted} subjects",
            where="trial.randomisation",
            expected="at least 2 in each arm",
            remedy="randomise more, in smaller blocks, or in a ratio that is less uneven",
        )
    return Sample(index, arm == 1)


def _scores(
    design: Design, world: World, courses: Courses, seed: int, twins: str, bundle: Predictor | None
) -> Scores | None:
    if twins == "none" or not any(one.kind == "continuous" for one in design.endpoints.values()):
        return None
    return prognostic_scores(design, courses, _twins(design, world, seed, twins, bundle))


def _twins(design: Design, world: World, seed: int, twins: str, bundle: Predictor | None) -> Twins:
    if twins == "library":
        return world.library(design, design.sizes.screened, seed)
    if twins == "bundle" and bundle is not None:
        return BundleTwins(bundle, tuple(world.protocol.assays))
    raise ConfigError(
        f"twins is {twins!r}{' without a bundle' if twins == 'bundle' else ''}",
        where="trial",
        expected="library | bundle | none",
        remedy="name a bundle with bundle=FOLDER" if twins == "bundle" else "",
    )


def _trial_numbers(design: Design, ready: Ready, sample: Sample, screening: Screening) -> dict[str, Any]:
    """What a real trial would tell, and the truth beside it."""
    treated, rows = sample.treated, np.arange(len(sample.rows))
    leaves = np.where(treated, ready.leaves[design.treated][sample.rows], ready.leaves[design.control][sample.rows])
    stratified = bool(design.randomisation.strata)
    endpoints: dict[str, dict[str, Any]] = {}
    for name, endpoint in design.endpoints.items():
        until = until_of(design, name)
        told = analyse(ready.seen[name], sample, design.confidence, until, stratified=stratified)
        truth = true_effect(ready.complete[name], until)
        after = "" if endpoint.kind == "time" else f" {ready.courses.schema.time_unit} after randomisation"
        words = endpoint.words + after
        about = {"kind": endpoint.kind, "words": words[0].upper() + words[1:], "unit": endpoint.unit, "until": until}
        endpoints[name] = about | told | {"truth": truth}
    primary = next(iter(design.endpoints))
    groups = [split.of(ready.courses) for split in design.subgroups]
    harmed = {
        name: np.where(treated, flags[design.treated][sample.rows], flags[design.control][sample.rows])
        for name, flags in ready.harmed.items()
    }
    return {
        "flow": {
            "screened": screening.screened,
            "failed": screening.failed,
            "not_eligible": int((~screening.eligible).sum()),
            "eligible": int(screening.eligible.sum()),
            "not_needed": int(screening.eligible.sum()) - len(rows),
            "randomised": len(rows),
            "arms": {
                name: {
                    "allocated": int(side.sum()),
                    "left": int((side & np.isfinite(leaves)).sum()),
                    "stayed": int((side & ~np.isfinite(leaves)).sum()),
                    "analysed": endpoints[primary]["n"][kind],
                }
                for name, kind, side in (
                    (design.control, "control", ~treated),
                    (design.treated, "treated", treated),
                )
            },
        },
        "primary": primary,
        "endpoints": endpoints,
        "subgroups": [
            subgroup_effects(ready.seen[primary], ready.complete[primary], sample, one, design.confidence)
            for one in groups
        ],
        "adverse_events": pharmacovigilance.table(harmed, treated, design.confidence),
        "courses": _courses_by_variable(ready.courses),
    }


def _courses_by_variable(courses: Courses) -> dict[str, Any]:
    return {variable.name: mean_courses(courses, place) for place, variable in enumerate(courses.schema.variables)}


def _simulated_numbers(
    design: Design, world: World, ready: Ready, seed: int, twins: str, bundle: Predictor | None, scores: Scores | None
) -> dict[str, Any]:
    """What only trials repeated in a population with known counterfactuals can tell."""
    sizes, primary = design.sizes, next(iter(design.endpoints))
    means = [name for name, endpoint in design.endpoints.items() if endpoint.kind == "continuous"]
    shown = [primary, *(name for name in means[:1] if name != primary)]
    plan, level = design.randomisation, design.confidence

    def repeated(pool: Pool) -> tuple[int, int]:
        return min(sizes.randomised, max(8, len(pool))), sizes.replicates

    found: dict[str, Any] = {
        "power": {
            name: replicates.power_curve(ready.seen[name], plan, sizes.power, sizes.replicates, seed, level)
            for name in shown
        },
        "type_one_error": {
            name: replicates.type_one_error(ready.seen[name], plan, *repeated(ready.seen[name]), seed, level)
            for name in shown
        },
        "twins": scores.words if scores else None,
        "precision": None,
        "external_control": None,
    }
    if scores is None or not means:
        return found
    name = means[0]
    size = sizes.randomised
    found["precision"] = {"endpoint": name} | replicates.precision(
        ready.complete[name], plan, size, sizes.replicates, seed, level
    )
    rows = {"as the twins expect": external_control(ready.complete[name], plan, size, sizes.replicates, seed, level)}
    if design.shift is not None:
        parameter, factor = design.shift
        other = world.shifted(parameter, factor).courses(design, sizes.screened, seed)
        other = other.take(screen(design.eligibility, other).eligible)
        forecast = prognostic_scores(design, other, _twins(design, world, seed, twins, bundle))
        shifted = prepare(design, other, forecast, seed).complete[name]
        label = f"{parameter.replace('_', ' ')} {factor:g} times that of the population"
        rows[label] = external_control(shifted, plan, size, sizes.replicates, seed, level)
    found["external_control"] = {"endpoint": name, "populations": rows}
    return found
