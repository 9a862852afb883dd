"""A toy cohort as the source of an export, from an untrained model of a given kind."""

import pytest
from toys import KINDS, source_of, toy_cohort


@pytest.fixture
def source(tmp_path):
    """Function: a source of a kind of model, with or without treatments and covariates."""

    def of(kind="neural_ode", **more):
        cohort = toy_cohort(50, **more)
        return source_of(KINDS[kind](cohort), cohort, tmp_path)

    return of
