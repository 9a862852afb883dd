"""What a MEDS data set made from a cohort needs besides its events: a table of codes, and the mapping back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.inventory.meds_events import TIME_ZERO, Events, value_codes
from neurotwin.schema import Schema, Static, Treatment

FORMAT = "%Y-%m-%d %H:%M:%S.%f"
_FLAGS = {
    (0, False): "",
    (-1, False): ", below the limit",
    (1, False): ", above the limit",
    (0, True): ", after the doses of its instant",
    (-1, True): ", below the limit, after the doses of its instant",
    (1, True): ", above the limit, after the doses of its instant",
}


def code_table(cohort: Cohort, events: Events) -> list[dict[str, Any]]:
    """A row of ``codes.parquet`` for each code that occurs: code, description, parent_codes, unit (UCUM)."""
    schema, used = cohort.schema, set(events.codes)
    event = cohort.provenance.get("index_event") or "time zero"
    rows = [_row(TIME_ZERO, f"index event: {event}", "", None)]
    for variable in schema.variables:
        for code, flags in value_codes(variable.name).items():
            rows.append(_row(code, f"{_words(variable.name)}{_FLAGS[flags]}", variable.code, variable.unit))
    for treatment in schema.treatments:
        for part, what in (("bolus", "given at once"), ("start", "begins"), ("end", "ends")):
            code = f"{treatment.name}//{part}"
            rows.append(_row(code, f"{_words(treatment.name)} {what}", treatment.code, treatment.unit))
    for static in schema.statics:
        if static.levels:
            named = [(f"{static.name}//{level}", f"{_words(static.name)}: {level}") for level in static.levels]
            rows += [_row(code, text, static.code, None) for code, text in named]
        else:
            rows.append(_row(static.name, _words(static.name), static.code, static.unit))
    return [row for row in rows if row["code"] in used]


def mapping_of(cohort: Cohort, events: Events, time: NDArray[np.datetime64]) -> dict[str, Any]:
    """The mapping with which `neurotwin ingest meds` reads the data set back; ``time`` is that of the events."""
    schema, told = cohort.schema, cohort.provenance
    shown = schema.model_dump(mode="json")
    base = {"subject": "cohort_id", "missing": []}
    return {
        "name": schema.name,
        "about": {
            "title": f"MEDS data set made from the cohort {schema.name}",
            "notes": "Dates are relative: time zero of every subject was laid on one date.",
        },
        "time_unit": schema.time_unit,
        "index": {"event": str(told.get("index_event") or "time zero"), "at": "column"},
        "split_key": str(told.get("split_key") or schema.name)[:64],
        "pseudonymise": "none",
        "before_index": "keep",
        "shifted": True,
        "variables": shown["variables"],
        "treatments": shown["treatments"],
        "statics": shown["statics"],
        "replicates": _replicates(schema, events, time),
        "tables": [
            {"table": TIME_ZERO, "layout": "visits", **base, "index": _moment("time"), "fold": {"column": "fold"}},
            {
                "table": "*",
                "layout": "long",
                **base,
                "time": _moment("time"),
                "code": "code",
                "value": "exact_value",
                "post_dose": {
                    "code": [c for one in schema.variables for c, (_, post) in value_codes(one.name).items() if post]
                },
                "variables": [
                    {"variable": one.name, "codes": list(value_codes(one.name)), "unit": one.unit}
                    for one in schema.variables
                ],
                "treatments": [_treatment(one) for one in schema.treatments],
                "statics": [_static(one) for one in schema.statics],
            },
        ],
    }


def _row(code: str, description: str, parent: str, unit: str | None) -> dict[str, Any]:
    """``LOINC:2345-7`` of a schema is the parent ``LOINC/2345-7``, as others write it."""
    return {
        "code": code,
        "description": description,
        "parent_codes": [parent.replace(":", "/", 1)] if parent else [],
        "unit": unit,
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _moment(column: str) -> dict[str, Any]:
    return {"column": column, "format": FORMAT, "placeholders": []}


def _treatment(item: Treatment) -> dict[str, Any]:
    own: dict[str, Any] = {"treatment": item.name, "column": "exact_value", "unit": item.unit}
    if item.kind == "bolus":
        return own | {"when": {"code": [f"{item.name}//bolus"]}}
    return own | {"when": {"code": [f"{item.name}//start"]}, "stop": _moment("end_time") | {"empty": "ongoing"}}


def _static(item: Static) -> dict[str, Any]:
    if not item.levels:
        return {"static": item.name, "column": "exact_value", "unit": item.unit, "when": {"code": [item.name]}}
    codes = {f"{item.name}//{level}": level for level in item.levels}
    return {"static": item.name, "column": "code", "levels": codes, "when": {"code": list(codes)}}


def _replicates(schema: Schema, events: Events, time: NDArray[np.datetime64]) -> list[str]:
    """Variables with several values of a subject at one instant, on the same side of its doses."""
    found = []
    for variable in schema.variables:
        codes = value_codes(variable.name)
        after = np.array([codes.get(code, (0, False))[1] for code in events.codes])
        rows = np.isin(events.code, [events.codes.index(code) for code in codes if code in events.codes])
        place = np.stack([events.subject[rows], time[rows].astype(np.int64), after[events.code[rows]]])
        if place.shape[1] > np.unique(place, axis=1).shape[1]:
            found.append(variable.name)
    return found
