"""From FHIR R4B resources of one patient to a patient document: by codes and UCUM units, nothing guessed.

What is not mapped, or not a measurement that was made, is listed as ignored. What is mapped and cannot be read is not
left out in silence: a treatment of unknown amount or time silences the model, since a forecast without it would be one
of another course.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from neurotwin.errors import DocumentError
from neurotwin.runtime import PatientDocument, Predictor, Reason, Twin
from neurotwin.runtime.channels import FIELD_OF
from neurotwin.runtime.documents import ObservationRecord, Quantity, TreatmentRecord
from neurotwin.service.faults import NotOffered
from neurotwin.service.protocols.codes import Codes
from neurotwin.service.protocols.fhir_json import as_dict, as_text, subject_of, told_in
from neurotwin.service.protocols.fhir_reader import Found, Medications, ResourceReader

SECOND, YEAR = "s", 365.25
NUMBERED = re.compile(r"^(observations|treatments|plan\.treatments)\.(\d+)(\.\w+)?")
Source = tuple[str, str, object]
"""Place, ``fullUrl`` and resource."""


@dataclass(frozen=True)
class Record:
    """What was read of a patient.

    Attributes:
        index: the instant that is time zero.
        document: times in seconds from time zero.
        subjects: references that name the patient.
        ignored: place and why of what is not used; ``refused``: reason and place of what silences the model.
        places: group of the document -> place in the source of each of its entries.
        basis: references to the resources that were used.
    """

    index: datetime
    document: PatientDocument
    subjects: set[str]
    medications: Medications
    ignored: list[dict[str, str]]
    refused: list[tuple[Reason, str]]
    places: dict[str, list[str]]
    basis: list[str]

    def twin(self, predictor: Predictor) -> Twin:
        """The twin that has seen the record. Raises DocumentError."""
        twin = Twin.of(predictor, self.document)
        for reason, place in self.refused:
            twin.notes.refuse(reason, place)
        twin.notes.ignored.extend(self.ignored)
        return twin

    def located(self, answer: dict[str, Any], planned: list[str]) -> dict[str, Any]:
        """An answer that names places of the source, in place of those of the documents made from it.

        Args:
            planned: of each treatment of the plan, where it stands.
        """
        places = {**self.places, "plan.treatments": planned}

        def place_of(text: str) -> str:
            found = NUMBERED.match(text)
            if found is None or int(found[2]) >= len(places[found[1]]):
                return self._static(text)
            return places[found[1]][int(found[2])] + (found[3] or "") + text[found.end() :]

        details = [
            ": ".join((reason, place_of(place))) for reason, _, place in (d.partition(": ") for d in answer["details"])
        ]
        groups = {
            name: [{**item, "at": place_of(item["at"])} for item in answer[name]]
            for name in ("inputs_ignored", "converted")
        }
        return {**answer, "details": details, **groups}

    def _static(self, text: str) -> str:
        for name, place in zip(self.document.static, self.places["static"], strict=True):
            if text == f"static.{name}" or text.startswith(f"static.{name}."):
                return place + text[len(f"static.{name}") :]
        return text


def read_record(
    sources: Iterable[Source],
    codes: Codes,
    predictor: Predictor,
    *,
    index: datetime | None = None,
    now: datetime | None = None,
) -> Record:
    """Read a patient's resources.

    Args:
        index: time zero; by default that of the first event that is used.
        now: the plan's start; by default the last event.

    Raises:
        DocumentError: there is not one Patient, a resource is about another one, or nothing tells time zero.
        NotOffered: the model's times are in no unit of time.
    """
    if SECOND not in predictor.signature.time_units:
        raise NotOffered("the model's times are no instants", where="model", remedy="ask with native documents")
    sources = list(sources)
    patient, names = _patient(sources)
    medications, found = Medications(codes, predictor.signature, sources), Found()
    reader = ResourceReader(codes, predictor.signature, medications, found)
    known: dict[str, str] = {}
    basis = []
    for place, _, resource in sources:
        told = as_dict(resource)
        kind = as_text(told.get("resourceType"))
        if kind not in reader.kinds:
            if kind not in ("Medication", "OperationOutcome"):
                found.ignore(place, "a type of resource that is not read")
            continue
        if kind != "Patient" and subject_of(told) not in names:
            raise DocumentError("a resource that is not about the Patient", where=place, expected="that subject")
        name = as_text(told.get("id"))
        if name and known.setdefault(f"{kind}/{name}", place) != place:
            found.refuse(Reason.CONFLICTING_INPUT, place, "the id of another resource")
        elif reader.kinds[kind](told, place) and name:
            basis.append(f"{kind}/{name}")
    times = [one.time for one in found.measured] + [one.time for one in found.given]
    zero = index or min(times, default=now)
    if zero is None:
        raise DocumentError(
            "nothing tells a time", where="record", expected="an event whose code is mapped, or the parameter now"
        )
    document = _document(patient, zero, now, found, medications)
    places = {
        "observations": [one.place for one in found.measured],
        "treatments": [one.place for one in found.given],
        "static": [place for _, place in found.statics.values()],
    }
    return Record(zero, document, names, medications, found.ignored, found.refused, places, basis)


def _document(
    patient: str, index: datetime, now: datetime | None, found: Found, medications: Medications
) -> PatientDocument:
    def after(time: datetime) -> float:
        return (time - index).total_seconds()

    for name, (text, place) in found.births.items():
        born = _day(text)
        if born is None:
            found.ignore(place, "no day is told")
        else:
            years = (index.date() - born).days / YEAR
            found.statics[name] = (Quantity(years, "a"), place)
    observations = [
        ObservationRecord(after(one.time), one.channel, one.amount.value, one.amount.unit) for one in found.measured
    ]
    treatments = [
        TreatmentRecord(
            after(one.time),
            one.treatment,
            t_end=None if one.end is None else after(one.end),
            unit=one.amount.unit,
            **{FIELD_OF[medications.kinds[one.treatment]]: one.amount.value},
        )
        for one in found.given
    ]
    return PatientDocument(
        id=patient,
        time_unit=SECOND,
        index_time=told_in(index),
        now=None if now is None else after(now),
        static={name: value for name, (value, _) in found.statics.items()},
        observations=tuple(observations),
        treatments=tuple(treatments),
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        return None


def _patient(sources: list[Source]) -> tuple[str, set[str]]:
    """The id of the only Patient, and the references that name it."""
    found = [(place, url, as_dict(one)) for place, url, one in sources if as_dict(one).get("resourceType") == "Patient"]
    if len(found) != 1:
        raise DocumentError(f"{len(found)} Patients", where="record", expected="one")
    place, url, told = found[0]
    name = as_text(told.get("id"))
    if not name:
        raise DocumentError("no id", where=place, expected="an id, which should be a pseudonym")
    return name, {f"Patient/{name}", *([url] if url else [])}
