"""Faults of rows: of a cell, of two rows at odds, and those that only one format knows."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from corpus import CANARY, JSON_NUMBER, Row
from corpus_formats import ALL

Kept = tuple[float, int] | None
NAMED = ("csv", "fhir", "omop", "omop parquet", "meds")
"""Formats whose rows tell their unit."""


@dataclass(frozen=True)
class Fault:
    """A row, or several, that stand behind a good one.

    Attributes:
        rows: what is written.
        kept: value and censoring of the one measurement that they give; None where they give none.
        formats: that can say so.
        unless: another ``kept`` in some formats.
    """

    rows: tuple[Row, ...]
    kept: Kept = None
    formats: tuple[str, ...] = ALL
    unless: tuple[tuple[str, Kept], ...] = ()

    def kept_in(self, name: str) -> Kept:
        return dict(self.unless).get(name, self.kept)


PLAIN = Row()

VALUES: dict[str, Kept] = {
    ">500": (500, 1), "< 50": (50, -1), "<=50": (50, -1), "≥500": (500, 1), "+90": (90, 0), "9.0E1": (90, 0),
    " 90 ": (90, 0), ".9e2": (90, 0), "090": (90, 0), "<0.5": None, ">5000": None, "5,6": None, "1,200": None,
    "1.200,5": None, "1 200": None, "1'200": None, "1_200": None, "inf": None, "-Infinity": None, "nan": None,
    "1e400": None, "1e-400": None, "--": None, "neg": None, "1+": None, "+-90": None, "<<50": None, "<": None,
    "90-100": None, "0x5A": None, "٩٠": None, "9０": None, "90mg/dL": None, "=90": None, "=cmd|'/C calc'!A0": None,
    "true": None, "-90": None, "0": None, "": None, " ": None, ".": None, "NA": None, "#REF!": None,
    "9" * 400: None, CANARY: None, "90\u2028": (90, 0), "\u200b90": None, "<!--": None, "𝟗𝟎": None, "90;91": None,
    "90/60": None, "90 H": None,
}  # fmt: skip
UNITS: dict[str, Kept] = {
    "mmol/L": (1621.404, 0), "g/L": None, "mg/dl": (90, 0), "": None, " ": None, "mgdl": None, "mg%": None,
    "pints of beer": None, "{score}": None, "kg": None, "ML": None, "µmol/L": None, "10*99999999/L": None,
    "(" * 39: None, "g" * 5000: None, CANARY: None, "1": None, "%": None, "mg/dL/": None, "mg//dL": None,
    "mg/0L": None, "-1": None, "10*-999.mg/dL": None, "[lb_av]/L": None, "mmol/mol": None, "null": None,
    "mg/dL\x00": None, "8840": None,
}  # fmt: skip
TIMES = (
    "", " ", "monday", "03/01/2024", "01/03/2024", "13/01/2024", "24-01-03", "2024-01", "2024-02-30", "2023-02-29",
    "2024-01-03 24:00:00", "2024-01-03 23:59:60", "2024-01-03T10:00+0100", "1970-01-01", "0001-01-01", "9999-12-31",
    "1900-01-01", "1899-12-30", "2031-01-01", "inf", "<3", "٢٠٢٤-01-03", CANARY, "=NOW()", "2024-01-03x",
    "x" * 10_000,
)  # fmt: skip
CODES = ("", " ", "glu", "GLU2", "XYZ", CANARY, "=GLU", "0", "GLU|CREA", "GLU\u200b", "x" * 10_000)
IDS = (
    "007", "7", "NA", "null", "None", "nan", "1E5", "100000", "9007199254740993", "18446744073709551617", "0x10",
    "true", "-1", "00", "1e400", "=1+1", "Jörg", "a b", "a/b", "../a", "a" * 60, "a" * 300, "", " ", "a\x1bb",
    "a\tb", "\ufeffa", "null\u202e", "1.50", "-0", "'", '"', "a,b", "INF", "2024-01-01", "#1", "TABLE", "C", "٣",
)  # fmt: skip


def cells() -> dict[str, Fault]:
    """Faults of one cell."""
    found: dict[str, Fault] = {}
    for text, kept in VALUES.items():
        json_only = kept if JSON_NUMBER.fullmatch(re.sub("^[<>]=? ?", "", text)) else None
        found[f"value {_short(text)}"] = Fault((PLAIN.but(value=text),), kept, unless=(("fhir", json_only),))
    for text, kept in UNITS.items():
        found[f"unit {_short(text)}"] = Fault((PLAIN.but(unit=text),), kept, NAMED)
    for text in TIMES:
        found[f"time {_short(text)}"] = Fault((PLAIN.but(time=text),))
    for text in CODES:
        found[f"code {_short(text)}"] = Fault((PLAIN.but(code=text),))
    twin = PLAIN.but(more={"id": "twin"})
    found["the same twice"] = Fault((PLAIN, PLAIN), (90, 0))
    found["a conflict"] = Fault((PLAIN, PLAIN.but(value="91")))
    found["a conflict of units"] = Fault((PLAIN, PLAIN.but(value="0.91", unit="g/L")), None, NAMED)
    found["creatinine of another unit"] = Fault((PLAIN.but(code="CREA", value="88"),))
    found["one id, two contents"] = Fault((twin, twin.but(value="91")), None, ("fhir",))
    return found


def _short(text: str) -> str:
    return re.sub(r"[^!-~]", "_", text)[:20] or "missing"


def _omop(kept: Kept = None, **more: Any) -> Fault:
    return Fault((PLAIN.but(more=more),), kept, ("omop", "omop parquet"))


def _fhir(kept: Kept = None, **more: Any) -> Fault:
    return Fault((PLAIN.but(more=more),), kept, ("fhir",))


QUANTITY = {"value": 90, "code": "mg/dL", "system": "http://unitsofmeasure.org"}


def own() -> dict[str, Fault]:
    """Faults that only one format knows."""
    absent = {"coding": [{"code": "unknown"}]}
    return {
        "an operator that is none": _omop(operator_concept_id="4170000"),
        "an operator of text": _omop(operator_concept_id="<"),
        "no code but a concept": _omop(measurement_source_value="", measurement_concept_id="3004249"),
        "a unit's concept alone": _omop(unit_source_value="", unit_concept_id="8840"),
        "a date alone": _omop((90, 0), measurement_datetime="", measurement_date="2024-01-03"),
        "entered in error": _fhir(status="entered-in-error"),
        "cancelled": _fhir(status="cancelled"),
        "no status": _fhir(status=None),
        "a status that is none": _fhir(status=CANARY),
        "a reason for no value": _fhir(valueQuantity=None, dataAbsentReason=absent),
        "a value and a reason for none": _fhir(dataAbsentReason=absent),
        "two values": _fhir(valueInteger=90),
        "a value of text": _fhir(valueQuantity=None, valueString="90 mg/dL"),
        "a range": _fhir(valueQuantity=None, valueRange={"low": QUANTITY, "high": QUANTITY}),
        "a value in quotes": _fhir((90, 0), valueQuantity=QUANTITY | {"value": "90"}),
        "a value of true": _fhir(valueQuantity=QUANTITY | {"value": True}),
        "a comparator that is none": _fhir(valueQuantity=QUANTITY | {"comparator": "~"}),
        "no unit at all": _fhir(valueQuantity={"value": 90}),
        "a unit in words": _fhir(valueQuantity={"value": 90, "unit": "milligrams"}),
        "a unit of another system": _fhir(valueQuantity=QUANTITY | {"system": "http://other"}),
        "a modifier": _fhir(modifierExtension=[{"url": "http://x", "valueBoolean": True}]),
        "rules": _fhir(implicitRules="http://x"),
        "no subject": _fhir(subject=None),
        "a group": _fhir(subject={"reference": "Group/1"}),
        "a reference to nothing": _fhir(subject={"reference": "#p"}),
        "a uuid that leads nowhere": _fhir(subject={"reference": f"urn:uuid:{CANARY}"}),
        "a name for a subject": _fhir(subject={"display": CANARY}),
        "a list for a subject": _fhir(subject=[{"reference": "Patient/1"}]),
        "no code": _fhir(code=None),
        "an empty code": _fhir(code={"coding": []}),
        "a code of another system": _fhir(code={"coding": [{"system": "http://b", "code": "GLU"}]}),
        "two codes at odds": _fhir(code={"coding": [{"system": "http://lab", "code": c} for c in ("GLU", "CREA")]}),
        "a component of it all": _fhir(component=[{"code": {"text": CANARY}}], valueQuantity=None),
        "a part of a date": _fhir(effectiveDateTime="2024-03"),
        "a naive time": _fhir((90, 0), effectiveDateTime="2024-03-01T10:00:00"),  # the mapping has zones: utc
        "a number for a unit": _fhir(
            valueQuantity=QUANTITY | {"system": "http://snomed.info/sct", "code": "258797006"}
        ),
        "two times": _fhir(effectiveInstant="2024-03-01T10:00:00Z"),
        "no type": _fhir(resourceType=None),
        "another type": _fhir(resourceType=CANARY),
    }


def row_faults() -> list[tuple[str, str, Fault]]:
    """Each fault of rows with each format that can say so."""
    known = cells() | own()
    return [(name, kind, fault) for kind, fault in known.items() for name in fault.formats]


ALWAYS = ("unit missing",)
"""Kinds that the quick run has in all formats."""


def sampled(cases: list[tuple[str, ...]], quick: int = 3) -> list[Any]:
    """Parameters of tests: each kind in every third format by turns, the rest of them in full runs only.

    Args:
        cases: format, kind and what else the test takes (the kind is left out of it), kind by kind.
        quick: one of how many is in the quick run.
    """
    kinds: dict[str, list[tuple[Any, ...]]] = {}
    for case in cases:
        kinds.setdefault(case[1], []).append(case)
    found = []
    for number, alike in enumerate(kinds.values()):
        for at, (name, kind, *rest) in enumerate(alike):
            marks = [pytest.mark.full] if len(alike) >= quick and (number + at) % quick and kind not in ALWAYS else []
            found.append(pytest.param(name, *(rest or [kind]), id=f"{name}-{kind}", marks=marks))
    return found
