"""Toy cohorts with and without treatments and covariates, and one untrained model of each kind."""

import pytest
from toys import KINDS, toy_cohort


@pytest.fixture(
    scope="session",
    params=[(True, True), (False, True), (True, False), (False, False)],
    ids=["full", "no_treatment", "no_static", "bare"],
)
def cohort(request):
    treatments, statics = request.param
    return toy_cohort(12, treatments=treatments, statics=statics)


@pytest.fixture(scope="session", params=list(KINDS))
def model(request, cohort):
    return KINDS[request.param](cohort)
