"""describe: a cohort in numbers, none of which belongs to one subject."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import N_FOLDS, Cohort

FEWEST = 10
"""Quantiles are only told of at least so many subjects, so that none of them is one person's value."""


def describe(cohort: Cohort) -> dict[str, Any]:
    """A cohort as plain data: subjects, span, and each variable, treatment and covariate.

    Quantiles (5th, 50th, 95th percentile) are null for less than `FEWEST` subjects.
    """
    schema, seen, doses = cohort.schema, cohort.observations, cohort.doses
    instants = np.unique(np.stack([seen.subject, seen.time]), axis=1) if len(seen) else np.zeros((2, 0))
    visits = np.bincount(instants[0].astype(np.int64), minlength=len(cohort))
    gaps = np.diff(instants[1])[np.diff(instants[0]) == 0]
    return {
        "name": schema.name,
        "time_unit": schema.time_unit,
        "source": cohort.provenance.get("source") or cohort.provenance.get("kind"),
        "subjects": len(cohort),
        "subjects_per_fold": np.bincount(cohort.fold, minlength=N_FOLDS).tolist(),
        "observations": len(seen),
        "doses": len(doses),
        "visits_per_subject": _quantiles(visits, len(cohort)),
        "time_between_visits": _quantiles(gaps, len(cohort)),
        "last_time": _quantiles(_last_times(cohort), len(cohort)),
        "variables": [_variable(cohort, index) for index in range(len(schema.variables))],
        "treatments": [_treatment(cohort, index) for index in range(len(schema.treatments))],
        "statics": [_static(cohort, index) for index in range(len(schema.statics))],
    }


def _last_times(cohort: Cohort) -> NDArray[np.float64]:
    last = np.full(len(cohort), -np.inf)
    np.maximum.at(last, cohort.observations.subject, cohort.observations.time)
    return np.asarray(last[np.isfinite(last)])


def _variable(cohort: Cohort, index: int) -> dict[str, Any]:
    variable, seen = cohort.schema.variables[index], cohort.observations
    own = seen.take(seen.variable == index)
    n_subjects = len(np.unique(own.subject))
    return {
        "name": variable.name,
        "unit": variable.unit,
        "observations": len(own),
        "subjects": n_subjects,
        "below_limit": int((own.censor < 0).sum()),
        "above_limit": int((own.censor > 0).sum()),
        "value": _quantiles(own.value, n_subjects),
    }


def _treatment(cohort: Cohort, index: int) -> dict[str, Any]:
    treatment, doses = cohort.schema.treatments[index], cohort.doses
    own = doses.take(doses.treatment == index)
    n_subjects = len(np.unique(own.subject))
    return {
        "name": treatment.name,
        "unit": treatment.unit,
        "kind": treatment.kind,
        "doses": len(own),
        "subjects": n_subjects,
        "ongoing": int(np.isinf(own.end).sum()),
        "amount": _quantiles(own.amount, n_subjects),
    }


def _static(cohort: Cohort, index: int) -> dict[str, Any]:
    static, column = cohort.schema.statics[index], cohort.statics[:, index]
    known = column[np.isfinite(column)]
    told: dict[str, Any] = {"name": static.name, "unit": static.unit, "subjects": len(known)}
    if static.levels:
        counts = np.bincount(known.astype(np.int64), minlength=len(static.levels))
        return told | {"levels": dict(zip(static.levels, counts.tolist(), strict=True))}
    return told | {"value": _quantiles(known, len(known))}


def _quantiles(values: NDArray[Any], n_subjects: int) -> list[float] | None:
    if n_subjects < FEWEST or not len(values):
        return None
    return [_rounded(value) for value in np.quantile(values, (0.05, 0.5, 0.95))]


def _rounded(value: float) -> float:
    """To four digits: more would say more about single subjects."""
    return float(f"{value:.4g}") if math.isfinite(value) else value
