"""The same few measurements in every format that can be ingested, so that one fault can be put into each of them."""

import csv
import io
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from neurotwin.ingest.mapping_file import parse_mapping

CANARY = "canary"
"""Stands in ids and in text that nobody asked for: no message and no report may hold it."""
MASS = {"GLU": 180.156, "CREA": 113.12, "VOL": None}
NUMBER = re.compile(r"(<=|>=|<|>|≤|≥)?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)", re.ASCII)
JSON_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
CLOCK = "%Y-%m-%d %H:%M:%S"
EPOCH = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Row:
    """One measurement as text; ``more`` is put over what a format writes of it, by the format's own names."""

    subject: str = f"{CANARY}-2"
    time: str = "2024-01-02 12:00:00"
    code: str = "GLU"
    value: str = "90"
    unit: str = "mg/dL"
    more: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> "Row":
        return replace(self, **changes)


GOOD = Row(subject=f"{CANARY}-1", time="2024-01-02 10:00:00", value="101")
"""A row that is good in every format; it stands in every file."""


def instant(text: str) -> datetime | None:
    try:
        return (
            datetime.strptime(text, CLOCK if len(text) == 19 else "%Y-%m-%d")
            if text.isascii() and len(text) in (10, 19)
            else None
        )
    except ValueError:
        return None


class Format:
    """A format: its mapping, how it writes rows, and the function that ingests them."""

    name = suffix = ""
    units = True
    """Whether a row tells its unit."""
    free_times = True
    """Whether a time may be any text."""

    def plan(self) -> dict[str, Any]:
        """The mapping as plain data."""
        zones = {"zones": "utc"} if self.name == "fhir" else {}
        codes = self.codes()
        return {
            "name": "corpus",
            "time_unit": "h",
            "index": {"event": "first measurement", "at": "first"},
            "split_key": "corpus",
            "pseudonymise": "none",
            "not_after": "2030-01-01",
            "variables": [
                {"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]},
                {"name": "creatinine", "unit": "mg/dL", "plausible": [0.1, 30], "transform": "log"},
                {"name": "volume", "unit": "mL", "plausible": [0, 1e6]},
            ],
            "tables": [
                {
                    "layout": "long",
                    "subject": "id",
                    "time": {"column": "time", "format": [CLOCK, "%Y-%m-%d"], **zones},
                    "code": "code",
                    "value": "value",
                    "unit": "unit",
                    "variables": [
                        {"variable": "glucose", "codes": [codes["GLU"]], "molar_mass": MASS["GLU"]},
                        {"variable": "creatinine", "codes": [codes["CREA"]], "molar_mass": MASS["CREA"]},
                        {"variable": "volume", "codes": [codes["VOL"]]},
                    ],
                    **self.columns(),
                }
            ],
        }

    def columns(self) -> dict[str, Any]:
        return {}

    def codes(self) -> dict[str, str]:
        return {code: code for code in MASS}

    @cached_property
    def mapping(self):
        return parse_mapping(self.plan())

    def encode(self, rows: list[Row]) -> bytes:
        raise NotImplementedError

    def refuses(self, row: Row) -> bool:
        """Whether a row may make the whole file one that is refused."""
        return any(mark in cell for mark in "\0\n\r" for cell in (row.subject, row.time, row.code, row.value, row.unit))

    def write(self, folder: Path, rows: list[Row]) -> Path:
        path = folder / f"{self.file}{self.suffix}"
        path.write_bytes(self.encode(rows))
        return path

    file = "data"


def delimited(header: list[str], rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([header, *rows])
    return out.getvalue().encode("utf-8", "surrogatepass")
