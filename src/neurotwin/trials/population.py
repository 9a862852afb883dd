"""A virtual population on its way to pools: who is eligible, when each leaves, and every endpoint under both arms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.analysis import Pool
from neurotwin.trials.courses import Courses
from neurotwin.trials.design import Design
from neurotwin.trials.endpoints import Endpoint, Outcome
from neurotwin.trials.groups import Grouped, crossed
from neurotwin.trials.twins import Twins, expected

Array = NDArray[np.float64]


class Ready(NamedTuple):
    """A population that a trial can be drawn from.

    Attributes:
        courses: of the eligible.
        leaves: by arm, ``[subject]``.
        stratum: of the randomisation.
        seen: by endpoint, a pool with what dropout leaves.
        complete: by endpoint, a pool in which nobody leaves.
        harmed: by adverse event and arm, ``[subject]``.
    """

    courses: Courses
    leaves: dict[str, Array]
    stratum: Grouped
    seen: dict[str, Pool]
    complete: dict[str, Pool]
    harmed: dict[str, dict[str, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Scores:
    """Forecasts of all endpoints that are means, by endpoint, ``[subject]``, and what the twins are."""

    values: Mapping[str, Array]
    words: str


def prognostic_scores(design: Design, courses: Courses, twins: Twins) -> Scores:
    """Of each subject, the expectation of each continuous endpoint under control."""
    means = {name: one for name, one in design.endpoints.items() if one.kind == "continuous"}
    found = {name: np.full(len(courses), np.nan) for name in means}
    for subject, futures in enumerate(twins.futures(courses, design.control)):
        for name, endpoint in means.items():
            found[name][subject] = expected(courses, subject, design.control, futures, endpoint)
    return Scores(found, twins.words)


def prepare(design: Design, courses: Courses, scores: Scores | None, seed: int) -> Ready:
    """Draw who leaves, and measure everything under both arms.

    The same random numbers serve both arms: a subject's two outcomes differ by the arm alone.
    """
    rng = np.random.default_rng([seed, 0xD0])
    uniform, chance = rng.random(courses.time.shape), rng.random((len(design.adverse_events), len(courses)))
    leaves = {arm: design.dropout.leaves(courses, arm, uniform) for arm in design.arms}
    stays = dict.fromkeys(design.arms, np.full(len(courses), np.inf))
    stratum = crossed([split.of(courses) for split in design.randomisation.strata], len(courses))

    def pool(name: str, endpoint: Endpoint, until: dict[str, Array]) -> Pool:
        outcomes = [endpoint.of(courses, arm, until[arm]) for arm in (design.control, design.treated)]
        _check(name, outcomes, courses)
        variable = getattr(endpoint, "variable", courses.schema.variables[0].name)
        score = None if scores is None else scores.values.get(name)
        baseline = courses.baseline(variable)
        if getattr(endpoint, "scale", "natural") == "log":
            baseline = np.log(np.maximum(baseline, np.finfo(float).tiny))
        return Pool(endpoint.kind, outcomes[0], outcomes[1], baseline, score, stratum.member)

    return Ready(
        courses,
        leaves,
        stratum,
        {name: pool(name, endpoint, leaves) for name, endpoint in design.endpoints.items()},
        {name: pool(name, endpoint, stays) for name, endpoint in design.endpoints.items()},
        {
            name: {arm: event.happens(courses, arm, leaves[arm], chance[place]) for arm in design.arms}
            for place, (name, event) in enumerate(design.adverse_events.items())
        },
    )


def _check(name: str, outcomes: list[Outcome], courses: Courses) -> None:
    """Raises ConfigError for an endpoint that hardly anybody has."""
    for outcome in outcomes:
        known = np.isfinite(outcome.value).mean()
        if known < 0.05:
            raise ConfigError(
                f"endpoint {name!r} is known of {known:.1%} of {len(courses)} subjects",
                where="trial",
                expected="visits where it is measured",
                remedy="move its time, or the visits of the protocol",
            )
