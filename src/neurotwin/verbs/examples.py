"""A cohort's subject as the documents that an application would send."""

from typing import Any

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.schema import Schema

AMOUNT = {"bolus": "amount", "infusion": "rate", "setting": "level"}


def patient_document(cohort: Cohort, subject: int, cut: float, *, limits: bool = False) -> dict[str, Any]:
    """What is known of one subject at ``cut``: covariates, observations up to it and doses before it.

    Censored measurements are left out, or with ``limits`` told as the limit, which is what a model's history holds.
    """
    schema = cohort.schema
    seen = cohort.observations.take((cohort.observations.subject == subject) & (cohort.observations.time <= cut))
    given = cohort.doses.take((cohort.doses.subject == subject) & (cohort.doses.time < cut))
    observations = [
        {
            "t": _short(time),
            "variable": schema.variables[index].name,
            "value": _short(value),
            "unit": schema.variables[index].unit,
        }
        for time, index, value, censor in zip(seen.time, seen.variable, seen.value, seen.censor, strict=True)
        if censor == 0 or limits
    ]
    treatments = [
        _treatment(schema, *row, cut) for row in zip(given.time, given.end, given.treatment, given.amount, strict=True)
    ]
    return {
        "id": f"example-{schema.name}",
        "time_unit": schema.time_unit,
        "now": _short(cut),
        "static": _statics(schema, cohort.statics[subject]),
        "observations": observations,
        "treatments": treatments,
    }


def _statics(schema: Schema, raw: Any) -> dict[str, Any]:
    known = {
        static.name: (static, value) for static, value in zip(schema.statics, raw, strict=True) if np.isfinite(value)
    }
    return {
        name: static.levels[int(value)] if static.levels else {"value": _short(value), "unit": static.unit}
        for name, (static, value) in known.items()
    }


def _treatment(schema: Schema, time: float, end: float, index: int, amount: float, cut: float) -> dict[str, Any]:
    treatment = schema.treatments[index]
    record = {
        "t": _short(time),
        "treatment": treatment.name,
        AMOUNT[treatment.kind]: _short(amount),
        "unit": treatment.unit,
    }
    # A stop that lies ahead is not known yet.
    return record if np.isnan(end) or end > cut else {**record, "t_end": _short(end)}


def _short(value: float) -> float:
    return float(f"{value:.6g}")
