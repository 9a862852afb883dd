"""neurotwin evaluate BUNDLE --cohort COHORT: how good an exported predictor is on other subjects. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.episodes import Predict
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation import EvaluationReport, Locf, PopulationMean, calibrated, evaluate
from neurotwin.evaluation.events import event_section, risk_predictors
from neurotwin.runtime import Predictor


def evaluate_bundle(
    bundle: Path,
    cohort: Path,
    *,
    cut: float | None = None,
    part: str = "test",
    n_bootstrap: int = 1000,
    by: Sequence[str] = (),
) -> EvaluationReport:
    """Score a bundle, with its calibrated intervals, beside the simple baselines of the same cohort.

    Args:
        cohort: folder of a cohort with the bundle's schema.
        cut: time up to which the past is known; None draws one visit per subject.
        part: train, validation or test.
        by: static covariates by which the subjects are scored apart too.

    Raises:
        BundleError: the bundle is damaged.
        CohortError: no such cohort, or one of other variables, treatments or covariates.
        ConfigError: a part that there is not.
    """
    if part not in ("train", "validation", "test"):
        raise ConfigError(f"part {part!r}", where="--part", expected="train, validation or test")
    predictor, whole = Predictor.load(bundle), Cohort.load(cohort)
    for kind in ("variables", "treatments", "statics"):
        theirs, ours = ([(one.name, one.unit) for one in getattr(s, kind)] for s in (whole.schema, predictor.schema))
        if theirs != ours:
            raise CohortError(
                f"other {kind} than the bundle's",
                where=str(cohort),
                expected=", ".join(f"{name} ({unit})" for name, unit in ours) or "none",
            )
    train = whole.part("train")
    predictors: dict[str, Predict] = {
        predictor.bundle.name: calibrated(predictor, predictor.calibration),
        "locf": Locf.fit(train),
        "population_mean": PopulationMean.fit(train),
    }
    last = float(predictor.calibration.horizons[-1])
    inner = [float(edge) for edge in predictor.calibration.horizons[:-1]]
    report = evaluate(
        predictors,
        whole.part(part),  # type: ignore[arg-type]
        cut="random" if cut is None else cut,
        horizons=[*inner, last if np.isfinite(last) else np.inf],
        baselines=["locf", "population_mean"],
        n_bootstrap=n_bootstrap,
        by=by,
    )
    events = event_section(
        risk_predictors({predictor.bundle.name: predictor}),
        train,
        whole.part(part),  # type: ignore[arg-type]
        cut="random" if cut is None else cut,
        horizons=[*inner, last],
        n_bootstrap=n_bootstrap,
    )
    return report.model_copy(update={"events": events})
