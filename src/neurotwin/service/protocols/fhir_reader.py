"""What single FHIR R4B resources tell of a patient: a measurement, a dose, a covariate, or nothing that is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from neurotwin.runtime import Reason
from neurotwin.runtime.channels import Signature
from neurotwin.runtime.documents import Quantity
from neurotwin.service.protocols.codes import Codes
from neurotwin.service.protocols.fhir_json import (
    Amount,
    Resource,
    amount_of,
    as_dict,
    as_list,
    as_text,
    codes_of,
    is_modified,
    number_of,
    period_of,
    rate_of,
)

MADE = ("final", "amended", "corrected", "preliminary")
GIVEN, NOT_GIVEN = ("completed", "stopped", "in-progress"), ("not-done", "entered-in-error")
SHORTEST = timedelta(seconds=1)
"""What lasts less has no rate: a double that counts seconds from far away would not tell its ends apart."""


@dataclass(frozen=True)
class Measured:
    """A value of a channel, at a place of the source."""

    time: datetime
    channel: str
    amount: Amount
    place: str


@dataclass(frozen=True)
class Given:
    """A dose (``end`` None: at an instant, or going on), at a place of the source."""

    time: datetime
    end: datetime | None
    treatment: str
    amount: Amount
    place: str


@dataclass
class Found:
    """What resources told, with absolute times.

    Attributes:
        births: covariate -> date of birth, and place.
        ignored: place and why; ``refused``: why the model must not speak, and place.
    """

    measured: list[Measured] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    statics: dict[str, tuple[Quantity | str, str]] = field(default_factory=dict)
    births: dict[str, tuple[str, str]] = field(default_factory=dict)
    ignored: list[dict[str, str]] = field(default_factory=list)
    refused: list[tuple[Reason, str]] = field(default_factory=list)

    def ignore(self, place: str, why: str) -> bool:
        """Note what is not used."""
        self.ignored.append({"at": place, "why": why})
        return False

    def refuse(self, reason: Reason, place: str, why: str) -> bool:
        """Note what silences the model."""
        self.refused.append((reason, f"{place}: {why}"))
        return False


class Medications:
    """Treatments by what a resource says of its medication: a code, or a reference to a Medication beside or in it."""

    def __init__(self, codes: Codes, signature: Signature, sources: Iterable[tuple[str, str, object]]) -> None:
        self.codes = codes
        self.kinds = {channel.name: channel.kind for channel in signature.treatments}
        self.known: dict[str, list[Resource]] = {}
        for _, url, resource in sources:
            told = as_dict(resource)
            if told.get("resourceType") == "Medication" and not is_modified(told):
                for name in filter(None, (url, named("Medication/", told))):
                    self.known.setdefault(name, []).append(told)

    def treatments_of(self, told: Resource) -> set[str] | None:
        """The treatments that the codes stand for, of which more than one is a contradiction; None where a reference
        leads nowhere."""
        concepts = [told.get("medicationCodeableConcept")]
        if "medicationReference" in told:
            name = as_text(as_dict(told["medicationReference"]).get("reference"))
            inside = [one for one in as_list(told.get("contained")) if name and named("#", one) == name]
            found = inside or self.known.get(name, [])
            if not found:
                return None
            concepts += [one.get("code") for one in found]
        codes = (code for concept in concepts for code in codes_of(concept))
        return {self.codes.treatments[code] for code in codes if code in self.codes.treatments}

    def amount_of(self, treatment: str, dose: object, rate: object, ratio: object) -> Amount | None:
        """What the treatment's kind asks for: a rate of an infusion, else a dose."""
        return rate_of(rate, ratio) if self.kinds[treatment] == "infusion" else amount_of(dose)


def named(prefix: str, told: Resource) -> str:
    """A resource's id behind a prefix; empty where it has none."""
    name = as_text(told.get("id"))
    return prefix + name if name else ""


class ResourceReader:
    """Reads the resources of one model's mapping; each function tells whether the resource was used."""

    def __init__(self, codes: Codes, signature: Signature, medications: Medications, found: Found) -> None:
        self.codes, self.medications, self.found = codes, medications, found
        self.levels = {channel.name: channel.levels for channel in signature.statics}
        self.channels = {**codes.observations, **codes.statics}
        self.kinds = {
            "Patient": self.patient,
            "Observation": self.observation,
            "MedicationAdministration": self.administration,
        }

    def patient(self, told: Resource, place: str) -> bool:
        """Covariates that stand in the Patient."""
        if told.get("deceasedBoolean") is True or "deceasedDateTime" in told:
            return self.found.refuse(Reason.CONFLICTING_INPUT, place, "the patient has died")
        if is_modified(told):
            return self.found.refuse(Reason.CONFLICTING_INPUT, place, "modified by an extension")
        for name, element in self.codes.elements.items():
            text, at = as_text(told.get(element)), f"{place}.{element}"
            if text and element == "birthDate":
                self.found.births[name] = (text, at)
            elif text in self.codes.levels[name]:
                self._keep(name, self.codes.levels[name][text], at)
            elif text:
                self.found.ignore(at, "no level is mapped")
        return True

    def observation(self, told: Resource, place: str) -> bool:
        """The value of an Observation and those of its components."""
        inside = as_list(told.get("component"))
        parts = [(told, place), *((one, f"{place}.component[{number}]") for number, one in enumerate(inside))]
        mapped = [(part, at, channels) for part, at in parts if (channels := self._channels(part))]
        if not mapped:
            return self.found.ignore(place, "no code of it is mapped")
        if told.get("status") not in MADE:
            return self.found.ignore(place, "the status is not that of a measurement made")
        if is_modified(told):
            return self.found.refuse(Reason.CONFLICTING_INPUT, place, "modified by an extension")
        time = period_of(told, "effective")[0]
        if time is None:
            return self.found.ignore(place, "no instant is told (time of day and zone)")
        used = [self._measure(part, at, channels, time) for part, at, channels in mapped]
        return any(used)

    def administration(self, told: Resource, place: str) -> bool:
        """A dose that was given, or is being given."""
        treatments = self.medications.treatments_of(told)
        if treatments is not None and not treatments:
            return self.found.ignore(place, "no code of it is mapped")
        if told.get("status") in NOT_GIVEN:
            return self.found.ignore(place, "the status is that of what was not given")
        if treatments is None:
            return self.found.refuse(Reason.MISSING_REQUIRED, place, "its medication is not here")
        if len(treatments) > 1:
            return self.found.refuse(Reason.CONFLICTING_INPUT, place, "its codes stand for several treatments")
        name, dosage = treatments.pop(), as_dict(told.get("dosage"))
        amount = self.medications.amount_of(
            name, dosage.get("dose"), dosage.get("rateQuantity"), dosage.get("rateRatio")
        )
        begin, end = period_of(told, "effective")
        fault = self._fault(told, name, begin, end)
        if fault or begin is None or amount is None:
            return self.found.refuse(Reason.MISSING_REQUIRED, place, fault or "no dose or rate is told")
        self.found.given.append(
            Given(begin, None if self.medications.kinds[name] == "bolus" else end, name, amount, place)
        )
        return True

    def _fault(self, told: Resource, name: str, begin: datetime | None, end: datetime | None) -> str:
        if is_modified(told):
            return "modified by an extension"
        if told.get("status") not in GIVEN:
            return "the status does not tell whether it was given"
        if begin is None:
            return "no instant is told (time of day and zone)"
        if self.medications.kinds[name] == "bolus":
            return "" if begin == end else "a bolus is given at an instant"
        if end is None:
            return "" if told.get("status") == "in-progress" else "no end is told"
        return "" if end - begin >= SHORTEST else "the end is not after the begin"

    def _channels(self, part: Resource) -> set[str]:
        return {self.channels[code] for code in codes_of(part.get("code")) if code in self.channels}

    def _measure(self, part: Resource, at: str, channels: set[str], time: datetime) -> bool:
        if len(channels) > 1:
            return self.found.refuse(Reason.CONFLICTING_INPUT, at, "its codes stand for several channels")
        name = channels.pop()
        if self.levels.get(name):
            meant = self.codes.levels[name]
            levels = {meant[code] for code in codes_of(part.get("valueCodeableConcept")) if code in meant}
            return (
                self._keep(name, levels.pop(), at) if len(levels) == 1 else self.found.ignore(at, "no level is mapped")
            )
        amount, whole = amount_of(part.get("valueQuantity")), number_of(part.get("valueInteger"))
        if amount is None and whole is not None:
            amount = Amount(whole, "1")  # FHIR: an integer has no unit
        if amount is None:
            return self.found.ignore(at, "no exact number is told")
        if name in self.levels:
            return self._keep(name, Quantity(amount.value, amount.unit), at)
        self.found.measured.append(Measured(time, name, amount, at))
        return True

    def _keep(self, name: str, value: Quantity | str, at: str) -> bool:
        if self.found.statics.setdefault(name, (value, at))[0] != value:
            return self.found.refuse(Reason.CONFLICTING_INPUT, at, "a covariate that is told otherwise elsewhere")
        return True
