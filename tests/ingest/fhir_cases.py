"""Small FHIR resources, a mapping for them, and a way to ingest them."""

import copy
import json
import os
import shutil
from pathlib import Path

from neurotwin.cohort import Cohort
from neurotwin.ingest.fhir import ingest_fhir

SAMPLES = Path(os.environ.get("NEUROTWIN_SAMPLES", Path(__file__).parents[3] / "shared" / "data"))
"""Third-party samples beside the project; tests that need them are skipped where they are not."""
UCUM = "http://unitsofmeasure.org"
FORMATS = ["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%d"]


def when(column):
    return {"column": column, "format": FORMATS, "zones": "utc"}


MAPPING = {
    "name": "fhir_ward",
    "time_unit": "h",
    "index": {"event": "first measurement", "at": "first"},
    "split_key": "ward",
    "pseudonymise": "none",
    "variables": [
        {"name": "glucose", "unit": "mg/dL", "plausible": [10, 2000]},
        {"name": "systolic", "unit": "mm[Hg]", "plausible": [30, 320]},
        {"name": "diastolic", "unit": "mm[Hg]", "plausible": [10, 200]},
        {"name": "smoker", "unit": "1", "plausible": [0, 1]},
    ],
    "treatments": [
        {"name": "insulin", "unit": "[iU]/h", "kind": "infusion"},
        {"name": "shot", "unit": "mg", "kind": "bolus"},
    ],
    "statics": [{"name": "sex", "levels": ["f", "m"]}],
    "tables": [
        {
            "table": "Observation",
            "layout": "long",
            "subject": "subject",
            "time": when("time"),
            "code": "code",
            "value": "value",
            "unit": "unit",
            "variables": [
                {"variable": "glucose", "codes": ["http://loinc.org|2345-7", "http://lab|GLU"], "molar_mass": 180.156},
                {"variable": "systolic", "codes": ["http://loinc.org|8480-6"]},
                {"variable": "diastolic", "codes": ["http://loinc.org|8462-4"]},
                {
                    "variable": "smoker",
                    "codes": ["http://loinc.org|72166-2"],
                    "unit": "1",
                    "values": {"http://s|no": 0},
                },
            ],
        },
        {
            "table": "MedicationAdministration",
            "layout": "visits",
            "subject": "subject",
            "time": when("start"),
            "treatments": [
                {
                    "treatment": "insulin",
                    "column": "rate",
                    "unit_column": "rate_unit",
                    "when": {"code": ["http://rx|INS"]},
                    "stop": when("end"),
                },
                {
                    "treatment": "shot",
                    "column": "dose",
                    "unit_column": "dose_unit",
                    "when": {"code": ["http://rx|ASS"]},
                },
            ],
        },
        {
            "table": "Patient",
            "layout": "visits",
            "subject": "subject",
            "statics": [{"static": "sex", "column": "gender", "levels": {"female": "f", "male": "m"}}],
        },
    ],
}


def mapping(*tables, **more):
    """The mapping with some of its tables and what they hold, to be changed at will."""
    plan = copy.deepcopy(MAPPING) | more
    if tables:
        plan["tables"] = [table for table in plan["tables"] if table["table"] in tables]
        for group, key in (("variables", "variable"), ("treatments", "treatment"), ("statics", "static")):
            used = {item[key] for table in plan["tables"] for item in table.get(group, [])}
            plan[group] = [item for item in plan[group] if item["name"] in used]
    return plan


def concept(*codings, text=None):
    """A CodeableConcept of ``system|code`` texts."""
    found = {"coding": [dict(zip(("system", "code"), one.rsplit("|", 1), strict=True)) for one in codings]}
    return found | ({"text": text} if text else {})


def quantity(value, unit="mg/dL", **more):
    return {"value": value, "unit": unit, "system": UCUM, "code": unit} | more


def observation(value=90.0, *, id="o1", code="http://loinc.org|2345-7", time="2024-03-01T10:00:00Z", **more):
    """A final observation of patient p1; None removes a key."""
    found = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": concept(code),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": time,
        "valueQuantity": quantity(value),
    } | more
    return {key: item for key, item in found.items() if item is not None}


def pressure(**more):
    parts = [("http://loinc.org|8480-6", 120), ("http://loinc.org|8462-4", 80)]
    component = [{"code": concept(code), "valueQuantity": quantity(value, "mm[Hg]")} for code, value in parts]
    panel = {"code": "http://loinc.org|85354-9", "valueQuantity": None, "component": component}
    return observation(**panel | more)


def given(code="http://rx|INS", **more):
    """An infusion of insulin at 6 mL per 2 hours... of 1 IU/mL: 3 IU/h, from 10 to 12 o'clock."""
    rate = {"numerator": quantity(6, "[iU]"), "denominator": quantity(2, "h")}
    found = {
        "resourceType": "MedicationAdministration",
        "id": "m1",
        "status": "completed",
        "medicationCodeableConcept": concept(code),
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2024-03-01T10:00:00Z", "end": "2024-03-01T12:00:00Z"},
        "dosage": {"rateRatio": rate},
    } | more
    return {key: item for key, item in found.items() if item is not None}


def patient(id="p1", **more):
    return {"resourceType": "Patient", "id": id, "gender": "female", "birthDate": "1960-02-01"} | more


def bundle(*resources, kind="transaction", urls=()):
    entries = [{"resource": one} | ({"fullUrl": url} if url else {}) for one, url in _with(resources, urls)]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def _with(resources, urls):
    return zip(resources, [*urls, *[None] * (len(resources) - len(urls))], strict=True)


def ndjson(*resources):
    return "".join(json.dumps(one) + "\n" for one in resources).encode()


class Fhir:
    """Writes files and ingests them; ``report`` and ``cohort`` of the last time stay to be looked at."""

    def __init__(self, folder):
        self.folder, self.source, self.output = folder, folder / "source", folder / "cohort"

    def __call__(self, *resources, plan=None, **files):
        """Ingest resources as one NDJSON file, or ``files`` by their names (``__`` for the dot)."""
        shutil.rmtree(self.source, ignore_errors=True)
        shutil.rmtree(self.output, ignore_errors=True)
        self.source.mkdir()
        contents = {name.replace("__", "."): content for name, content in files.items()}
        if resources:
            contents["all.ndjson"] = ndjson(*resources)
        for name, content in contents.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            (self.source / name).write_bytes(data)
        self.report = ingest_fhir(self.source, plan or mapping("Observation"), self.output, progress=False)
        assert self.report.balanced
        self.cohort = Cohort.load(self.output, verify=True)
        return self.cohort

    @property
    def totals(self):
        return self.report.totals

    @property
    def rejected(self):
        """Reasons of the rows, by name."""
        return {str(reason): count for reason, count in self.totals.rejected.items()}

    @property
    def seen(self):
        """(subject, variable, hours, value, censor) of each observation."""
        rows, names = self.cohort.observations, [one.name for one in self.cohort.schema.variables]
        return [
            (str(self.cohort.ids[s]), names[v], float(t), float(x), int(c))
            for s, v, t, x, c in zip(rows.subject, rows.variable, rows.time, rows.value, rows.censor, strict=True)
        ]
