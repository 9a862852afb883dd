"""A toy cohort on disk."""

import pytest
from toys import toy_cohort


@pytest.fixture(scope="session")
def cohort():
    return toy_cohort(60)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, cohort):
    path = tmp_path_factory.mktemp("data") / "cohort"
    cohort.save(path)
    return path
