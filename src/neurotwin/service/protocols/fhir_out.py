"""From an answer to FHIR: a Bundle of the model (Device), forecasts (Observation), risks (RiskAssessment), and what
was noted (OperationOutcome). Only elements that are alike in R4B and R5 are used, so that it is both.

A probability is a percentage there (`RiskAssessment.prediction.probabilityDecimal`: 10 is 10 %), and the time that it
is told for is a period from the plan's start: ``whenRange`` would be an age.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from neurotwin.errors import DocumentError
from neurotwin.runtime import Predictor
from neurotwin.runtime.answer import model_of
from neurotwin.runtime.deadline import check_time
from neurotwin.service.protocols.codes import Codes
from neurotwin.service.protocols.fhir_in import SECOND, Record
from neurotwin.service.protocols.fhir_json import UCUM, told_in

ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
METHOD = "model forecast"
NOTE = "Research software, not a medical device."


@dataclass(frozen=True)
class Teller:
    """Writes the answers about one record by one model. ``device``: where the model stands in the Bundle."""

    predictor: Predictor
    codes: Codes
    record: Record
    device: str

    @classmethod
    def of(cls, predictor: Predictor, codes: Codes, record: Record) -> Teller:
        """One with an address for the model."""
        return cls(predictor, codes, record, _urn())

    def bundle(self, answer: dict[str, Any], watched: Iterable[dict[str, Any]], identity: str) -> dict[str, Any]:
        """The answer to a forecast, and those to the risks that were asked beside it."""
        resources = [(self.device, self.model())]
        resources += [(_urn(), one) for one in self.observations(answer)]
        watched = list(watched)
        resources += [(_urn(), one) for one in self.risks(answer, watched)]
        resources.append((_urn(), self.outcome(answer, watched)))
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{identity}"},
            "timestamp": told_in(datetime.now(UTC)),
            "entry": [{"fullUrl": url, "resource": resource} for url, resource in resources],
        }

    def model(self) -> dict[str, Any]:
        """The model as a Device."""
        told = model_of(self.predictor)
        return {
            "resourceType": "Device",
            "identifier": [{"system": "urn:neurotwin:bundle:sha256", "value": told["sha256"]}],
            "modelNumber": told["id"],
            "version": [{"value": told["version"]}],
            "note": [{"text": f"{told['context_of_use']} {NOTE}"}],
        }

    def observations(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """One for each time and channel; its components are the ends of the interval."""
        return [self._observation(row) for row in answer["prediction"] or ()]

    def risks(self, answer: dict[str, Any], watched: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One for the outcomes that the model tells of, and one for each threshold that was asked about."""
        told = answer.get("risks") or []
        found = [self._risk(answer, [(row, row["outcome"], "") for row in told])] if told else []
        for one in watched:
            event = one["event"]
            side = "above" if "above" in event else "below"
            what = f"{event['channel']} {side} {event[side]:g} {event['unit']}" if one["by_time"] else ""
            rows = [(row, what, _rationale(row)) for row in one["by_time"] or ()]
            found += [self._risk(one, rows)] if rows else []
        return found

    def outcome(self, answer: dict[str, Any], watched: list[dict[str, Any]]) -> dict[str, Any]:
        """Status and reasons, inputs that were ignored, units that were converted."""
        silent = answer["status"] == "abstain"
        code, level = ("business-rule", "warning") if silent or answer["reasons"] else ("informational", "information")
        issues = [_issue(level, code, f"status: {answer['status']}", "")]
        for detail in answer["details"]:
            issues.append(_issue("warning", code, f"{answer['status']}: {detail}", ""))
        for one in watched:
            new = [detail for detail in one["details"] if detail not in answer["details"]]
            issues += [_issue("warning", "business-rule", f"event: {one['status']}: {detail}", "") for detail in new]
        for item in answer["inputs_ignored"]:
            issues.append(_issue("information", "informational", f"ignored: {item['why']}", item["at"]))
        for item in answer["converted"]:
            text = f"converted: {item['from']} to {item['to']}"
            issues.append(_issue("information", "informational", text, item["at"]))
        return {"resourceType": "OperationOutcome", "issue": issues}

    def instant(self, t: float) -> str:
        """A time of the model's clock, as text."""
        return told_in(self.moment(t))

    def moment(self, t: float) -> datetime:
        """A time of the model's clock. Raises DocumentError where the calendar ends."""
        seconds = t / self.predictor.signature.time_units[SECOND]
        try:
            return self.record.index + timedelta(seconds=round(seconds, 3))
        except OverflowError:
            raise DocumentError("a time beyond the calendar", where="plan", expected="a year up to 9999") from None

    def _observation(self, row: dict[str, Any]) -> dict[str, Any]:
        check_time()
        content: dict[str, Any] = {
            "resourceType": "Observation",
            "status": "preliminary",
            "code": self._code(row["channel"]),
            "subject": self._subject(),
            "effectiveDateTime": self.instant(row["t"]),
            "method": {"text": METHOD},
            "device": {"reference": self.device},
        }
        if row["median"] is None:
            return content | {
                "dataAbsentReason": {"coding": [{"system": ABSENT, "code": "error"}], "text": "implausible"}
            }
        content["valueQuantity"] = _quantity(row["median"], row["unit"])
        parts = []
        if interval := row.get("interval"):
            ends = (("lower", interval["lo"]), ("upper", interval["hi"]))
            name = f"end of the {interval['level']:.0%} interval ({interval['kind']})"
            parts += [_component(f"{side} {name}", value, row["unit"]) for side, value in ends]
        if row.get("probability") is not None:
            parts.append(_component("probability", row["probability"], "1"))
        return content | ({"component": parts} if parts else {})

    def _risk(self, answer: dict[str, Any], rows: list[tuple[dict[str, Any], str, str]]) -> dict[str, Any]:
        check_time()
        begin = self.instant(answer["plan"]["start"])
        content = {
            "resourceType": "RiskAssessment",
            "status": "preliminary",
            "subject": self._subject(),
            "occurrenceDateTime": begin,
            "method": {"text": METHOD},
            "performer": {"reference": self.device},
            "note": [{"text": NOTE}],
            "prediction": [
                {
                    "outcome": {"text": what},
                    "probabilityDecimal": round(100 * row["probability"], 6),
                    "whenPeriod": {"start": begin, "end": self.instant(row["t"])},
                    **({"rationale": why} if why else {}),
                }
                for row, what, why in rows
            ],
        }
        basis = [{"reference": name} for name in self.record.basis]
        return content | ({"basis": basis} if basis else {})

    def _code(self, channel: str) -> dict[str, Any]:
        codes = self.codes.of_channel(channel)
        system, _, code = codes[0].partition("|") if codes else ("", "", "")
        return {"text": channel} | ({"coding": [{"system": system, "code": code}]} if codes else {})

    def _subject(self) -> dict[str, str]:
        return {"reference": f"Patient/{self.record.document.id}"}


def _rationale(row: dict[str, Any]) -> str:
    interval = row.get("interval")
    if not interval:
        return ""
    low, high = (100 * interval[end] for end in ("lo", "hi"))
    return f"share of the model's joint draws; {interval['level']:.0%} interval of so few: {low:.3g} to {high:.3g} %"


def _issue(severity: str, code: str, text: str, place: str) -> dict[str, Any]:
    issue: dict[str, Any] = {"severity": severity, "code": code, "details": {"text": text}}
    return issue | ({"expression": [place]} if place else {})


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _component(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"code": {"text": name}, "valueQuantity": _quantity(value, unit)}


def _urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
