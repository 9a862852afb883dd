"""From documents to events in the bundle's units, with a note of everything that was converted, ignored or refused."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, Observations
from neurotwin.heads import Head
from neurotwin.runtime.channels import FIELD_OF, Channel, Signature
from neurotwin.runtime.documents import ObservationRecord, PatientDocument, Quantity, TreatmentRecord
from neurotwin.runtime.reasons import Reason
from neurotwin.timeline import Timeline

MARGIN = 0.25
"""How far beyond the range of training, as a share of it, an input may lie before the model falls silent."""
SAME = 1e-9
"""Relative difference up to which two numbers are one, converted from two units."""
LARGEST = 1e30
"""A number that single precision cannot carry through a model is not believed."""


@dataclass
class Notes:
    """What happened to the inputs. ``at`` names a place in the document, never a value."""

    refused: dict[Reason, list[str]] = field(default_factory=dict)
    warned: dict[Reason, list[str]] = field(default_factory=dict)
    ignored: list[dict[str, str]] = field(default_factory=list)
    converted: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, reason: Reason, at: str) -> None:
        """The model must not speak."""
        self.refused.setdefault(reason, []).append(at)

    def warn(self, reason: Reason, at: str) -> None:
        """The model speaks with a warning."""
        self.warned.setdefault(reason, []).append(at)

    def merged(self, other: "Notes") -> "Notes":
        """Both; what both say alike stands once."""
        return Notes(
            _joined(self.refused, other.refused),
            _joined(self.warned, other.warned),
            _once(self.ignored, other.ignored),
            _once(self.converted, other.converted),
        )


def scale_time(t: float, factor: float) -> float:
    """A time in another unit, to 14 digits: what a factor such as 1 / 24 leaves behind ends there."""
    return t if factor == 1 else float(f"{t * factor:.14g}")


def _joined(one: dict[Reason, list[str]], other: dict[Reason, list[str]]) -> dict[Reason, list[str]]:
    return {reason: list(dict.fromkeys([*one.get(reason, []), *other.get(reason, [])])) for reason in {**one, **other}}


def _once(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not other or not one:
        return one + other
    return list({tuple(item.values()): item for item in (*one, *other)}.values())


class Reader:
    """Knows the channels of one bundle's signature."""

    def __init__(self, signature: Signature) -> None:
        self.signature, self.time_units = signature, signature.time_units
        self.variables = {channel.name: (index, channel) for index, channel in enumerate(signature.variables)}
        self.treatments = {channel.name: (index, channel) for index, channel in enumerate(signature.treatments)}
        self.statics = {channel.name: (index, channel) for index, channel in enumerate(signature.statics)}

    def time_factor(self, unit: str, at: str, notes: Notes) -> float:
        """Factor from a document's time unit to the bundle's; NaN, and a note, when there is none."""
        found = self.time_units.get(unit, math.nan)
        if math.isnan(found):
            notes.refuse(Reason.UNIT_UNKNOWN if unit.strip() else Reason.UNIT_MISSING, f"{at}.time_unit")
        return found

    def statics_of(self, patient: PatientDocument, notes: Notes) -> NDArray[np.float64]:
        """``[1, static]`` raw covariates; NaN where missing."""
        raw = np.full((1, len(self.statics)), np.nan)
        for name, given in patient.static.items():
            at = f"static.{name}"
            if name not in self.statics:
                notes.ignored.append({"at": at, "why": "unknown covariate"})
                continue
            index, channel = self.statics[name]
            if channel.levels:
                if isinstance(given, Quantity) or given not in channel.levels:
                    notes.refuse(Reason.IMPLAUSIBLE_INPUT, at)
                else:
                    raw[0, index] = channel.levels.index(given)
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
            key = (self._time(record.t, factor, at, notes), index, record.post_dose)
            if not math.isfinite(value + key[0]):
                continue
            if key not in rows:
                rows[key] = value
            elif math.isclose(rows[key], value, rel_tol=SAME):
                notes.ignored.append({"at": at, "why": "repeats another observation"})
            else:
                notes.refuse(Reason.CONFLICTING_INPUT, at)
        keys = sorted(rows, key=lambda key: (key[0], key[2], key[1]))
        return Observations.of(
            np.zeros(len(keys)),
            [key[0] for key in keys],
            [key[1] for key in keys],
            [rows[key] for key in keys],
            post_dose=[key[2] for key in keys],
        )

    def doses_of(
        self, records: Iterable[TreatmentRecord], factor: float, at: str, notes: Notes, *, planned: bool = False
    ) -> Doses:
        """Doses in the bundle's units, sorted by time. Open periods end at infinity.

        Args:
            planned: times count from the plan's start, and none may lie before it.
        """
        rows = []
        for number, record in enumerate(records):
            place = f"{at}treatments.{number}"
            if record.treatment not in self.treatments:
                notes.refuse(Reason.UNKNOWN_TREATMENT, place)
                continue
            index, channel = self.treatments[record.treatment]
            told = FIELD_OF[channel.kind]
            if getattr(record, told) is None:
                notes.refuse(Reason.UNKNOWN_TREATMENT, f"{place}: a {channel.kind} is given as {told}")
                continue
            size = self._value(record.size, record.unit, channel, place, notes)
            begin = self._time(record.t, factor, place, notes)
            end = math.nan if channel.kind == "bolus" else math.inf
            if record.t_end is not None and not (end := self._time(record.t_end, factor, place, notes)) > begin:
                notes.refuse(Reason.IMPLAUSIBLE_INPUT, f"{place}.t_end")
                continue
            if planned and begin < 0:
                notes.refuse(Reason.IMPLAUSIBLE_INPUT, f"{place}.t: before the plan's start")
            elif math.isfinite(size + begin):
                rows.append((begin, end, index, size))
        rows.sort(key=lambda row: (row[0], row[2]))
        return Doses.of(np.zeros(len(rows)), *np.array(rows, dtype=np.float64).reshape(-1, 4).T)

    def limit_of(self, value: float, unit: str | None, channel: Channel, at: str, notes: Notes) -> float:
        """A threshold in the channel's unit, which need not be a value that can be recorded; NaN when it must not be
        used."""
        return self._value(value, unit, replace(channel, head=Head()), at, notes)

    def judge_totals(self, timeline: Timeline, at: str, notes: Notes) -> None:
        """What acts at one instant together must not leave the range of training either."""
        for index, channel in enumerate(self.signature.treatments):
            acting = timeline.jump if channel.kind == "bolus" else timeline.control
            total = float(acting[:, :, index].max())
            if total > 0:
                self._check_trained(total, channel, f"{at}treatments: {channel.name} in total", notes)

    @staticmethod
    def _time(t: float, factor: float, at: str, notes: Notes) -> float:
        """A time in the bundle's unit; NaN when it must not be used."""
        time = scale_time(t, factor)
        if abs(time) > LARGEST:
            notes.refuse(Reason.IMPLAUSIBLE_INPUT, f"{at}.t")
            return math.nan
        return time

    def _value(self, value: float, unit: str | None, channel: Channel, at: str, notes: Notes) -> float:
        """The value in the channel's unit; NaN when it must not be used."""
        if unit is None or not unit.strip():
            notes.refuse(Reason.UNIT_MISSING, f"{at}.unit")
            return math.nan
        accepted = channel.units.get(unit)
        if accepted is None:
            notes.refuse(Reason.UNIT_UNKNOWN, f"{at}.unit")
            return math.nan
        factor, offset = accepted
        converted = value * factor + offset
        low, high = channel.plausible
        recorded = channel.head.is_exact or bool(channel.head.on_grid(np.array(converted)))
        if not low <= converted <= high or abs(converted) > LARGEST or not recorded:
            notes.refuse(Reason.IMPLAUSIBLE_INPUT, at)
            return math.nan
        if unit != channel.unit:
            notes.converted.append({"at": at, "from": unit, "to": channel.unit, "factor": factor, "offset": offset})
        self._check_trained(converted, channel, at, notes)
        return converted

    @staticmethod
    def _check_trained(value: float, channel: Channel, at: str, notes: Notes) -> None:
        if channel.trained is None:
            return
        low, high = channel.trained
        slack, same = MARGIN * (high - low), SAME * max(abs(low), abs(high))
        if value < low - slack - same or value > high + slack + same or Reader._is_far(value, channel):
            notes.refuse(Reason.EXTRAPOLATION, at)
        elif value < low - same or value > high + same:
            notes.warn(Reason.EXTRAPOLATION, at)

    @staticmethod
    def _is_far(value: float, channel: Channel) -> bool:
        """Whether a value is beyond the margin on a modelling scale that is not the unit's own.

        A tenth of the least value of training is no further from it in the unit than a little noise is, and far off on
        a logarithm.
        """
        if channel.head.transform == "identity" or channel.trained is None:
            return False
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high, told = channel.head.forward(np.array([*channel.trained, value])).tolist()
        slack = MARGIN * (high - low)
        if not math.isfinite(slack):
            return False
        return not low - slack - SAME <= told <= high + slack + SAME
