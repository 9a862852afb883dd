"""From a cohort's row to what an application sends: a patient document up to a visit, and a plan from there on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.runtime import Predictor
from neurotwin.runtime.channels import FIELD_OF

Document = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A patient, a plan, and the cohort row that they are of."""

    subject: int
    patient: Document
    plan: Document


def questions_of(cohort: Cohort, predictor: Predictor, seed: int) -> list[Question]:
    """Each subject cut at one of its visits drawn at random, and asked about three times ahead.

    The treatments that were given next are the plan. Subjects with too few visits are left out.
    """
    rng, found = np.random.default_rng(seed), []
    for subject in range(len(cohort)):
        times = np.unique(cohort.observations.time[cohort.observations.subject == subject])
        visits = times[predictor.signature.min_visits - 1 :]
        if not len(visits):
            continue
        cut = float(rng.choice(visits))
        limit = float(predictor.calibration.horizons[-1])
        reach = min(float(times[-1] - times[0]) / 3, limit, predictor.signature.horizon / 2)
        found.append(Question(subject, patient_of(cohort, subject, cut), plan_of(cohort, subject, cut, reach)))
    return found


def patient_of(cohort: Cohort, subject: int, cut: float) -> Document:
    """What was known at the visit at ``cut``."""
    schema, seen = cohort.schema, cohort.observations.take(cohort.observations.subject == subject)
    seen = seen.take(seen.time <= cut)
    observations = [
        {
            "t": float(t), "variable": schema.variables[column].name, "value": float(value),
            "unit": schema.variables[column].unit, "post_dose": bool(late),
        }
        for t, column, value, late in zip(seen.time, seen.variable, seen.value, seen.post_dose, strict=True)
    ]  # fmt: skip
    static: Document = {}
    for value, told in zip(cohort.statics[subject].tolist(), schema.statics, strict=True):
        if np.isfinite(value):
            static[told.name] = told.levels[int(value)] if told.levels else {"value": value, "unit": told.unit}
    given = treatments_of(cohort, subject, -np.inf, cut, 0.0)
    return {
        "id": f"p-{subject}", "time_unit": schema.time_unit, "now": cut, "static": static,
        "observations": observations, "treatments": given,
    }  # fmt: skip


def plan_of(cohort: Cohort, subject: int, cut: float, reach: float) -> Document:
    """What was given after ``cut``, for as long as is asked; what runs then is told again, with its end."""
    return {
        "name": "as given", "time_unit": cohort.schema.time_unit, "ongoing": "stop",
        "query": {"at": [reach / 3, 2 * reach / 3, reach]},
        "treatments": [*treatments_of(cohort, subject, -np.inf, cut, cut, running=True),
                       *treatments_of(cohort, subject, cut, cut + reach, cut)],
    }  # fmt: skip


def treatments_of(
    cohort: Cohort, subject: int, begin: float, end: float, zero: float, *, running: bool = False
) -> list[Document]:
    """Treatments given from ``begin`` to before ``end``, their times counted from ``zero``; a period that goes on at
    the end of what is known has none. ``running``: of periods that go on at ``zero``, the rest."""
    doses = cohort.doses.take(cohort.doses.subject == subject)
    rows = []
    for t, stop, index, amount in zip(doses.time, doses.end, doses.treatment, doses.amount, strict=True):
        if not begin <= t < end or (running and not stop > zero):
            continue
        t = max(t, zero) if running else t
        told = cohort.schema.treatments[index]
        record = {"t": float(t - zero), "treatment": told.name, FIELD_OF[told.kind]: float(amount), "unit": told.unit}
        if np.isfinite(stop) and (zero or stop <= end):
            record["t_end"] = float(stop - zero)
        rows.append(record)
    return rows
