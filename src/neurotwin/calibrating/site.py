"""Forecast intervals fitted again on the patients of a site."""

import numpy as np

from neurotwin.calibrating.pairs import check_schema
from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort
from neurotwin.episodes import make_episodes
from neurotwin.errors import CohortError
from neurotwin.evaluation import fit_calibration, random_cuts, with_measured_coverage
from neurotwin.runtime import Predictor


def recalibrated(
    predictor: Predictor, cohort: Cohort, sha256: str, *, seed: int, min_patients: int
) -> tuple[Calibration, Calibration]:
    """Factors from one half of a cohort's patients and their coverage on the other half, at random visits.

    ``sha256`` is the cohort's. Returns the bundle's own factors with the coverage that they reach on that other half,
    and the new ones.

    Raises:
        CohortError: patients of another schema, those that the bundle was made from, or too few.
    """
    check_schema(cohort, predictor)
    if sha256 == predictor.bundle.manifest.get("data_sha256"):
        raise CohortError(
            "the bundle learned from these patients", where="--cohort", remedy="take patients that it has not seen"
        )
    order = np.random.default_rng(seed).permutation(len(cohort))
    least, own = predictor.signature.min_visits, predictor.calibration
    reach = min(predictor.signature.horizon, float(own.horizons[-1]))
    asked = []
    for half in (np.sort(order[::2]), np.sort(order[1::2])):
        part = cohort.take(half)
        cuts = random_cuts(part, min_visits=least, max_horizon=reach, seed=seed)
        episodes, targets, _ = make_episodes(part, cuts, min_visits=least, max_horizon=reach)
        asked.append((predictor(episodes), targets, episodes))
    fitted = fit_calibration(
        *asked[0],
        level=own.level,
        horizons=own.horizons.tolist(),
        min_patients=min_patients,
        description=f"{len(asked[0][2])} patients of the cohort {cohort.schema.name}, sha256 {sha256[:12]}",
    )
    return with_measured_coverage(own, *asked[1]), with_measured_coverage(fitted, *asked[1])
