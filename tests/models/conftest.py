"""Toy cohorts with and without treatments and covariates, and one untrained model of each kind."""

import pytest
from toys import KINDS, OTHERS, toy_cohort


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Schemas that lack one thing only are left to the full run, but for the first models."""
    for item in items:
        chosen = getattr(getattr(item, "callspec", None), "params", {})
        if chosen.get("model") in OTHERS and chosen.get("cohort") in ((False, True), (True, False)):
            item.add_marker(pytest.mark.full)
