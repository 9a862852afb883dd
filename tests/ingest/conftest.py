"""A way to ingest text with a small mapping."""

import copy
from pathlib import Path

import pytest
from ingest_cases import LONG, VISITS

from neurotwin.cohort import Cohort
from neurotwin.ingest.csv import ingest_csv


@pytest.fixture
def long():
    """The long mapping, to be changed at will."""
    return copy.deepcopy(LONG)


@pytest.fixture
def visits():
    """The visits mapping, to be changed at will."""
    return copy.deepcopy(VISITS)


class Ingest:
    """Ingests text or bytes; `report` and `cohort` of the last time stay to be looked at."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def __call__(self, text, mapping, name="data.csv", **more):
        self.number += 1
        path = self.folder / f"{self.number}-{name}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.source(path, mapping, **more)

    def source(self, path, mapping, **more):
        self.output = self.folder / f"cohort-{self.number}-{len(list(self.folder.iterdir()))}"
        self.report = ingest_csv(path, mapping, self.output, progress=False, **more)
        assert self.report.balanced
        self.cohort = Cohort.load(self.output, verify=True)
        return self.cohort

    @property
    def items(self):
        return self.report.items.totals


@pytest.fixture
def ingest(tmp_path):
    return Ingest(tmp_path)
