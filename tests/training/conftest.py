"""A toy cohort on disk, and one run of two epochs on it."""

import shutil
from pathlib import Path

import pytest
from toys import QUIET, SIZES, toy_cohort


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "cohort"
    toy_cohort(60).save(path)
    return path


@pytest.fixture(scope="session")
def arguments(cohort_folder):
    """Function: overrides of a small, quiet run into a folder."""

    def of(folder, *more, epochs=2):
        return [
            f"data.cohort={cohort_folder}",
            f"paths.output_dir={folder}",
            "data.batch_size=16",
            f"trainer.max_epochs={epochs}",
            *SIZES,
            *QUIET,
            *more,
        ]

    return of


@pytest.fixture(scope="session")
def trained(tmp_path_factory, arguments):
    """A run of two epochs: read only, copy it with `copied`."""
    from neurotwin.train import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(arguments(folder)) == 0
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the run, to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
