"""Many versions of one patient's record and plan, each walked from its first event, side by side in one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses, EventTable, Observations, Queries
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import SAME
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]
Table = TypeVar("Table", bound=EventTable)
MOST_CELLS = 4_000_000
"""Cells of a batch's padded tables, so that a long record does not fill the memory."""


@dataclass(frozen=True)
class Variant:
    """A record and a plan, in the bundle's units, on the patient's clock.

    Attributes:
        observations, given, planned: flat events.
        statics: ``[static]`` raw covariates, NaN where unknown.
    """

    observations: Observations
    given: Doses
    planned: Doses
    statics: Array

    @property
    def first(self) -> float:
        """Where the walk begins."""
        return float(min([0.0, *self.observations.time.tolist(), *self.given.time[self.given.is_bolus].tolist()]))

    @property
    def clock(self) -> float:
        """Time of the last observation or begin of treatment."""
        return float(max([self.first, *self.observations.time.tolist(), *self.given.time.tolist()]))

    @property
    def n_visits(self) -> int:
        """Distinct times of observation."""
        return len(set(self.observations.time.tolist()))

    def history(self) -> Doses:
        """Doses up to the clock; what ends later has not ended yet."""
        return replace(self.given, end=np.where(self.given.end > self.clock, np.inf, self.given.end))

    def ahead(self, begin: float, *, stop: bool) -> Doses:
        """Doses from the clock on: those that run, up to ``begin`` if they ``stop`` there, and the planned ones."""
        held = self.given.take(~self.given.is_bolus & (self.given.end > self.clock))
        if stop:
            held = replace(held, end=np.minimum(held.end, begin))
            held = held.take(held.end > np.maximum(held.time, self.clock))
        return Doses.concatenate(held, self.planned)


def tell_at(
    predictor: Predictor, variants: Sequence[Variant], begin: float, at: float, *, stop: bool
) -> tuple[dict[str, Array], Array]:
    """What the forecast graph says of each variant at one time ``[variant, ...]``, and each state's support score.

    Args:
        begin: the plan's start.
        at: the time asked about, on the patient's clock.
        stop: whether what runs ends at the plan's start.

    Raises:
        TimelineError: a variant has more events than can be walked.
    """
    parts = [_tell(predictor, part, begin, at, stop) for part in _chunks(predictor, variants)]
    names = parts[0][0]
    return (
        {name: np.concatenate([found[name] for found, _ in parts]) for name in names},
        np.concatenate([support for _, support in parts]),
    )


def _tell(
    predictor: Predictor, variants: Sequence[Variant], begin: float, at: float, stop: bool
) -> tuple[dict[str, Array], Array]:
    n, clock = len(variants), np.array([variant.clock for variant in variants])
    seen = _joined([variant.observations for variant in variants])
    first = np.array([variant.first for variant in variants])
    past = _timeline(predictor, variants, first, seen, _joined([item.history() for item in variants]), Queries.of())
    state, support = predictor.assimilate(past)
    doses = _joined([variant.ahead(begin, stop=stop) for variant in variants])
    reach = clock[doses.subject] + predictor.signature.horizon * (1 + SAME)
    doses = replace(doses, end=np.where(doses.end > reach, np.inf, doses.end)).take(doses.time <= reach)
    queries = Queries.of(np.arange(n), np.full(n, at))
    plan = _timeline(predictor, variants, clock, Observations.of([], [], [], []), doses, queries)
    found = predictor.forecast(state, plan)
    return {name: values[np.arange(n), plan.query_row] for name, values in found.items()}, support


def _timeline(
    predictor: Predictor,
    variants: Sequence[Variant],
    start: Array,
    observations: Observations,
    doses: Doses,
    queries: Queries,
) -> Timeline:
    signature = predictor.signature
    static, mask = signature.encode_statics(np.stack([variant.statics for variant in variants]))
    return build_timeline(
        start=start,
        static=static,
        static_mask=mask,
        n_variables=len(signature.variables),
        n_treatments=len(signature.treatments),
        observations=observations,
        doses=doses,
        queries=queries,
        max_step=signature.max_step,
    )


def _joined(tables: Sequence[Table]) -> Table:
    """Tables of one subject each as a table of as many subjects."""
    numbered = [replace(table, subject=np.full(len(table), index, np.int32)) for index, table in enumerate(tables)]
    return type(tables[0]).concatenate(*numbered)


def _chunks(predictor: Predictor, variants: Sequence[Variant]) -> Iterator[Sequence[Variant]]:
    """Batches whose padded tables stay below `MOST_CELLS`."""
    signature = predictor.signature
    columns = 3 * len(signature.variables) + 2 * len(signature.treatments) + 4
    longest = variants[0]
    events = len(longest.observations) + 2 * (len(longest.given) + len(longest.planned)) + 2
    rows = events + math.ceil((longest.clock - longest.first) / signature.max_step)
    size = max(1, MOST_CELLS // (rows * columns))
    for begin in range(0, len(variants), size):
        yield variants[begin : begin + size]
