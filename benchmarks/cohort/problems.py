"""What is solved: two models, each with a schedule of treatment, as patients, rows and times of output."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from neurotwin.events import Doses, Observations, Queries
from neurotwin.simulators.engine import solve
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova
from neurotwin.timeline import build_timeline


class Segment(NamedTuple):
    """From one event to the next: what is given at the ``begin`` and held, the times of ``output`` to its end, and
    which of them were ``asked`` for (the end itself may not be)."""

    begin: float
    output: np.ndarray
    asked: np.ndarray
    amount: np.ndarray
    control: np.ndarray


@dataclass
class Problem:
    """``n`` patients of a model, all treated by the same ``doses`` and asked every ``interval`` until ``horizon``."""

    name: str
    model: Any
    doses: Doses
    interval: float
    horizon: float
    n: int = 0

    @property
    def times(self) -> np.ndarray:
        """Of output, after 0."""
        return np.arange(1, round(self.horizon / self.interval) + 1) * self.interval

    def draw(self, n: int, seed: int = 1) -> "Problem":
        """With ``n`` patients of the population that the model has by default; adults, where there are age groups."""
        drawn = getattr(self.model, f"{self.model.populations[0]}_population")(5 * n + 50, np.random.default_rng(seed))
        people = replace(self.model, **drawn.parameters)
        adult = drawn.statics[:, 0] == 0 if self.model.statics[0].name == "age_group" else True
        return replace(self, model=people.take(np.flatnonzero(people.screen().accepted & adult)[:n]), n=n)

    def first(self, n: int) -> "Problem":
        """Only the first ``n`` of the patients."""
        return replace(self, model=self.model.take(slice(0, n)), n=n)

    @cached_property
    def timeline(self) -> Any:
        """Rows are cut at events and outputs, so each output is the end of a row."""
        subject, time = np.repeat(np.arange(self.n), len(self.times)), np.tile(self.times, self.n)
        doses, count = self.model.acted_out(self.doses), len(self.model.acted_out(self.doses))
        everyone = Doses.of(
            np.repeat(np.arange(self.n), count),
            *(np.tile(getattr(doses, name), self.n) for name in ("time", "end", "treatment", "amount")),
        )
        none = np.zeros((self.n, 0))
        return build_timeline(
            start=np.zeros(self.n),
            static=none,
            static_mask=none,
            n_variables=1,
            n_treatments=len(self.model.treatments),
            observations=Observations.of(subject, time, 0, 0.0),
            doses=everyone,
            queries=Queries.of(subject, time),
            max_step=self.horizon,
        )

    def states(self, **how: Any) -> np.ndarray:
        """``[patient, output, state]`` by neurotwin; NaN for the few whom the doses do not suit."""
        timeline = self.timeline
        solution = solve(self.model, timeline, **how)
        if np.count_nonzero(solution.status) > 0.01 * self.n:
            raise RuntimeError(f"{self.name}: {np.count_nonzero(solution.status)} patients were rejected")
        rows = timeline.query_row[: len(self.times)]  # the same for everyone
        return np.moveaxis(np.moveaxis(solution.at_query, 0, -1)[rows], -1, 0)

    @cached_property
    def segments(self) -> list[Segment]:
        """The same for all patients, for solvers that know no rows."""
        table, found, clock = self.timeline, [], 0.0
        rows = zip(table.dt[0], table.jump[0], table.control[0], table.query[0] > 0, strict=True)
        for dt, amount, control, asked in rows:
            if amount.any() or not found or (control != found[-1].control).any():
                found.append(Segment(clock, np.zeros(0), np.zeros(0, bool), amount, control))
            clock += dt
            if dt > 0:
                last = found[-1]
                found[-1] = last._replace(output=np.append(last.output, clock), asked=np.append(last.asked, asked))
        return found


def geng() -> Problem:
    """90 days: weekly chemotherapy (13 doses), 30 fractions of 2 Gy on weekdays; asked daily."""
    chemo = [(7.0 * week, 0, 5.0) for week in range(13)]
    radio = [(1.0 + 7 * week + day, 1, 2.0) for week in range(6) for day in range(5)]
    return Problem("geng_nsclc", GengNsclc(), _boluses([*chemo, *radio]), 1.0, 90.0)


def t1d() -> Problem:
    """24 hours: three meals (45, 70 and 80 g), each with its bolus of insulin; asked every 5 minutes."""
    meals = [(60.0, 3, 45.0), (360.0, 3, 70.0), (720.0, 3, 80.0)]
    insulin = [(60.0, 2, 3.0), (360.0, 2, 5.0), (720.0, 2, 5.5)]
    return Problem("t1d_uvapadova", T1dUvaPadova(), _boluses([*meals, *insulin]), 5.0, 1440.0)


def _boluses(given: list[tuple[float, int, float]]) -> Doses:
    time, treatment, amount = map(list, zip(*sorted(given), strict=True))
    return Doses.of(np.zeros(len(time), dtype=np.int64), time, np.nan, treatment, amount)
