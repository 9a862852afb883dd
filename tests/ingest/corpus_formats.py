"""How each format that can be ingested writes the rows of the corpus."""

import json
import re
from functools import cache
from typing import Any

from corpus import CANARY, EPOCH, JSON_NUMBER, MASS, NUMBER, Format, Row, delimited, instant

from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.fhir import ingest_fhir
from neurotwin.ingest.meds import ingest_meds
from neurotwin.ingest.nonmem import ingest_nonmem
from neurotwin.ingest.omop import ingest_omop


class Csv(Format):
    name, suffix = "csv", ".csv"
    header = ("id", "time", "code", "value", "unit", "note")

    def encode(self, rows):
        cells = [[one.subject, one.time, one.code, one.value, one.unit, f"{CANARY} note"] for one in rows]
        return delimited(list(self.header), cells)

    def ingest(self, source, output, mapping=None):
        return ingest_csv(source, mapping or self.mapping, output, progress=False)


class Omop(Format):
    name, suffix, file = "omop", ".csv", "MEASUREMENT"
    header = (
        "person_id", "measurement_id", "measurement_concept_id", "measurement_date", "measurement_datetime",
        "operator_concept_id", "value_as_number", "unit_concept_id", "measurement_source_value", "unit_source_value",
        "value_source_value",
    )  # fmt: skip
    operators = {"<": "4171756", "<=": "4171754", ">": "4172704", ">=": "4171755"}

    def columns(self):
        return {"table": "MEASUREMENT", "subject": "person_id", "code": "measurement_source_value"}

    def cells(self, row: Row, number: int) -> dict[str, str]:
        found = NUMBER.fullmatch(row.value)
        mark = found and found[1] in self.operators
        cells = {
            "person_id": row.subject,
            "measurement_id": str(number),
            "measurement_concept_id": "0",
            "measurement_date": "",
            "measurement_datetime": row.time,
            "operator_concept_id": self.operators[found[1]] if mark else "0",
            "value_as_number": found[2] if mark else row.value,
            "unit_concept_id": "0",
            "measurement_source_value": row.code,
            "unit_source_value": row.unit,
            "value_source_value": CANARY,
        }
        return cells | row.more

    def encode(self, rows):
        cells = [self.cells(row, number) for number, row in enumerate(rows)]
        return delimited(list(self.header), [[one[name] for name in self.header] for one in cells])

    def ingest(self, source, output, mapping=None):
        return ingest_omop(source, mapping or self.mapping, output, progress=False)


class OmopParquet(Omop):
    name, suffix = "omop parquet", ".parquet"

    def refuses(self, row):
        return False

    def write(self, folder, rows):
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = [self.cells(row, number) for number, row in enumerate(rows)]
        path = folder / f"{self.file}{self.suffix}"
        pq.write_table(pa.table({name: [one[name] for one in cells] for name in self.header}), path)
        return path


class Fhir(Format):
    name, suffix = "fhir", ".ndjson"

    def columns(self):
        formats = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"]
        return {
            "table": "Observation",
            "subject": "subject",
            "time": {"column": "time", "format": formats, "zones": "utc"},
        }

    def codes(self):
        return {code: f"http://lab|{code}" for code in MASS}

    def resource(self, row: Row, number: int) -> dict[str, Any]:
        found = NUMBER.fullmatch(row.value)
        value = found[2] if found and found[1] in ("<", "<=", ">", ">=") else row.value
        quantity = {"value": f"@{value}@" if JSON_NUMBER.fullmatch(value) else value, "code": row.unit}
        if value != row.value:
            quantity["comparator"] = found[1]
        resource = {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "code": {"coding": [{"system": "http://lab", "code": row.code}]},
            "subject": {"reference": f"Patient/{row.subject}"},
            "effectiveDateTime": f"{row.time.replace(' ', 'T')}Z"
            if instant(row.time) and " " in row.time
            else row.time,
            "valueQuantity": quantity | {"system": "http://unitsofmeasure.org"},
            "note": [{"text": f"{CANARY} note"}],
        }
        return {key: item for key, item in (resource | row.more).items() if item is not None}

    def encode(self, rows):
        lines = [json.dumps(self.resource(row, number)) for number, row in enumerate(rows)]
        return "".join(re.sub(r'"@([^"@]*)@"', r"\1", line) + "\n" for line in lines).encode()

    def ingest(self, source, output, mapping=None):
        return ingest_fhir(source, mapping or self.mapping, output, progress=False)


class Meds(Format):
    name, suffix, free_times = "meds", ".parquet", False

    def columns(self):
        time = {"column": "time", "format": "%Y-%m-%d %H:%M:%S.%f"}
        return {"subject": "subject_id", "time": time, "code": "code.1-2", "unit": "code.3"}

    def codes(self):
        return {code: f"LAB//{code}" for code in MASS}

    def refuses(self, row):
        return row.time != "" and instant(row.time) is None

    def table(self, rows: list[Row]):
        """Ids as text, as a data set may have them; a value that is a number as a number, else as text."""
        import pyarrow as pa

        numbers = [float(one.value) if JSON_NUMBER.fullmatch(one.value) else None for one in rows]
        texts = [None if number is not None else one.value or None for one, number in zip(rows, numbers, strict=True)]
        times: Any = [instant(one.time) for one in rows]
        if all(time is not None or one.time == "" for one, time in zip(rows, times, strict=True)):
            times = pa.array(times, pa.timestamp("us"))
        else:
            times = pa.array([one.time for one in rows])
        codes = [f"LAB//{one.code}" + (f"//{one.unit}" if one.unit else "") for one in rows]
        return pa.table({
            "subject_id": pa.array([one.subject or None for one in rows], pa.string()),
            "time": times,
            "code": pa.array([None if one.code == "" else code for one, code in zip(rows, codes, strict=True)]),
            "numeric_value": pa.array(numbers, pa.float64()),
            "text_value": pa.array(texts, pa.large_string()),
            "comment": [f"{CANARY} note"] * len(rows),
        })  # fmt: skip

    def write(self, folder, rows):
        import pyarrow.parquet as pq

        pq.write_table(self.table(rows), folder / "data.parquet")
        return folder / "data.parquet"

    def ingest(self, source, output, mapping=None):
        return ingest_meds(source, mapping or self.mapping, output, progress=False)


class Nonmem(Format):
    name, suffix, units = "nonmem", ".csv", False
    header = ("ID", "TIME", "AMT", "EVID", "MDV", "DV", "DVID", "NOTE")

    def refuses(self, row):
        """A clock time is no number of hours, so the mapping does not fit."""
        return super().refuses(row) or ":" in row.time and instant(row.time) is None

    def plan(self):
        plan = super().plan()
        plan["index"]["at"] = "zero"
        for one, unit in zip(plan["tables"][0]["variables"], ("mg/dL", "mg/dL", "mL"), strict=True):
            one["unit"] = unit
        del plan["tables"][0]["unit"], plan["not_after"]
        return plan

    def columns(self):
        return {"subject": "ID", "time": {"column": "time", "unit": "h"}}

    def codes(self):
        return {code: str(number) for number, code in enumerate(MASS, start=1)}

    def encode(self, rows):
        codes, cells = self.codes(), []
        for one in rows:
            moment = instant(one.time) if " " in one.time else None
            time = str((moment - EPOCH).total_seconds() / 3600) if moment else one.time
            cells.append([one.subject, time, ".", "0", "0", one.value, codes.get(one.code, one.code), f"{CANARY} note"])
        return delimited(list(self.header), cells)

    def ingest(self, source, output, mapping=None):
        return ingest_nonmem(source, mapping or self.mapping, output, progress=False)


@cache
def formats() -> dict[str, Format]:
    """Every format by its name."""
    return {one.name: one for one in (Csv(), Fhir(), Omop(), OmopParquet(), Meds(), Nonmem())}


TEXT = ("csv", "fhir", "omop", "nonmem")
"""Formats of text, which a fault in bytes can be put into."""
ALL = (*TEXT, "omop parquet", "meds")
