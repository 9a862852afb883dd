"""A small cohort of which every number is known."""

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable


def make_cohort(rows, n_subjects, *, key="toy", doses=None):
    """Cohort of variables x (mm) and y (mg/dL, log scale) from rows (subject, time, variable, value[, censor])."""
    schema = Schema(
        name="toy",
        time_unit="d",
        variables=(
            Variable(name="x", unit="mm"),
            Variable(name="y", unit="mg/dL", transform="log", plausible=(0, 1e6)),
        ),
        treatments=(Treatment(name="drug", unit="mg", kind="bolus"),),
        statics=(Static(name="age", unit="a"),),
    )
    columns = [[row[i] if i < len(row) else 0 for row in rows] for i in range(5)]
    ids = [f"s{i}" for i in range(n_subjects)]
    observations = Observations.of(*columns)
    return Cohort.build(schema, ids, np.full((n_subjects, 1), 50.0), observations, doses or Doses.of(), split_key=key)


@pytest.fixture
def toy():
    """Three subjects; with the cut at 1, the third has no past of two visits."""
    x = [
        (0, 0, 0, 1),
        (0, 1, 0, 2),
        (0, 2, 0, 4),
        (0, 3, 0, 8),
        (1, 0, 0, 5),
        (1, 1, 0, 5),
        (1, 3, 0, 5),
        (2, 1, 0, 9),
        (2, 2, 0, 9),
    ]
    y = [(0, 0, 1, 1), (0, 2, 1, np.e), (0, 3, 1, 0), (1, 1, 1, np.e**2), (1, 3, 1, 0.5, -1)]
    return make_cohort(x + y, 3)


@pytest.fixture
def population():
    """Function that makes a cohort of n subjects with six visits of both variables, random walks."""

    def make(n, seed=0, key="walk"):
        rng = np.random.default_rng(seed)
        walk = rng.normal(size=(n, 1, 2)) + np.cumsum(rng.normal(0, 0.5, (n, 6, 2)), axis=1)
        walk[:, :, 1] = np.exp(walk[:, :, 1])
        subject, time, variable = np.indices(walk.shape)
        return make_cohort(list(zip(subject.flat, time.flat, variable.flat, walk.flat, strict=True)), n, key=key)

    return make
