"""Versions of one twin, patients on whom they are judged, and gates."""

import json
from pathlib import Path

import pytest
from toy_bundles import make_cohort

from neurotwin.bundle import Bundle
from neurotwin.registry import Row, Verdict
from neurotwin.registry.verdict import On, Which

GATE = """
schema_version: 1
minimum_patients: 100
accuracy:
  - metric: mae
    at_most: 100
    worse_than_champion_at_most: 0.05
coverage: {at_least: 0.6}
parity: {at_most: 1.0e-3}
abstention: {at_most: 1.0}
"""


@pytest.fixture
def version_of(gru_bundle, copy_of, rehash):
    """Function: version -> the same twin under another version, in a folder of that name."""

    def make(version: str) -> Path:
        folder = copy_of(gru_bundle, f"toy_gru@{version}")
        rehash(folder, version=version)
        return folder

    return make


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "ward"
    make_cohort(150, seed=21).save(folder)
    return folder


@pytest.fixture
def gate_file(tmp_path):
    """Function: text to replace and its replacement -> a gate file."""

    def write(*change: str) -> Path:
        path = tmp_path / "gate.yaml"
        path.write_text(GATE.replace(*change) if change else GATE)
        return path

    return write


@pytest.fixture
def verdict_of():
    """Function: bundle folder, whether it held, the champion's folder -> a verdict, as if it had been judged."""

    def make(folder: Path, held: bool = True, champion: Path | None = None) -> Verdict:
        return Verdict(
            neurotwin="0", made="2026-01-01T00:00:00+00:00", candidate=which(folder),
            champion=None if champion is None else which(champion),
            on=On(cohort="ward", sha256="0" * 64, part="all", n=100), gate="gate.yaml", gate_sha256="0" * 64,
            rows=(Row(rule="all", asked="yes", measured=float(held), held=held),), held=held,
        )  # fmt: skip

    return make


def which(folder: Path) -> Which:
    bundle = Bundle.load(folder)
    return Which(name=bundle.name, version=bundle.version, sha256=bundle.sha256)


@pytest.fixture
def edited():
    """Function: JSON file, key, value -> the file with that value."""

    def edit(path: Path, key: str, value: object) -> None:
        path.chmod(0o644)
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}, indent=1) + "\n")

    return edit
