"""A bundle, the reference of its patients, and a site where nothing changed."""

import numpy as np
import pytest
from toy_bundles import make_cohort

from neurotwin.monitoring.fitting import fit_reference
from neurotwin.monitoring.site import Site
from neurotwin.runtime import Predictor


@pytest.fixture(scope="session")
def predictor(gru_bundle):
    return Predictor.load(gru_bundle)


@pytest.fixture(scope="session")
def reference(predictor):
    whole = make_cohort(900, seed=11)
    return fit_reference(
        predictor, predictor.calibration, whole.take(np.arange(600)), whole.take(np.arange(600, 900)),
        min_visits=2, description="600 toys",
    )  # fmt: skip


@pytest.fixture(scope="session")
def site():
    return Site(make_cohort(400, seed=12), "1" * 64, "all", "ward")
