"""Treatments that are planned ahead: a list of doses, fixed cycles, and cycles drawn at random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.simulators.checks import require, require_between, require_positive, require_span, require_whole

Array = NDArray[np.float64]
MAX_DOSES = 100_000


class Given(NamedTuple):
    """Doses of one subject: ``time``, ``end`` (NaN: a bolus) and ``amount``, each ``[dose]``."""

    time: Array
    end: Array
    amount: Array


class Regimen(Protocol):
    """A plan for one treatment."""

    treatment: str

    @property
    def given(self) -> Sequence[float]:
        """All amounts that it may give."""
        ...

    def draw(self, rng: np.random.Generator, horizon: float) -> Given:
        """The doses of one subject between 0 and ``horizon``."""
        ...


@dataclass(frozen=True)
class Listed:
    """Doses one by one, the same for everyone.

    Args:
        treatment: name in the simulator.
        times: not falling; all before the horizon.
        amounts: one per time.
        durations: how long each lasts; None: boluses.
    """

    treatment: str
    times: Sequence[float]
    amounts: Sequence[float]
    durations: Sequence[float] | None = None

    def __post_init__(self) -> None:
        where, n = f"regimen of {self.treatment}", len(self.times)
        require_between(where, 0, np.inf, **{f"times[{i}]": value for i, value in enumerate(self.times)})
        require(bool((np.diff(self.times) >= 0).all()), "times", list(self.times), "times that do not fall", where)
        require_between(where, -np.inf, np.inf, **{f"amounts[{i}]": value for i, value in enumerate(self.amounts)})
        require_positive(where, **{f"durations[{i}]": value for i, value in enumerate(self.durations or ())})
        for name in ("amounts", "durations"):
            values = getattr(self, name)
            require(values is None or len(values) == n, name, f"{values}", f"{n} numbers, one per time", where)

    @property
    def duration(self) -> Sequence[float] | None:
        """None for boluses."""
        return self.durations

    @property
    def given(self) -> Sequence[float]:
        """All amounts that it may give."""
        return self.amounts

    def draw(self, rng: np.random.Generator, horizon: float) -> Given:
        """Nothing is random here. Raises SimulationError for a dose at or after the horizon."""
        time = np.array(self.times, dtype=np.float64)
        late = time[time >= horizon]
        where = f"regimen of {self.treatment}"
        require(not len(late), "time of a dose", late[0] if len(late) else None, f"before {horizon:g}", where)
        end = np.full(len(time), np.nan) if self.durations is None else time + np.asarray(self.durations)
        return Given(time, end, np.array(self.amounts, dtype=np.float64))


@dataclass(frozen=True)
class Cycles:
    """The same doses in each cycle.

    Args:
        treatment: name in the simulator.
        amount: of a bolus, or the rate or level of an infusion or setting; in the treatment's unit.
        interval: length of a cycle.
        offsets: times within the cycle; weekday fractions are interval 7 and offsets 0 to 4.
        start: begin of the first cycle.
        count: number of doses; None: until the horizon.
        duration: how long each dose lasts; None: a bolus.
    """

    treatment: str
    amount: float
    interval: float
    offsets: Sequence[float] = (0.0,)
    start: float = 0.0
    count: int | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        where = f"regimen of {self.treatment}"
        require_positive(where, interval=self.interval, duration=self.duration)
        require_between(where, -np.inf, np.inf, amount=self.amount)
        require_between(where, 0, np.inf, start=self.start)
        edges = np.diff([0.0, *self.offsets, self.interval])
        rises = len(self.offsets) > 0 and edges[0] >= 0 and bool((edges[1:] > 0).all())
        require(rises, "offsets", list(self.offsets), "rising times within the interval", where)
        if self.count is not None:
            require_whole(where, 0, count=self.count)

    @property
    def given(self) -> Sequence[float]:
        """All amounts that it may give."""
        return (self.amount,)

    def draw(self, rng: np.random.Generator, horizon: float) -> Given:
        """Nothing is random here. Raises SimulationError for too many doses."""
        n_cycles = max(0.0, np.ceil((horizon - self.start) / self.interval))
        n_doses = n_cycles * len(self.offsets)
        require(
            n_doses <= MAX_DOSES, "number of doses", n_doses, f"at most {MAX_DOSES}", f"regimen of {self.treatment}"
        )
        begin = self.start + np.arange(n_cycles) * self.interval
        time = (begin[:, None] + np.asarray(self.offsets, dtype=np.float64)).ravel()[: self.count]
        time = time[time < horizon]
        end = time + (np.nan if self.duration is None else self.duration)
        return Given(time, end, np.full(len(time), float(self.amount)))


@dataclass(frozen=True)
class RandomCycles:
    """Cycles whose amount, interval, begin and number are drawn for each subject, each uniformly and independently.

    Nothing about the subject enters, so that treatment and outcome have no common cause.

    Args:
        treatment: name in the simulator.
        amounts, intervals: values to choose from.
        start: earliest and latest begin.
        count: least and greatest number of doses.
        share: probability that a subject is treated at all.
        duration: how long each dose lasts; None: a bolus.
    """

    treatment: str
    amounts: Sequence[float]
    intervals: Sequence[float]
    start: Sequence[float] = (0.0, 0.0)
    count: Sequence[int] = (1, 1)
    share: float = 1.0
    duration: float | None = None

    def __post_init__(self) -> None:
        where = f"regimen of {self.treatment}"
        require_between(where, 0, 1, share=self.share)
        require_span(where, 0, np.inf, start=self.start, count=self.count)
        for name, values in (("amounts", self.amounts), ("intervals", self.intervals)):
            require(len(values) > 0, name, list(values), "at least one value", where)
        require_between(where, -np.inf, np.inf, **{f"amounts[{i}]": value for i, value in enumerate(self.amounts)})
        require_positive(where, duration=self.duration, **{f"intervals[{i}]": v for i, v in enumerate(self.intervals)})

    @property
    def given(self) -> Sequence[float]:
        """All amounts that it may give."""
        return self.amounts

    def draw(self, rng: np.random.Generator, horizon: float) -> Given:
        amount, interval = rng.choice(np.asarray(self.amounts)), rng.choice(np.asarray(self.intervals))
        start = rng.uniform(self.start[0], self.start[1])
        count = int(rng.integers(self.count[0], self.count[1], endpoint=True))
        treated = rng.random() < self.share
        cycles = Cycles(self.treatment, float(amount), float(interval), start=start, duration=self.duration)
        return replace(cycles, count=count if treated else 0).draw(rng, horizon)
