"""The pilot in a real PostgreSQL, which the test starts for itself: own cluster, own folder, a socket and no port."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from omop_cases import MAPPING, PILOT, TABLES, assert_same, rows_of
from postgresql_cluster import BINARIES, Cluster

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.omop import ingest_omop

pytestmark = pytest.mark.service
KINDS = {"value_as_number": "double precision", "quantity": "numeric"}


def kind_of(column):
    """The type that the data model's DDL gives a column."""
    if column.endswith("_id") or column.startswith("year"):
        return "integer"
    if column.endswith("_datetime"):
        return "timestamp"
    return "date" if column.endswith("_date") else KINDS.get(column, "varchar(50)")


@pytest.fixture(scope="module")
def cluster():
    """The pilot in the schema cdm, and a user who may only read it."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed")
    psycopg = pytest.importorskip("psycopg", reason="the extra ehr is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra ehr is not installed")
    if not PILOT.is_dir():
        pytest.skip("the sample cross_format_pilot is not here")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    own = Cluster(folder, BINARIES[-1].parent)
    try:
        own.start()
        try:
            with psycopg.connect(host=str(folder), user="owner", dbname="postgres", autocommit=True) as connection:
                fill(connection)
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(folder)


def fill(connection):
    connection.execute("CREATE SCHEMA cdm")
    for name in TABLES:
        header, rows = rows_of(name)
        columns = ", ".join(f"{one} {kind_of(one)}" for one in header)
        connection.execute(f"CREATE TABLE cdm.{name.lower()} ({columns})")
        with connection.cursor().copy(f"COPY cdm.{name.lower()} FROM STDIN") as copy:
            for row in reversed(rows):
                copy.write_row([one or None for one in row])
    connection.execute(
        "CREATE SCHEMA odd; CREATE TABLE odd.measurement (measurement_id bigint PRIMARY KEY, person_id bigint,"
        " measurement_concept_id integer, measurement_datetime timestamptz, value_as_number numeric,"
        " unit_concept_id integer);"
        "INSERT INTO odd.measurement VALUES"
        " (1, 9007199254740993, 3004249, '2020-01-01 12:00+02', 120.50, 8876),"
        " (2, 9007199254740993, 3004249, '2020-01-01 10:00:00.25+00', 120.125, 8876),"
        " (3, 9007199254740993, 3004249, 'infinity', 120, 8876),"
        " (4, 9007199254740993, 3004249, '2020-01-03 10:00+00', 'NaN', 8876),"
        " (5, 9007199254740993, 3004249, NULL, 120, 8876);"
        "CREATE USER reader; GRANT USAGE ON SCHEMA cdm, odd TO reader;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA cdm, odd TO reader"
    )


def test_a_database_gives_the_same_cohort_as_the_files(cluster, tmp_path):
    expected = ingest_csv(PILOT / "csv", "cross_format_csv", tmp_path / "csv", progress=False)
    url = cluster.url("reader", "&schema=cdm")
    report = ingest_omop(url, "cross_format_omop", tmp_path / "cohort", progress=False)
    assert report.balanced
    assert_same(*(Cohort.load(tmp_path / name, verify=True) for name in ("cohort", "csv")))
    assert report.totals.as_dict() == expected.totals.as_dict()
    again = ingest_omop(url, "cross_format_omop", tmp_path / "again", progress=False)
    assert again.sha256 == report.sha256
    assert [one.as_dict() for one in again.files] == [one.as_dict() for one in report.files]
    written = (tmp_path / "cohort/ingest_report.json").read_text()
    assert "reader@" not in written and str(cluster.folder) not in written


def test_the_mapping_may_name_the_schema(cluster, tmp_path):
    mapping = {**MAPPING, "tables": [{**MAPPING["tables"][0], "table": "odd.MEASUREMENT"}]}
    moments = ["%Y-%m-%d %H:%M:%S%z", "%Y-%m-%d %H:%M:%S.%f%z"]
    mapping["tables"][0]["time"] = {"column": "measurement_datetime", "format": moments}
    report = ingest_omop(cluster.url("reader"), mapping, tmp_path / "cohort", progress=False)
    assert report.balanced and report.files[0].accepted == 2
    assert report.files[0].rejected == {"time_unreadable": 1, "value_not_finite": 1, "time_missing": 1}
    cohort = Cohort.load(tmp_path / "cohort")
    assert cohort.ids.tolist() == ["9007199254740993"] and cohort.observations.value.tolist() == [120.5, 120.125]
    np.testing.assert_allclose(cohort.observations.time * 86400, [0, 0.25], rtol=1e-12)


def test_what_the_database_refuses_is_one_line(cluster, tmp_path):
    for url, message in [
        (cluster.url("reader"), "no table MEASUREMENT"),
        (cluster.url("reader", "&schema=nowhere"), "no table MEASUREMENT"),
        (cluster.url("canary", "&schema=cdm"), "did not answer"),
    ]:
        with pytest.raises(IngestError, match=message) as error:
            ingest_omop(url, MAPPING, tmp_path / "cohort", progress=False)
        assert "canary" not in str(error.value) and "\n" not in str(error.value)


def test_the_connection_cannot_write(cluster):
    """Not even the owner's."""
    import sqlalchemy

    from neurotwin.ingest.omop.sql import SqlSource, _connection

    source = SqlSource(cluster.url("owner", "&schema=cdm"))
    with (
        pytest.raises(IngestError, match="did not answer"),
        _connection(source._engine, source.name) as connection,
    ):
        connection.execute(sqlalchemy.text("DELETE FROM cdm.person"))
    (table,) = source.find("person")
    assert sum(len(batch) for batch in table.read(["person_id"], lambda size: None)) == 36
