"""Records of unseen patients as they would be streamed in, and the faults that are put into them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.failsafe.documents import Document, patient_of

from neurotwin.cohort import Cohort
from neurotwin.runtime import Predictor, Twin
from neurotwin.runtime.past import Past
from neurotwin.runtime.retrospect import look_back

ONSET = 0.5
"""Share of a record's visits after which a fault begins."""


@dataclass(frozen=True)
class Stream:
    """A patient's whole record and the visit at which a fault would begin."""

    patient: Document
    times: tuple[float, ...]
    onset: float


def streams_of(cohort: Cohort, predictor: Predictor, least: int = 8) -> list[Stream]:
    """Of every subject with at least so many visits."""
    found = []
    for subject in range(len(cohort)):
        times = np.unique(cohort.observations.time[cohort.observations.subject == subject])
        if len(times) >= max(least, predictor.signature.min_visits + 2):
            patient = patient_of(cohort, subject, float(times[-1]))
            found.append(Stream(patient, tuple(times.tolist()), float(times[int(ONSET * len(times))])))
    return found


def usual_gaps(streams: list[Stream], variables: list[str]) -> dict[str, float]:
    """The 99.5th percentile of the time between two records of a channel: what a site would call usual."""
    found = {}
    for name in variables:
        gaps: list[float] = []
        for stream in streams:
            gaps += np.diff([one["t"] for one in stream.patient["observations"] if one["variable"] == name]).tolist()
        found[name] = float(np.quantile(gaps, 0.995))
    return found


def deviations(past: Past, column: int) -> float:
    """The median standard deviation of a channel's forecasts, on its modelling scale."""
    _, marginals = look_back(past).of(past, column)
    latent = marginals.latent[np.isfinite(marginals.latent).all(axis=1)]
    middle, upper = marginals.middle, marginals.normal > 0.9
    return float(np.median((latent[:, upper][:, 0] - latent[:, middle]) / marginals.normal[upper][0]))


def spread_at(predictor: Predictor, stream: Stream, column: int = 0) -> float:
    """Standard deviation of the forecast of the visit at which the fault begins, on the modelling scale; NaN where
    that visit has no record of the channel, or none was foretold."""
    past = Twin.of(predictor, stream.patient).past
    found = look_back(past)
    rows, marginals = found.of(past, column)
    here = np.flatnonzero(found.observations.time[rows] >= stream.onset)
    if not len(here):
        return float("nan")
    upper = marginals.normal > 0.9
    return float(
        (marginals.latent[here[0], upper][0] - marginals.latent[here[0], marginals.middle]) / marginals.normal[upper][0]
    )


Change = Callable[[Stream, Any, float], Document]


def stuck(stream: Stream, channel: Any, deviation: float) -> Document:
    """The sensor goes on telling the last value before the fault."""
    patient, rows = _after(stream, channel)
    before = [one for one in patient["observations"] if one["variable"] == channel.name and one["t"] < stream.onset]
    for one in rows if before else ():
        one["value"] = before[-1]["value"]
    return patient


def drifting(stream: Stream, channel: Any, deviation: float) -> Document:
    """The sensor drifts by one standard deviation of a forecast with each visit, on the modelling scale."""
    patient, rows = _after(stream, channel)
    for number, one in enumerate(rows, start=1):
        _shift(one, channel, number * deviation)
    return patient


def shifted(stream: Stream, channel: Any, deviation: float) -> Document:
    """The sensor is off by one standard deviation of a forecast from the fault on."""
    patient, rows = _after(stream, channel)
    for one in rows:
        _shift(one, channel, deviation)
    return patient


def wrong_unit(stream: Stream, channel: Any, deviation: float) -> Document:
    """Values from the fault on are 18 times too large."""
    patient, rows = _after(stream, channel)
    for one in rows:
        one["value"] *= 18.0
    return patient


def silent(stream: Stream, channel: Any, deviation: float) -> Document:
    """Nothing is heard of the channel from the fault on."""
    patient, rows = _after(stream, channel)
    lost = {id(one) for one in rows}
    patient["observations"] = [one for one in patient["observations"] if id(one) not in lost]
    return patient


FAULTS: dict[str, Change] = {
    "stuck at one value": stuck,
    "drift of 1 SD a visit": drifting,
    "offset of 1 SD": shifted,
    "wrong unit, x18": wrong_unit,
    "dropout": silent,
}


def _after(stream: Stream, channel: Any) -> tuple[Document, list[Document]]:
    """A copy of the record, and its observations of the channel from the fault on."""
    patient = copy.deepcopy(stream.patient)
    rows = [one for one in patient["observations"] if one["variable"] == channel.name and one["t"] >= stream.onset]
    return patient, rows


def _shift(one: Document, channel: Any, distance: float) -> None:
    low = channel.plausible[0]
    moved = float(channel.head.inverse(channel.head.forward(np.array(one["value"])) + distance))
    one["value"] = max(moved, low)
