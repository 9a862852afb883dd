"""A sweep whose trials are `stub_train`, and who trained in which folder."""

from pathlib import Path

import pytest
from sweep_cases import RATE
from toys import toy_cohort

from neurotwin.sweep.run_sweep import run_sweep


@pytest.fixture(scope="session")
def sweep_cohort(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "cohort"
    toy_cohort(60).save(path)
    return path


@pytest.fixture
def stubbed(tmp_path, monkeypatch):
    """The environment of stub trainings; returns their diary."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("STUB_DIARY", str(tmp_path / "diary"))
    monkeypatch.setenv("STUB_PAUSE", "0.01")
    monkeypatch.setattr("neurotwin.sweep.driver.POLL", 0.03)
    return tmp_path / "diary"


@pytest.fixture
def told():
    """Lines that a sweep told."""
    return []


@pytest.fixture
def sweep(sweep_cohort, stubbed, tmp_path, told):
    """Function: overrides -> what the sweep in tmp_path/sweep came to."""

    def run(*arguments, folder=tmp_path / "sweep", **options):
        options = {"tell": told.append, "train": "stub_train", "grace": 1.0, **options}
        return run_sweep([f"data.cohort={sweep_cohort}", *(arguments or [RATE])], folder=folder, **options)

    return run
