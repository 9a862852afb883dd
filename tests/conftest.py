"""What many tests share: two small bundles, their cohort, the count of faults, and no wait for the disk."""

import json
import os
import shutil
from pathlib import Path

import pytest
from toy_bundles import BUNDLES, make_cohort


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk():
    """No test cuts the power, so what this process writes need not reach the disk: on a busy one that takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def node_bundle():
    """A neural ODE with joint draws. Not to be written to."""
    return BUNDLES / "toy_node@0.1.0"


@pytest.fixture(scope="session")
def gru_bundle():
    """A recurrent network with a single course. Not to be written to."""
    return BUNDLES / "toy_gru@0.1.0"


@pytest.fixture(scope="session")
def toy_cohort():
    """The cohort behind both bundles."""
    return make_cohort()


@pytest.fixture
def copy_of(tmp_path):
    """Function: bundle -> a copy of it that a test may spoil."""

    def copy(bundle: Path, name: str = "copy") -> Path:
        return Path(shutil.copytree(bundle, tmp_path / name))

    return copy


@pytest.fixture(scope="session")
def rehash():
    """Function: write a manifest that fits a folder's files as they are now, with other fields changed."""
    from neurotwin.bundle import MANIFEST, manifest_files, sealed

    def write(folder: Path, **changes: object) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(sealed({**manifest, "files": manifest_files(folder), **changes}))

    return write


@pytest.fixture
def tally(request):
    """Function: what was done to the program, how often, and how often something was lost.

    The numbers go into the junit XML, from which `scripts/write_reliability.py` makes the table of docs/reliability.md.
    """

    def tell(fault: str, *, tried: int, lost: int = 0) -> None:
        for name, value in (("fault", fault), ("tried", tried), ("lost", lost)):
            request.node.user_properties.append((name, value))  # pytest's own fixture warns of the XML's schema

    return tell
