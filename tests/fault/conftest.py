"""A cohort for trainings that are killed, and what one that was left alone leads to."""

import pytest
from toys import toy_cohort
from training_processes import Training, arguments_of, result

EPOCHS = 4


@pytest.fixture(scope="session")
def fault_cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fault") / "cohort"
    toy_cohort(60).save(folder)
    return folder


@pytest.fixture(scope="session")
def fault_arguments(fault_cohort):
    """Function: folder, more overrides -> arguments of a training of 4 epochs of 9 steps."""
    return lambda folder, *more, **how: arguments_of(fault_cohort, folder, *more, **{"epochs": EPOCHS, **how})


@pytest.fixture(scope="session")
def left_alone(fault_arguments, tmp_path_factory):
    """What an uninterrupted training leads to, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    training = Training(fault_arguments(folder), folder.parent / "stderr")
    assert training.code() == 0, training.stderr.read_text()
    return result(folder), folder
