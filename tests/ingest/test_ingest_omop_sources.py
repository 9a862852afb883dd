"""OMOP sources that are broken or mean harm: refused in one line; nothing is written, nothing outside is reached."""

import copy
import os
import sqlite3
import zipfile

import numpy as np
import pytest
from omop_cases import GOOD, HEADER, MAPPING, Ward

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError, NeurotwinError
from neurotwin.ingest.csv import CsvReader
from neurotwin.ingest.fhir import FhirReader
from neurotwin.ingest.meds import MedsReader
from neurotwin.ingest.nonmem import NonmemReader
from neurotwin.ingest.omop import OmopReader, ingest_omop
from neurotwin.ingest.pipeline import ingest
from neurotwin.ingest.report import print_summary


@pytest.fixture
def mapping():
    return copy.deepcopy(MAPPING)


@pytest.fixture
def ward(tmp_path):
    return Ward(tmp_path)


def archive_of(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def linked(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


ARCHIVES = {
    "lead outside": [("../MEASUREMENT.csv", HEADER + GOOD)],
    "lead outside of it": [("MEASUREMENT.csv", HEADER + GOOD), ("/etc/cron.d/x", "")],
    "symbolic link": [(linked("MEASUREMENT.csv"), "/etc/passwd")],
    "unpacks to far more": [("MEASUREMENT.csv", HEADER + " " * (20 << 20))],
    "several files": [("a/MEASUREMENT.csv", HEADER + GOOD), ("b/measurement.csv", HEADER + GOOD)],
    "no table MEASUREMENT": [("__MACOSX/MEASUREMENT.csv", HEADER + GOOD), ("._MEASUREMENT.csv", "")],
}


@pytest.mark.parametrize("message", ARCHIVES)
def test_archives_that_are_refused(message, ward, mapping, tmp_path):
    path = archive_of(tmp_path / "source.zip", *ARCHIVES[message])
    with pytest.raises(IngestError, match=message):
        ward.read(mapping, path)
    assert not [one for one in tmp_path.iterdir() if "partial" in one.name]


def test_a_broken_archive_or_file_is_one_line(ward, mapping, tmp_path):
    good = archive_of(tmp_path / "good.zip", ("MEASUREMENT.csv", HEADER + GOOD * 500)).read_bytes()
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = HEADER.strip().split(",")
    table = pa.table({name: [cell] * 500 for name, cell in zip(names, GOOD.strip().split(","), strict=True)})
    pq.write_table(table, tmp_path / "measurement.parquet")
    whole = (tmp_path / "measurement.parquet").read_bytes()
    rng = np.random.default_rng(0)
    for content, name in ((good, "bad.zip"), (whole, "measurement.parquet")):
        for _ in range(40):
            broken = bytearray(content)
            for at in rng.integers(0, len(content), 4):
                broken[at] = rng.integers(256)
            path = tmp_path / "broken" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(broken[: int(rng.integers(len(broken) // 2, len(broken) + 1))]))
            try:
                ward.read(mapping, path)
            except NeurotwinError as error:
                assert error.exit_code == 2 and "\n" not in str(error) and "3004249" not in str(error)


def test_files_that_are_no_files_are_refused(ward, mapping, tmp_path):
    (tmp_path / "real.csv").write_text(HEADER + GOOD)
    (ward.folder / "MEASUREMENT.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(IngestError, match="symbolic link"):
        ward.read(mapping)
    (ward.folder / "MEASUREMENT.csv").unlink()
    os.mkfifo(ward.folder / "MEASUREMENT.csv")
    with pytest.raises(IngestError, match="no regular file"):
        ward.read(mapping)
    with pytest.raises(IngestError, match="no such folder or file"):
        ward.read(mapping, tmp_path / "nowhere")


def test_a_database_is_never_written_to_and_never_told_of(mapping, tmp_path):
    pytest.importorskip("sqlalchemy", reason="the extra ehr is not installed")
    for url in [
        f"sqlite:///{tmp_path}/nowhere.db",
        "postgresql+psycopg://canary:secret@localhost:1/cdm",
        "nodialect://canary:secret@localhost/cdm",
        "postgresql+psycopg://canary:secret@[/cdm",
    ]:
        with pytest.raises(IngestError) as error:
            ingest_omop(url, mapping, tmp_path / "cohort", progress=False)
        assert not {"canary", "secret"} & set(str(error.value).replace("/", " ").replace(":", " ").split())
    assert not (tmp_path / "nowhere.db").exists()


def test_views_of_a_duckdb_file_reach_nothing_outside(mapping, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="the extra ehr is not installed")
    (tmp_path / "outside.csv").write_text(HEADER + GOOD)
    with duckdb.connect(str(tmp_path / "views.db")) as connection:
        connection.execute(f"CREATE VIEW measurement AS SELECT * FROM read_csv('{tmp_path}/outside.csv')")
    with pytest.raises(IngestError, match="the database cannot be read"):
        ingest_omop(tmp_path / "views.db", mapping, tmp_path / "cohort", progress=False)


def test_moments_with_zones_and_fractions_lose_nothing(mapping, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="the extra ehr is not installed")
    mapping["tables"][0]["time"] = {"column": "time", "format": ["%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S.%f%z"]}
    moments = "TIMESTAMPTZ '2020-01-01 12:00:00+02', TIMESTAMPTZ '2020-01-01 10:00:00.25+00'"
    with duckdb.connect(str(tmp_path / "zones.db")) as connection:
        connection.execute(
            f"CREATE TABLE measurement AS SELECT 1 person_id, 3004249 measurement_concept_id, unnest([{moments}])"
            " measurement_datetime, 0.1::DOUBLE + 120 value_as_number, 8876 unit_concept_id"
        )
        connection.execute(f"COPY measurement TO '{tmp_path}/measurement.parquet'")
    for number, source in enumerate((tmp_path / "zones.db", tmp_path / "measurement.parquet")):
        ingest_omop(source, mapping, tmp_path / f"cohort{number}", progress=False)
        found = Cohort.load(tmp_path / f"cohort{number}").observations
        np.testing.assert_allclose(found.time * 86400, [0, 0.25], rtol=1e-12)
        assert set(found.value) == {0.1 + 120}


SECRET = "SeCrEt"
URLS = [
    f"postgresql://user:{SECRET}@host.invalid/db?x={SECRET}",
    f"postgresql+psycopg://user:{SECRET}@localhost:1/db?application_name={SECRET}",
    f"sqlite:///{{folder}}/cdm.db?x={SECRET}",
    f"duckdb://user:{SECRET}@host?x={SECRET}",
    f"nothing://{SECRET}",
]


def told(folder, capsys, caplog, error):
    """All that was written, logged or said."""
    out = capsys.readouterr()
    files = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.suffix in (".json", ".html"))
    return "".join((str(error), repr(error), out.out, out.err, caplog.text, files))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("road", ["reader", "verb"])
def test_a_url_is_never_told(url, road, mapping, tmp_path, capsys, caplog):
    pytest.importorskip("sqlalchemy", reason="the extra ehr is not installed")
    caplog.set_level("DEBUG")
    (tmp_path / "given").mkdir()
    source, output = url.format(folder=tmp_path / "given"), tmp_path / "cohort"
    with pytest.raises(IngestError) as error:
        if road == "reader":
            ingest(OmopReader(), source, mapping, output, progress=False)
        else:
            ingest_omop(source, mapping, output, progress=False)
    assert SECRET not in told(tmp_path, capsys, caplog, error.value)


def test_a_url_is_not_in_the_report(mapping, tmp_path, capsys, caplog):
    pytest.importorskip("sqlalchemy", reason="the extra ehr is not installed")
    caplog.set_level("DEBUG")
    folder = tmp_path / SECRET
    folder.mkdir()
    names = HEADER.strip().split(",")
    with sqlite3.connect(folder / "cdm.db") as connection:
        connection.execute(f"CREATE TABLE measurement ({', '.join(names)})")
        connection.execute(f"INSERT INTO measurement VALUES ({','.join('?' * len(names))})", GOOD.strip().split(","))
    report = ingest(OmopReader(), f"sqlite:///{folder}/cdm.db", mapping, tmp_path / "cohort", progress=False)
    print_summary(report)
    assert report.source == "sqlite database" and SECRET not in told(tmp_path, capsys, caplog, "")


@pytest.mark.parametrize("url", URLS)
def test_no_reader_tells_a_url(url):
    for reader in (CsvReader(), FhirReader(), MedsReader(), NonmemReader(), OmopReader()):
        shown = reader.shown(url)
        assert SECRET not in shown and "host" not in shown and shown.endswith(" database")
