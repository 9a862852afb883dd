"""A patient of the tumour bundle as FHIR R4B resources, and the codes that stand for its channels."""

import copy

SITE = "https://example.org/codes"
UCUM = "http://unitsofmeasure.org"
CODES = {
    "models": {
        "lung_tumour": {
            "observations": {"tumour_volume": [f"{SITE}|tumour-volume"]},
            "treatments": {"chemotherapy": [f"{SITE}|chemo"], "radiotherapy": [f"{SITE}|radiation"]},
            "statics": {"stage": {"codes": [f"{SITE}|stage"], "levels": {f"{SITE}|stage-2": "II"}}},
        }
    }
}
WATCH = [
    {"event": {"channel": "tumour_volume", "above": 25, "unit": "cm3", "alarm": 0.2}, "indicator": "warning"},
    {"event": {"channel": "tumour_volume", "above": 5000, "unit": "cm3", "alarm": 0.9}, "indicator": "critical"},
]
PATIENT = {"resourceType": "Patient", "id": "p-17", "gender": "female", "birthDate": "1960-02-03"}


def concept(code, system=SITE):
    """A CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}


def quantity(value, unit):
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def observation(name, day, value, **changes):
    """A tumour volume."""
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": concept("tumour-volume"),
        "subject": {"reference": "Patient/p-17"},
        "effectiveDateTime": f"2024-03-{day:02d}T08:00:00Z",
        "valueQuantity": quantity(value, "cm3"),
    } | changes


def administration(name, day, value, **changes):
    """A fraction of radiotherapy."""
    return {
        "resourceType": "MedicationAdministration",
        "id": name,
        "status": "completed",
        "medicationCodeableConcept": concept("radiation"),
        "subject": {"reference": "Patient/p-17"},
        "effectiveDateTime": f"2024-03-{day:02d}T08:00:00Z",
        "dosage": {"dose": quantity(value, "Gy")},
    } | changes


STAGE = {
    "resourceType": "Observation",
    "id": "s",
    "status": "final",
    "code": concept("stage"),
    "subject": {"reference": "Patient/p-17"},
    "effectiveDateTime": "2024-02-28T08:00:00Z",
    "valueCodeableConcept": concept("stage-2"),
}
RESOURCES = [
    PATIENT,
    STAGE,
    observation("a", 1, 31.2),
    observation("b", 11, 33000, valueQuantity=quantity(33000, "mm3")),
    observation("c", 21, 29.5),
    administration("d", 12, 2),
]


def resources():
    """The record; a fresh copy that a test may change."""
    return copy.deepcopy(RESOURCES)


def bundle(entries, kind="collection"):
    """A Bundle of resources."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": one} for one in entries]}


def request(name, days, value=2.0, unit="Gy", code="radiation", **changes):
    """A MedicationRequest with its times told."""
    events = [f"2024-03-{day:02d}T08:00:00Z" for day in days]
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "plan",
        "medicationCodeableConcept": concept(code),
        "subject": {"reference": "Patient/p-17"},
        "dosageInstruction": [{"timing": {"event": events}, "doseAndRate": [{"doseQuantity": quantity(value, unit)}]}],
    } | changes


def plan(*requests, name="two fractions", every=5, until=30):
    """The parameter ``plan`` in parts."""
    parts = [
        {"name": "name", "valueString": name},
        {"name": "every", "valueQuantity": quantity(every, "d")},
        {"name": "until", "valueQuantity": quantity(until, "d")},
    ]
    return {"name": "plan", "part": [*parts, *({"name": "request", "resource": one} for one in requests)]}


def parameters(entries=None, planned=None, *more):
    """Parameters of ``$forecast``; a fresh copy that a test may change."""
    record = {"name": "record", "resource": bundle(resources() if entries is None else entries)}
    content = [record, planned or plan(request("r", (22, 23))), *more]
    return {"resourceType": "Parameters", "parameter": copy.deepcopy(content)}


EVENT = {
    "name": "event",
    "part": [
        {"name": "channel", "valueString": "tumour_volume"},
        {"name": "above", "valueQuantity": quantity(25, "cm3")},
    ],
}
