"""A cohort with a variable of every head, and its schema: shared by tests of models, export, evaluation and runtime."""

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable

SCHEMA = Schema(
    name="heads",
    time_unit="d",
    variables=(
        Variable(name="level", unit="mg/dL"),
        Variable(name="size", unit="mm", transform="log", plausible=(0.01, 1e4)),
        Variable(name="fraction", unit="1", transform="logit", support=(0, 1), plausible=(0.001, 0.999)),
        Variable(name="outlying", unit="1", head="student_t"),
        Variable(name="score", unit="1", head="ordinal", support=(0, 30)),
        Variable(name="stage", unit="1", head="ordinal", support=(1, 4)),
        Variable(name="edema", unit="1", head="ordinal", support=(0, 1), step=0.5),
        Variable(name="titre", unit="mg/L", head="bounded", support=(0, None)),
        Variable(name="sign", unit="1", head="bernoulli"),
        Variable(name="attacks", unit="1", head="count"),
    ),
    treatments=(Treatment(name="drug", unit="mg", kind="bolus"),),
    statics=(Static(name="age", unit="a", plausible=(0, 120)),),
)
NAMES = [variable.name for variable in SCHEMA.variables]


def make_cohort(n=80, seed=0):
    """Each subject has a level of its own that all variables follow, seen at six visits with some left out."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n), 6)
    time = np.cumsum(rng.uniform(0.3, 2, (n, 6)), axis=1).round(2).ravel()
    own = rng.normal(size=n)[subject] + rng.normal(0, 0.4, subject.size)
    latent = {
        "level": 90 + 10 * own,
        "size": np.exp(2 + 0.5 * own),
        "fraction": 1 / (1 + np.exp(-1 - own)),
        "outlying": own + 0.1 * rng.standard_t(3, subject.size),
        "score": 26 + 4 * own,
        "stage": 2.5 + own,
        "edema": 0.3 + 0.4 * own,
        "titre": 0.5 + own,
        "sign": 0.4 + 0.6 * own,
        "attacks": np.exp(1 + 0.6 * own) - 1,
    }
    tables = []
    for index, variable in enumerate(SCHEMA.variables):
        value, seen = variable.recorded_as.recorded(latent[variable.name]), rng.random(subject.size) < 0.8
        value = np.clip(value, *variable.plausible)
        tables.append(Observations.of(subject[seen], time[seen], index, value[seen]))
    doses = Doses.of(np.arange(n), rng.uniform(0, 5, n).round(2), np.nan, 0, rng.uniform(1, 5, n))
    ids = [f"s{number}" for number in range(n)]
    static = rng.uniform(30, 80, (n, 1))
    return Cohort.build(SCHEMA, ids, static, Observations.concatenate(*tables), doses, split_key="heads", provenance={})
