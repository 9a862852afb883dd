"""What one asks of a twin beyond a forecast, as documents that are parsed as strictly as patients and plans are."""

from dataclasses import dataclass

from neurotwin.runtime.documents import MOST_QUERIES
from neurotwin.runtime.documents import Asked as Grid
from neurotwin.runtime.kinds import Fault, ListOf, Number, Text, has

LARGEST_SHARE, MOST_INPUTS = 0.25, 1000


@dataclass(frozen=True)
class EventDocument:
    """A channel ``above`` or ``below`` a value.

    ``when``: at ``any`` time of the grid up to each of its times, or at that time itself (``end``). ``of``: the
    ``course`` of a joint draw, without measurement noise, or a ``record`` of it at every time of the grid, with noise.
    ``alarm``: the risk whose first time is told.
    """

    channel: str = has(Text())
    unit: str | None = has(Text(), default=None)
    above: float | None = has(Number(), default=None)
    below: float | None = has(Number(), default=None)
    when: str = has(Text(("any", "end")), default="any")
    of: str = has(Text(("course", "record")), default="course")
    alarm: float | None = has(Number(), default=None)

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise Fault("not one threshold", "exactly one of above, below")
        if self.alarm is not None and not 0 < self.alarm < 1:
            raise Fault("alarm is not a probability", "0 < alarm < 1")

    @property
    def sign(self) -> float:
        """1 above, -1 below."""
        return -1.0 if self.above is None else 1.0

    @property
    def threshold(self) -> float:
        """The value, in ``unit``."""
        return float(next(value for value in (self.above, self.below) if value is not None))


@dataclass(frozen=True)
class HorizonDocument:
    """When a threshold is looked at, from the plan's start: ``every`` so long ``until`` then, or ``at`` given times."""

    time_unit: str = has(Text())
    every: float | None = has(Number(), default=None)
    until: float | None = has(Number(), default=None)
    at: tuple[float, ...] | None = has(ListOf(Number(), MOST_QUERIES), default=None)

    def __post_init__(self) -> None:
        Grid(self.every, self.until, self.at)

    @property
    def grid(self) -> Grid:
        """The same as a plan's query."""
        return Grid(self.every, self.until, self.at)


@dataclass(frozen=True)
class TargetDocument:
    """A channel of the forecast that is to be explained.

    ``at``: time from the plan's start, in the plan's time unit; by default the last of its query. ``share``: how far
    each input is moved, as a share of its trained range. ``most``: inputs looked at, the latest first.
    """

    channel: str = has(Text())
    at: float | None = has(Number(), default=None)
    share: float = has(Number(), default=0.01)
    most: float = has(Number(), default=200)

    def __post_init__(self) -> None:
        if not 0 < self.share <= LARGEST_SHARE:
            raise Fault("share is out of range", f"0 < share <= {LARGEST_SHARE}")
        if not 1 <= self.most <= MOST_INPUTS or self.most != int(self.most):
            raise Fault("most is out of range", f"a whole number from 1 to {MOST_INPUTS}")
