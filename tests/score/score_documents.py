"""Subjects of a cohort as documents, and a cohort with much that is wrong."""

import numpy as np
from toy_bundles import make_cohort

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations

FIELD = {"bolus": "amount", "infusion": "rate", "setting": "level"}


def patient_of(cohort, row, cut, *, recorded):
    """What is known of a subject at ``cut``; ends that lie ahead are known where the plan is the record."""
    schema = cohort.schema
    seen = cohort.observations.take((cohort.observations.subject == row) & (cohort.observations.time <= cut))
    given = cohort.doses.take((cohort.doses.subject == row) & (cohort.doses.time < cut))
    static = {}
    for item, value in zip(schema.statics, cohort.statics[row].tolist(), strict=True):
        if np.isfinite(value):
            static[item.name] = item.levels[int(value)] if item.levels else {"value": value, "unit": item.unit}
    observations = [
        {"t": t, "variable": schema.variables[v].name, "value": x, "unit": schema.variables[v].unit, "post_dose": late}
        for t, v, x, late in zip(*_columns(seen, "time", "variable", "value", "post_dose"), strict=True)
    ]
    return {
        "id": str(cohort.ids[row]),
        "time_unit": schema.time_unit,
        "now": cut,
        "static": static,
        "observations": observations,
        "treatments": [_dose(schema, *one, cut if not recorded else np.inf) for one in _doses(given)],
    }


def recorded_plan(cohort, row, cut, after):
    """The doses from the cut on as a plan."""
    ahead = cohort.doses.take((cohort.doses.subject == row) & (cohort.doses.time >= cut))
    treatments = [_dose(cohort.schema, t - cut, end - cut, k, x, np.inf) for t, end, k, x in _doses(ahead)]
    return {
        "name": "recorded",
        "time_unit": cohort.schema.time_unit,
        "query": {"at": list(after)},
        "treatments": treatments,
        "ongoing": "continue",
    }


def _dose(schema, time, end, index, amount, known_to):
    item = schema.treatments[index]
    told = {"t": time, "treatment": item.name, FIELD[item.kind]: amount, "unit": item.unit}
    return told | ({"t_end": end} if np.isfinite(end) and end <= known_to else {})


def _doses(table):
    return zip(*_columns(table, "time", "end", "treatment", "amount"), strict=True)


def _columns(table, *names):
    return (getattr(table, name).tolist() for name in names)


def spoiled(n, seed=0):
    """Subjects of the toy cohort, with what happens in real records."""
    cohort, rng = make_cohort(n, seed), np.random.default_rng(seed)
    seen, doses, statics = cohort.observations, cohort.doses, cohort.statics.copy()
    value = seen.value.copy()
    hit = rng.random(len(value))
    value[hit < 0.01] *= 12  # far outside the range of training
    value[(hit >= 0.01) & (hit < 0.02)] *= 1.6
    value[(hit >= 0.02) & (hit < 0.025)] = -3.0  # implausible
    seen = Observations.of(seen.subject, seen.time, seen.variable, value, 0, rng.random(len(value)) < 0.1)
    seen = seen.take(~(seen.subject == 0) & ((seen.subject != 1) | (seen.time == 0)))  # none, and one visit
    again = seen.take(rng.random(len(seen)) < 0.02)
    other = Observations.of(again.subject, again.time, again.variable, again.value * rng.choice([1, 1.2], len(again)),
                            0, again.post_dose)  # fmt: skip
    more = rng.integers(2, n, n // 4)
    begin = rng.integers(0, 150, len(more)).astype(float)
    extra = Doses.of(more, begin, np.where(rng.random(len(more)) < 0.5, np.inf, begin + 40), 2, 0.3)
    repeat = doses.take(rng.random(len(doses)) < 0.05)  # in total more than in training
    statics[rng.random(n) < 0.1, 0] = np.nan
    statics[rng.random(n) < 0.03, 0] = 200
    statics[rng.random(n) < 0.1, 1] = np.nan
    ids = [f"p{number}" for number in range(n)]
    tables = Observations.concatenate(seen, other), Doses.concatenate(doses, extra, repeat)
    return Cohort.build(cohort.schema, ids, statics, *tables, split_key="spoiled")
