"""Sources of the other formats, generated: the same two signals and one drug of invented patients in each of them.

Each function writes so many rows into a folder and returns the source; `MAPPINGS` has the mapping of each.
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 100_000
EACH = 500
"""Rows of a patient, an hour apart."""
VARIABLES = [{"name": "systolic", "unit": "mm[Hg]"}, {"name": "diastolic", "unit": "mm[Hg]"}]
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
BASE = {"name": "ward", "time_unit": "h", "split_key": "ward", "pseudonymise": "none", "variables": VARIABLES}
DATED = BASE | {"index": {"event": "first measurement", "at": "first"}, "not_after": "2025-12-31"}


def _long(codes: tuple[str, str], declared: str | None, **table: Any) -> dict[str, Any]:
    names = ("systolic", "diastolic")
    variables = [
        {"variable": n, "codes": [c]} | ({"unit": declared} if declared else {})
        for n, c in zip(names, codes, strict=True)
    ]
    return {"layout": "long", "variables": variables, **table}


_CDM = _long(
    ("3004249", "3012888"),
    None,
    table="MEASUREMENT",
    subject="person_id",
    code="code",
    value="value",
    time={"column": "time", "format": ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]},
    unit="unit_concept_id",
    units={"8876": "mm[Hg]"},
)
MAPPINGS: dict[str, dict[str, Any]] = {
    "omop": DATED | {"tables": [_CDM]},
    "meds": DATED
    | {
        "tables": [
            _long(
                ("LOINC//8480-6", "LOINC//8462-4"),
                "mm[Hg]",
                subject="subject_id",
                code="code",
                value="value",
                time={"column": "time", "format": "%Y-%m-%d %H:%M:%S.%f"},
            )
        ]
    },
    "fhir": DATED
    | {
        "tables": [
            _long(
                ("http://loinc.org|8480-6", "http://loinc.org|8462-4"),
                None,
                table="Observation",
                subject="subject",
                code="code",
                value="value",
                unit="unit",
                time={"column": "time", "format": "%Y-%m-%dT%H:%M:%S%z"},
            )
        ]
    },
    "nonmem": BASE
    | {
        "index": {"event": "first dose", "at": "zero"},
        "treatments": [{"name": "drug", "unit": "mg", "kind": "bolus"}],
        "tables": [
            _long(
                ("1", "2"),
                "mm[Hg]",
                subject="ID",
                code="code",
                value="value",
                time={"column": "time", "unit": "h"},
                post_dose={"after_dose": ["1"]},
                treatments=[{"treatment": "drug", "column": "bolus_amount", "unit": "mg"}],
            )
        ],
    },
}


def _signals(first: int, count: int, random: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Patient, moment, which of the two, and value of some rows."""
    row = first + np.arange(count)
    moment = np.datetime64("2024-01-01T00:00:00") + (row % EACH).astype("timedelta64[h]")
    return row // EACH, moment, row % 2, np.round(random.normal(120, 15, count), 1)


def _chunks(rows: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    random = np.random.default_rng(1)
    for first in range(0, rows, CHUNK):
        yield _signals(first, min(CHUNK, rows - first), random)


def omop(folder: Path, rows: int) -> str:
    """MEASUREMENT.csv with the columns of the data model that are usually filled."""
    with (folder / "MEASUREMENT.csv").open("w") as file:
        file.write(
            "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,"
            "operator_concept_id,value_as_number,unit_concept_id,measurement_source_value\n"
        )
        number = 0
        for who, moment, which, value in _chunks(rows):
            times = np.datetime_as_string(moment)
            for one, time, k, x in zip(who.tolist(), times.tolist(), which.tolist(), value.tolist(), strict=True):
                number, concept = number + 1, (3004249, 3012888)[k]
                moment_text = time.replace("T", " ")
                file.write(f"{number},{one},{concept},{time[:10]},{moment_text},0,{x},8876,8480-6\n")
    return str(folder)


def meds(folder: Path, rows: int) -> str:
    """One parquet file."""
    types = [("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string())]
    schema = pa.schema([*types, ("numeric_value", pa.float32())])
    (folder / "data").mkdir()
    with pq.ParquetWriter(folder / "data/0.parquet", schema) as writer:
        for who, moment, which, value in _chunks(rows):
            codes = np.array(["LOINC//8480-6", "LOINC//8462-4"])[which]
            arrays = [pa.array(who), pa.array(moment.astype("datetime64[us]")), pa.array(codes.tolist())]
            writer.write_table(pa.table([*arrays, pa.array(value.astype(np.float32))], schema=schema))
    return str(folder)


def nonmem(folder: Path, rows: int) -> str:
    """A comma-separated table; each tenth row is a dose."""
    path = folder / "pk.csv"
    with path.open("w") as file:
        file.write("ID,TIME,AMT,RATE,EVID,MDV,DV,DVID,ADDL,II,WT\n")
        hour = 0
        for who, _, which, value in _chunks(rows):
            for one, k, x in zip(who.tolist(), which.tolist(), value.tolist(), strict=True):
                hour += 1
                dose = hour % 10 == 1
                cells = f"{x},.,1,1,.,." if dose else f".,.,0,0,{x},{k + 1}"
                file.write(f"{one},{hour % EACH},{cells},.,.,70\n")
    return str(path)


def fhir(folder: Path, rows: int) -> str:
    """A bulk export of Observations, every other with a code that is not mapped, as in real records."""
    path = folder / "Observation.ndjson"
    number = 0
    with path.open("w") as file:
        for who, moment, which, value in _chunks(rows):
            for one, time, k, x in zip(who.tolist(), moment.tolist(), which.tolist(), value.tolist(), strict=True):
                number += 1
                code = ("8480-6", "8462-4")[k] if number % 4 < 2 else "72514-3"
                quantity = {"value": x, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
                resource = {
                    "resourceType": "Observation",
                    "id": f"o{number}",
                    "meta": {"versionId": "1", "lastUpdated": "2024-02-01T00:00:00Z"},
                    "status": "final",
                    "category": [{"coding": [{"system": "http://hl7.org/fhir/category", "code": "vital-signs"}]}],
                    "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "signal"}]},
                    "subject": {"reference": f"Patient/p{one}"},
                    "effectiveDateTime": f"{time.isoformat()}Z",
                    "valueQuantity": quantity,
                }
                file.write(json.dumps(resource) + "\n")
    return str(path)


@contextmanager
def postgresql(rows: int) -> Iterator[str]:
    """The URL of a PostgreSQL of its own, with a socket and no port, in which MEASUREMENT has so many rows.

    It refuses to run as root, so root hands it to the user nobody.
    """
    folder = tempfile.mkdtemp(prefix="pg")
    prefix = []
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        prefix = ["runuser", "-u", "nobody", "--"]

    def run(name: str, *words: str) -> None:
        command = [*prefix, str(BINARIES[-1].parent / name), *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    run("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "owner", "-E", "UTF8", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
    try:
        sql = f"""
            CREATE TABLE measurement AS SELECT n::bigint AS measurement_id, (n / {EACH})::bigint AS person_id,
            (ARRAY[3004249, 3012888])[1 + n % 2] AS measurement_concept_id, date '2024-01-01' AS measurement_date,
            timestamp '2024-01-01' + (n % {EACH}) * interval '1 hour' AS measurement_datetime,
            0 AS operator_concept_id, (100 + n % 400 / 10.0)::double precision AS value_as_number,
            8876 AS unit_concept_id, '8480-6'::varchar(50) AS measurement_source_value
            FROM generate_series(0, {rows - 1}) AS n;
            ALTER TABLE measurement ADD PRIMARY KEY (measurement_id);
            CREATE USER reader; GRANT SELECT ON measurement TO reader; ANALYZE"""
        run("psql", "-q", "-h", folder, "-U", "owner", "-d", "postgres", "-c", sql)
        yield f"postgresql+psycopg://reader@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)
