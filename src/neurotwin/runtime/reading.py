"""From documents to events in the bundle's units, with a note of everything that was converted, ignored or refused."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations
from neurotwin.runtime.documents import ObservationRecord, PatientDocument, Quantity, TreatmentRecord
from neurotwin.runtime.reasons import Reason
from neurotwin.schema import Schema

MARGIN = 0.25
"""How far beyond the range of training, as a share of it, an input may lie before the model falls silent."""


@dataclass
class Notes:
    """What happened to the inputs. ``at`` names a place in the document, never a value."""

    refused: dict[Reason, list[str]] = field(default_factory=dict)
    warned: dict[Reason, list[str]] = field(default_factory=dict)
    ignored: list[dict[str, str]] = field(default_factory=list)
    converted: list[dict[str, Any]] = field(default_factory=list)
    used: int = 0

    def refuse(self, reason: Reason, at: str) -> None:
        """The model must not speak."""
        self.refused.setdefault(reason, []).append(at)

    def warn(self, reason: Reason, at: str) -> None:
        """The model speaks with a warning."""
        self.warned.setdefault(reason, []).append(at)

    def merged(self, other: "Notes") -> "Notes":
        """Both."""
        return Notes(
            _joined(self.refused, other.refused), _joined(self.warned, other.warned), self.ignored + other.ignored,
            self.converted + other.converted, self.used + other.used,
        )  # fmt: skip


def _joined(one: dict[Reason, list[str]], other: dict[Reason, list[str]]) -> dict[Reason, list[str]]:
    return {reason: one.get(reason, []) + other.get(reason, []) for reason in {**one, **other}}


class Reader:
    """Knows the channels of one bundle's signature."""

    def __init__(self, signature: Mapping[str, Any], schema: Schema) -> None:
        channels = signature["channels"]
        self.schema, self.time_units = schema, signature["time_units"]
        self.variables = {channel["name"]: (index, channel) for index, channel in enumerate(channels["observations"])}
        self.treatments = {channel["name"]: (index, channel) for index, channel in enumerate(channels["treatments"])}
        self.statics = {channel["name"]: (index, channel) for index, channel in enumerate(channels["statics"])}

    def time_factor(self, unit: str, at: str, notes: Notes) -> float:
        """Factor from a document's time unit to the bundle's."""
        found = self.time_units.get(unit)
        if found is None:
            notes.refuse(Reason.UNIT_UNKNOWN, f"{at}.time_unit")
            return math.nan
        return float(found["factor"])

    def statics_of(self, patient: PatientDocument, notes: Notes) -> NDArray[np.float64]:
        """``[1, static]`` raw covariates; NaN where missing."""
        raw = np.full((1, len(self.statics)), np.nan)
        for name, given in patient.static.items():
            at = f"static.{name}"
            if name not in self.statics:
                notes.ignored.append({"at": at, "why": "unknown covariate"})
                continue
            index, channel = self.statics[name]
            if channel["levels"]:
                if isinstance(given, Quantity) or given not in channel["levels"]:
                    notes.refuse(Reason.IMPLAUSIBLE_INPUT, at)
                else:
                    raw[0, index] = channel["levels"].index(given)
            elif not isinstance(given, Quantity):
                notes.refuse(Reason.UNIT_MISSING, at)
            else:
                raw[0, index] = self._value(given.value, given.unit, channel, at, notes)
        return raw

    def observations_of(self, records: Iterable[ObservationRecord], factor: float, notes: Notes) -> Observations:
        """Observations in the bundle's units, sorted by time; repeats are merged, contradictions refused."""
        rows: dict[tuple[float, int, bool], float] = {}
        for number, record in enumerate(records):
            at = f"observations.{number}"
            if record.variable not in self.variables:
                notes.ignored.append({"at": at, "why": "unknown variable"})
                continue
            index, channel = self.variables[record.variable]
            value = self._value(record.value, record.unit, channel, at, notes)
            key = (record.t * factor, index, record.post_dose)
            if key in rows and rows[key] == value:
                notes.ignored.append({"at": at, "why": "repeats another observation"})
            elif key in rows:
                notes.refuse(Reason.CONFLICTING_INPUT, at)
            elif math.isfinite(value):
                rows[key] = value
                notes.used += 1
        keys = sorted(rows)
        return Observations.of(np.zeros(len(keys)), [key[0] for key in keys], [key[1] for key in keys], [rows[key] for key in keys],
                               post_dose=[key[2] for key in keys])  # fmt: skip

    def doses_of(self, records: Iterable[TreatmentRecord], factor: float, at: str, notes: Notes) -> Doses:
        """Doses in the bundle's units, sorted by time. Open periods end at infinity."""
        rows = []
        for number, record in enumerate(records):
            place = f"{at}treatments.{number}"
            if record.treatment not in self.treatments:
                notes.refuse(Reason.UNKNOWN_TREATMENT, place)
                continue
            index, channel = self.treatments[record.treatment]
            field_name = {"bolus": "amount", "infusion": "rate", "setting": "level"}[channel["kind"]]
            if getattr(record, field_name) is None:
                notes.refuse(Reason.UNKNOWN_TREATMENT, f"{place}: a {channel['kind']} is given as {field_name}")
                continue
            size = self._value(record.size, record.unit, channel, place, notes)
            if record.t < 0:
                notes.refuse(Reason.IMPLAUSIBLE_INPUT, f"{place}.t: before time 0")
            if not math.isfinite(size) or record.t < 0:
                continue
            end = np.nan if channel["kind"] == "bolus" else np.inf if record.t_end is None else record.t_end * factor
            rows.append((record.t * factor, end, index, size))
            notes.used += 1
        rows.sort(key=lambda row: (row[0], row[2]))
        return Doses.of(np.zeros(len(rows)), *np.array(rows, dtype=np.float64).reshape(-1, 4).T)

    def _value(self, value: float, unit: str | None, channel: Mapping[str, Any], at: str, notes: Notes) -> float:
        """The value in the channel's unit; NaN when it must not be used."""
        if unit is None:
            notes.refuse(Reason.UNIT_MISSING, f"{at}.unit")
            return math.nan
        accepted = channel["units"].get(unit)
        if accepted is None:
            notes.refuse(Reason.UNIT_UNKNOWN, f"{at}.unit")
            return math.nan
        if unit != channel["unit"]:
            notes.converted.append({"at": at, "from": unit, "to": channel["unit"], "factor": accepted["factor"], "offset": accepted["offset"]})
        converted = value * accepted["factor"] + accepted["offset"]
        low, high = channel["plausible"]
        if (low is not None and converted < low) or (high is not None and converted > high):
            notes.refuse(Reason.IMPLAUSIBLE_INPUT, at)
            return math.nan
        self._check_trained(converted, channel, at, notes)
        return float(converted)

    @staticmethod
    def _check_trained(value: float, channel: Mapping[str, Any], at: str, notes: Notes) -> None:
        if channel.get("trained") is None:
            return
        low, high = channel["trained"]
        slack = MARGIN * (high - low)
        if value < low - slack or value > high + slack:
            notes.refuse(Reason.EXTRAPOLATION, at)
        elif value < low or value > high:
            notes.warn(Reason.EXTRAPOLATION, at)
