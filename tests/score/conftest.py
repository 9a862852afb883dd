"""A cohort with much that is wrong."""

import pytest
from score_documents import spoiled


@pytest.fixture(scope="session")
def spoiled_cohort():
    """120 subjects, many of them with something that a model must not be told."""
    return spoiled(120)


@pytest.fixture(scope="session")
def spoiled_folder(spoiled_cohort, tmp_path_factory):
    """The same on disk, in three shards."""
    folder = tmp_path_factory.mktemp("spoiled") / "cohort"
    spoiled_cohort.save(folder, shard_size=50)
    return folder
