"""The pilot's OMOP tables in every form that the reader takes, and small tables of one's own."""

import csv
import os
import sqlite3
import zipfile
from pathlib import Path

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.ingest.omop import ingest_omop
from neurotwin.ingest.report import IngestReport

SAMPLES = Path(os.environ.get("NEUROTWIN_SAMPLES", Path(__file__).resolve().parents[3] / "shared/data"))
PILOT = SAMPLES / "cross_format_pilot"
SYNTHEA = SAMPLES / "omop_cdm54/Synthea27Nj_5.4.zip"
TABLES = ("MEASUREMENT", "DRUG_EXPOSURE", "PERSON")

MAPPING = {
    "name": "ward",
    "time_unit": "d",
    "index": {"event": "first measurement", "at": "first"},
    "split_key": "ward",
    "pseudonymise": "none",
    "not_after": "2030-01-01",
    "variables": [{"name": "pressure", "unit": "mm[Hg]", "plausible": [10, 300]}],
    "tables": [
        {
            "table": "MEASUREMENT",
            "layout": "long",
            "subject": "person_id",
            "time": {"column": "time", "format": ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]},
            "code": "measurement_concept_id",
            "value": "value",
            "unit": "unit_concept_id",
            "units": {"8876": "mm[Hg]"},
            "variables": [{"variable": "pressure", "codes": ["3004249"]}],
        }
    ],
}
HEADER = (
    "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,operator_concept_id,"
    "value_as_number,unit_concept_id,measurement_source_value,unit_source_value\n"
)
GOOD = "1,1,3004249,2020-01-01,2020-01-01 10:00:00,0,120,8876,8480-6,mm[Hg]\n"


def rows_of(name):
    """Header and rows of a table of the pilot."""
    with (PILOT / f"omop_cdm54_csv/{name}.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def typed(name, text):
    """A cell as a database would hold it."""
    if text == "":
        return None
    if name.endswith("_id"):
        return int(text)
    return float(text) if name in ("value_as_number", "quantity") else text


def as_tabs(folder):
    """Tab-delimited files named .csv, names of files in lower case and of columns in upper case with blanks."""
    folder.mkdir()
    for name in TABLES:
        header, rows = rows_of(name)
        lines = ["\t".join(f"{one.upper()} " for one in header), *("\t".join(row) for row in rows)]
        (folder / f"{name.lower()}.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    return folder


def as_zip(path):
    """An archive made on a Mac, its tables in a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in TABLES:
            archive.write(PILOT / f"omop_cdm54_csv/{name}.csv", f"cdm/{name}.csv")
            archive.writestr(f"__MACOSX/cdm/._{name}.csv", b"\0\5\26\7")
    return path


def as_parquet(folder):
    """Typed columns, dates and moments among them; MEASUREMENT in two parts."""
    import pyarrow.csv
    import pyarrow.parquet as pq

    folder.mkdir()
    for name in TABLES:
        table = pyarrow.csv.read_csv(PILOT / f"omop_cdm54_csv/{name}.csv")
        if name == "MEASUREMENT":
            (folder / "Measurement").mkdir()
            pq.write_table(table.slice(0, 2000), folder / "Measurement/part-0.parquet", row_group_size=300)
            pq.write_table(table.slice(2000), folder / "Measurement/part-1.parquet")
        else:
            pq.write_table(table, folder / f"{name}.parquet")
    return folder


def as_duckdb(path):
    """A DuckDB file with typed columns, in a schema of its own."""
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA cdm")
        for name in TABLES:
            source = str(PILOT / f"omop_cdm54_csv/{name}.csv")
            connection.execute(f"CREATE TABLE cdm.{name.lower()} AS SELECT * FROM read_csv(?)", [source])
    return path


def as_sqlite(path):
    """A SQLite file."""
    with sqlite3.connect(path) as connection:
        for name in TABLES:
            header, rows = rows_of(name)
            connection.execute(f"CREATE TABLE {name} ({', '.join(header)})")
            marks = ", ".join("?" * len(header))
            cells = [[typed(one, text) for one, text in zip(header, row, strict=True)] for row in rows]
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", reversed(cells))
    connection.close()
    return path


def row(number, **more):
    """A measurement that is good but for what is named."""
    names = HEADER.strip().split(",")
    cells = dict(zip(names, GOOD.strip().split(","), strict=True)) | {"measurement_id": str(number)}
    cells["measurement_datetime"] = f"2020-01-{number + 1:02d} 10:00:00"
    return ",".join({**cells, **more}[one] for one in names) + "\n"


def assert_same(cohort, expected):
    """The same subjects with the same events; the schemas have the names of their mappings."""
    assert cohort.ids.tolist() == expected.ids.tolist() and cohort.fold.tolist() == expected.fold.tolist()
    for one, other in ((cohort.observations, expected.observations), (cohort.doses, expected.doses)):
        for name in one.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(cohort.statics, expected.statics)


class Ward:
    """A folder of small OMOP tables, and what became of them."""

    def __init__(self, folder):
        self.folder, self.number = folder / "omop", 0
        self.folder.mkdir()

    def __setitem__(self, name, text):
        (self.folder / name).write_text(text)

    def read(self, mapping, source=None) -> IngestReport:
        self.number += 1
        self.output = self.folder.parent / f"cohort{self.number}"
        report = ingest_omop(source or self.folder, mapping, self.output, progress=False)
        assert report.balanced
        self.cohort = Cohort.load(self.output, verify=True)
        return report

    def rejected(self, mapping):
        """Reasons of the measurement table, of which one good row is always accepted."""
        account = self.read(mapping).files[0]
        assert account.accepted >= 1
        return {str(reason): count for reason, count in account.rejected.items()}
