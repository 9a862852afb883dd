"""Scores by subgroup: an interval that holds on average may fail the old, or the women."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, Targets
from neurotwin.errors import ConfigError
from neurotwin.evaluation.results import SubgroupScore
from neurotwin.evaluation.scoring import Group, score_group

MISSING = "missing"
PARTS = 3
"""Parts of about equal size that a number's subjects are put into."""


def score_subgroups(
    forecasts: Mapping[str, Forecast],
    episodes: Episodes,
    targets: Targets,
    cohort: Cohort,
    rows: NDArray[np.int64],
    by: Sequence[str],
    *,
    level: float,
    n_bootstrap: int,
    seed: int,
) -> Iterator[SubgroupScore]:
    """Scores over all horizons for each part of the subjects that each covariate makes.

    A covariate with levels makes one part per level, a number `PARTS` by its quantiles; those without a value are a
    part of their own.

    Args:
        cohort, rows: whose subjects they are, and the cohort row of each episode.
        by: names of static covariates.

    Raises:
        ConfigError: a name that is no covariate of the cohort.
    """
    edges = np.array([np.inf])
    subject = episodes.queries.subject[targets.query]
    for name in by:
        for part, members in split(cohort, rows, name):
            chosen = targets.take(members[subject])
            for index in range(len(episodes.schema.variables)):
                for group in Group.of_variable(index, forecasts, episodes, chosen, edges):
                    found = score_group(
                        group, baselines=(), level=level, edges=edges, n_bootstrap=n_bootstrap, seed=seed
                    )
                    for one in found.scores:
                        if one.horizon is None and one.n_targets:
                            kept = one.model_dump(exclude={"horizon", "metrics"})
                            yield SubgroupScore(by=name, part=part, metrics=one.metrics, **kept)


def split(cohort: Cohort, rows: NDArray[np.int64], name: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Label of each part and which of the subjects at ``rows`` belong to it ``[row]``; empty parts are left out."""
    statics = {one.name: number for number, one in enumerate(cohort.schema.statics)}
    if name not in statics:
        raise ConfigError(f"no covariate {name!r}", where="by", expected=f"one of {', '.join(statics) or '(none)'}")
    static, values = cohort.schema.statics[statics[name]], cohort.statics[rows, statics[name]]
    known = np.isfinite(values)
    parts: list[tuple[str, NDArray[np.bool_]]] = []
    if static.levels:
        parts += [(level, known & (values == code)) for code, level in enumerate(static.levels)]
    elif known.any():
        cuts = np.unique(np.quantile(values[known], np.arange(1, PARTS) / PARTS))
        place = np.searchsorted(cuts, values, side="left")
        unit = "" if static.unit == "1" else f" {static.unit}"
        lower = ["", *(f"> {cut:.3g}" for cut in cuts)]
        upper = [*(f"<= {cut:.3g}" for cut in cuts), ""]
        labels = [", ".join(filter(None, ends)) + unit for ends in zip(lower, upper, strict=True)]
        parts += [(label, known & (place == number)) for number, label in enumerate(labels)]
    parts.append((MISSING, ~known))
    yield from ((label, members) for label, members in parts if members.any())
