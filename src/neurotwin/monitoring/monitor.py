"""monitor(): a bundle on a site's own patients, beside what it was on those of its training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin import __version__
from neurotwin.cohort import Cohort
from neurotwin.errors import ConfigError
from neurotwin.evaluation.evaluate import score
from neurotwin.evaluation.locf import Locf
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.subgroups import score_subgroups
from neurotwin.monitoring.abstention import tell_abstentions
from neurotwin.monitoring.advice import advise
from neurotwin.monitoring.checks import check_all
from neurotwin.monitoring.features import input_features
from neurotwin.monitoring.performance import SEED, Answered, performance_features, try_to_ask
from neurotwin.monitoring.reference import Reference
from neurotwin.monitoring.report import MonitorReport, worst
from neurotwin.monitoring.site import Site
from neurotwin.monitoring.stream import watch
from neurotwin.monitoring.unit_errors import suspected_units
from neurotwin.runtime import Predictor


@dataclass(frozen=True)
class Options:
    """How a site is watched.

    Attributes:
        false_alarm: probability, at most, that a run raises any alarm where nothing changed.
        window: patients of the stream's last window; None looks at no stream.
        order: covariate by which the patients are ordered in time; empty takes them as the cohort stands.
        by: covariates by which the scores are told apart too.
        n_bootstrap: replicates of the scores' intervals.

    Raises:
        ConfigError: a number out of range.
    """

    false_alarm: float = 0.01
    window: int | None = None
    order: str = ""
    by: Sequence[str] = ()
    n_bootstrap: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.false_alarm <= 0.05:
            raise ConfigError(f"false_alarm {self.false_alarm}", where="monitor", expected="above 0, at most 0.05")
        if self.window is not None and self.window < 20:
            raise ConfigError(f"window {self.window}", where="monitor", expected="20 patients or more")
        if self.order and self.window is None:
            raise ConfigError("an order without a window", where="--order", remedy="give --window too")


def monitor(
    predictor: Predictor,
    site: Site,
    reference: Reference,
    options: Options | None = None,
    *,
    patients: Iterable[Mapping[str, Any]] = (),
) -> MonitorReport:
    """Compare a site's patients with the reference, score the bundle on them, and tell what to do.

    With a window, half of the false-alarm rate goes to the stream and half to the cohort as a whole.

    Args:
        patients: documents of some of the patients, to which the runtime is asked to answer.

    Raises:
        ConfigError: a covariate that is not there.
    """
    options = options or Options()
    cohort, calibration = site.cohort, predictor.calibration
    order = _order(cohort, options)
    answered = try_to_ask(predictor, calibration, cohort, min_visits=predictor.signature.min_visits)
    table = input_features(cohort)
    if answered is not None:
        table = table.beside(performance_features(answered, calibration, len(cohort)))
    rate = options.false_alarm if options.window is None else options.false_alarm / 2
    checks, left_out = check_all(table, reference, level=calibration.level, false_alarm=rate)
    stream = None
    if options.window is not None:
        step = max(1, options.window // 4)
        stream = watch(
            table.take(order),
            reference,
            level=calibration.level,
            false_alarm=rate,
            step=step,
            window=4 * step,
            order=options.order or "as the cohort stands",
        )
    shifted = [one.channel for one in checks if one.verdict == "alarm" and one.feature == f"{one.channel}.level"]
    units = suspected_units(cohort, reference, predictor.signature, shifted)
    verdict = worst([one.verdict for one in checks] + (["alarm"] if stream is not None and stream.flags else []))
    bundle = predictor.bundle
    return MonitorReport(
        version=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        bundle={"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        cohort=site.name if site.part == "all" else f"{site.name} ({site.part})",
        cohort_sha256=site.sha256,
        n_subjects=len(cohort),
        reference=reference.description,
        n_reference=reference.n_patients,
        level=calibration.level,
        false_alarm=options.false_alarm,
        verdict=verdict,
        checks=tuple(checks),
        not_judged=left_out,
        stream=stream,
        abstentions=tell_abstentions(predictor, patients),
        performance=None if answered is None else _scores(predictor, cohort, answered, options),
        advice=(*units, *advise(checks, stream)),
    )


def _order(cohort: Cohort, options: Options) -> NDArray[np.int64]:
    """Positions of the subjects in time."""
    if not options.order:
        return np.arange(len(cohort))
    names = [static.name for static in cohort.schema.statics if not static.levels]
    if options.order not in names:
        raise ConfigError(
            f"no covariate {options.order!r} that is a number",
            where="--order",
            expected=f"one of {', '.join(names)}" if names else "",
            remedy="" if names else "leave it out: the cohort has none",
        )
    column = [static.name for static in cohort.schema.statics].index(options.order)
    return np.argsort(cohort.statics[:, column], kind="stable")


def _scores(predictor: Predictor, cohort: Cohort, answered: Answered, options: Options) -> EvaluationReport:
    """The site's own report; last value carried forward beside it, whose intervals are fitted to the same patients."""
    calibration, name = predictor.calibration, predictor.bundle.name
    forecasts = {name: answered.forecast, "locf": Locf.fit(cohort)(answered.episodes)}
    how = {"level": calibration.level, "n_bootstrap": options.n_bootstrap, "seed": SEED}
    report = score(
        forecasts, answered.episodes, answered.targets,
        horizons=calibration.horizons.tolist(), baselines=["locf"], **how,  # type: ignore[arg-type]
    )  # fmt: skip
    found = score_subgroups(
        {name: answered.forecast}, answered.episodes, answered.targets, cohort, answered.rows, options.by,
        **how,  # type: ignore[arg-type]
    )  # fmt: skip
    asked = {"cut": "random", "min_visits": predictor.signature.min_visits, "n_subjects": len(cohort)}
    return report.model_copy(update=asked | {"subgroups": tuple(found)})
