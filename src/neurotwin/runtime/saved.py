"""A twin as plain data and back: its history as a patient document, its state, and the bundle of that state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurotwin.errors import DocumentError
from neurotwin.runtime.channels import FIELD_OF
from neurotwin.runtime.documents import MOST_EVENTS, PatientDocument
from neurotwin.runtime.kinds import Fault, ListOf, MapOf, Number, Record, Text, has
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason

if TYPE_CHECKING:
    from neurotwin.runtime.twin import Twin

FORMAT = "1"
PLACES = MapOf(ListOf(Text(), MOST_EVENTS), len(Reason))
JUDGED_ANEW = (Reason.EXTRAPOLATION, Reason.OOD)
"""Reasons that another bundle finds out for itself when it replays; all others are about what it never gets to see."""


@dataclass(frozen=True)
class SavedTwin:
    """What `save` writes. ``state`` and ``support`` are null before anything was taken in."""

    format: str = has(Text((FORMAT,)))
    sha256: str = has(Text())
    bundle: str = has(Text())
    clock: float = has(Number())
    refused: dict[str, tuple[str, ...]] = has(PLACES)
    warned: dict[str, tuple[str, ...]] = has(PLACES)
    patient: PatientDocument | None = has(Record(PatientDocument), default=None)
    state: tuple[float, ...] | None = has(ListOf(Number(), MOST_EVENTS), default=None)
    support: float | None = has(Number(), default=None)


_SAVED = Record(SavedTwin)


def save(twin: Twin) -> dict[str, Any]:
    """Plain data for JSON. Values are in the bundle's units; notes keep their reasons and places."""
    past, bundle = twin.past, twin.predictor.bundle
    return {
        "format": FORMAT,
        "sha256": bundle.sha256,
        "bundle": f"{bundle.name}@{bundle.version}",
        "patient": None if twin.id is None else _document(twin),
        "clock": past.clock,
        "state": None if past.state is None else past.state[0].tolist(),
        "support": past.support if math.isfinite(past.support) else None,
        "refused": {str(reason): places for reason, places in twin.notes.refused.items()},
        "warned": {str(reason): places for reason, places in twin.notes.warned.items()},
    }


def restore(twin: Twin, content: Any) -> None:
    """Fill a new twin with what `save` gave; raises DocumentError when it is something else."""
    try:
        saved: SavedTwin = _SAVED.read(content)
        refused, warned = _reasons(saved.refused), _reasons(saved.warned)
    except (Fault, ValueError) as error:
        place = ".".join(error.path) if isinstance(error, Fault) else "reasons"
        raise DocumentError(
            "not a saved twin", where=f"twin: {place}" if place else "twin", expected="what Twin.to_dict gave"
        ) from None
    own = saved.sha256 == twin.predictor.bundle.sha256
    if own and saved.state is not None and len(saved.state) != twin.predictor.signature.state_size:
        raise DocumentError("the state has another size", where="twin: state", expected="what Twin.to_dict gave")
    if saved.patient is not None:
        twin.observe(saved.patient) if not own else _put_back(twin, saved)
    kept = {reason: places for reason, places in refused.items() if own or reason not in JUDGED_ANEW}
    spoken = {reason: places for reason, places in warned.items() if own or reason not in JUDGED_ANEW}
    twin.notes = twin.notes.merged(Notes(kept, spoken))


def _put_back(twin: Twin, saved: SavedTwin) -> None:
    """History and state as they were, without running a graph."""
    patient, past, reader, unused = saved.patient, twin.past, twin.predictor.reader, Notes()
    if patient is None:
        return
    twin.id, twin.index_time, twin.now = patient.id, patient.index_time, patient.now
    past.statics = reader.statics_of(patient, unused)
    past.observations = reader.observations_of(patient.observations, 1.0, unused)
    past.doses = reader.doses_of(patient.treatments, 1.0, "", unused)
    past.clock, past.support = saved.clock, math.nan if saved.support is None else saved.support
    past.state = None if saved.state is None else np.array([saved.state], dtype=np.float32)


def _document(twin: Twin) -> dict[str, Any]:
    """The history as a patient document in the bundle's units."""
    past, signature = twin.past, twin.predictor.signature
    static: dict[str, Any] = {}
    for channel, value in zip(signature.statics, past.statics[0].tolist(), strict=True):
        if math.isfinite(value):
            static[channel.name] = (
                channel.levels[int(value)] if channel.levels else {"value": value, "unit": channel.unit}
            )
    seen, given = past.observations, past.doses
    observations = [
        {
            "t": t,
            "variable": signature.variables[v].name,
            "value": value,
            "unit": signature.variables[v].unit,
            "post_dose": post,
        }
        for t, v, value, post in zip(
            *(column.tolist() for column in (seen.time, seen.variable, seen.value, seen.post_dose)), strict=True
        )
    ]
    treatments = []
    for t, end, index, amount in zip(
        *(column.tolist() for column in (given.time, given.end, given.treatment, given.amount)), strict=True
    ):
        channel = signature.treatments[index]
        record = {"t": t, "treatment": channel.name, FIELD_OF[channel.kind]: amount, "unit": channel.unit}
        treatments.append(record | ({"t_end": end} if math.isfinite(end) else {}))
    document = {
        "id": twin.id,
        "time_unit": signature.time_unit,
        "static": static,
        "observations": observations,
        "treatments": treatments,
    }
    told = {"now": twin.now, "index_time": twin.index_time}
    return document | {name: value for name, value in told.items() if value is not None}


def _reasons(told: dict[str, tuple[str, ...]]) -> dict[Reason, list[str]]:
    return {Reason(name): list(places) for name, places in told.items()}
