"""What a site calls an alert, as a document that is parsed as strictly as patients and plans are."""

from dataclasses import dataclass

from neurotwin.runtime.kinds import Fault, ListOf, Number, Record, Text, has

KINDS = ("outside_interval", "drift", "stuck_signal", "stale_input")
MOST_CHANNELS, LONGEST_RUN = 1000, 100


@dataclass(frozen=True)
class OutsideRule:
    """An observation outside its forecast interval. ``level`` of the interval, by default the one that the bundle's
    calibration aims at; other levels follow the forecast's quantiles, and a normal tail beyond the last of them."""

    level: float | None = has(Number(), default=None)

    def __post_init__(self) -> None:
        if self.level is not None and not 0 < self.level < 1:
            raise Fault("level is not a probability", "0 < level < 1")


@dataclass(frozen=True)
class DriftRule:
    """A two-sided CUSUM of a channel's scores (Page 1954, Biometrika 41:100): ``reference``, half of the shift that is
    looked for, and the ``limit`` of the sum, both in standard deviations."""

    reference: float = has(Number(), default=0.5)
    limit: float = has(Number(), default=5.0)

    def __post_init__(self) -> None:
        if not (0 < self.reference <= 2 and 1 <= self.limit <= 20):
            raise Fault("the chart is out of range", "0 < reference <= 2, 1 <= limit <= 20")


@dataclass(frozen=True)
class Resolution:
    """The smallest step by which the records of a channel differ: a meter that shows whole numbers has step 1."""

    channel: str = has(Text())
    step: float = has(Number())
    unit: str = has(Text())

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise Fault("step is not positive", "step > 0")


@dataclass(frozen=True)
class StuckRule:
    """Between ``least`` and ``most`` records in a row whose spread is as small as the forecasts give it a
    ``probability`` for. Without a ``resolution`` that of a channel is the least difference in its record so far."""

    probability: float = has(Number(), default=1e-6)
    least: float = has(Number(), default=3)
    most: float = has(Number(), default=12)
    resolution: tuple[Resolution, ...] = has(ListOf(Record(Resolution), MOST_CHANNELS), default=())

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise Fault("probability is out of range", "0 < probability < 1")
        whole = self.least == int(self.least) and self.most == int(self.most)
        if not (whole and 2 <= self.least <= self.most <= LONGEST_RUN):
            raise Fault("a run is out of range", f"whole numbers, 2 <= least <= most <= {LONGEST_RUN}")


@dataclass(frozen=True)
class StaleRule:
    """The ``longest`` time, in the policy's time unit, that may pass without a record of a channel."""

    channel: str = has(Text())
    longest: float = has(Number())

    def __post_init__(self) -> None:
        if not self.longest > 0:
            raise Fault("longest is not positive", "longest > 0")


@dataclass(frozen=True)
class AlertPolicyDocument:
    """Which ``kinds`` of alert are looked for, and when each is one. ``since``: only alerts after it are told.

    How often a channel is usually heard of stands in no bundle: ``stale_input`` is told of the channels that ``stale``
    names, and of no other.
    """

    time_unit: str | None = has(Text(), default=None)
    since: float | None = has(Number(), default=None)
    kinds: tuple[str, ...] = has(ListOf(Text(KINDS), len(KINDS)), default=KINDS)
    outside: OutsideRule = has(Record(OutsideRule), factory=OutsideRule)
    drift: DriftRule = has(Record(DriftRule), factory=DriftRule)
    stuck: StuckRule = has(Record(StuckRule), factory=StuckRule)
    stale: tuple[StaleRule, ...] = has(ListOf(Record(StaleRule), MOST_CHANNELS), default=())

    def __post_init__(self) -> None:
        if self.time_unit is None and (self.stale or self.since is not None):
            raise Fault("a time without its unit", "time_unit")
        for rules in (self.stale, self.stuck.resolution):
            if len({rule.channel for rule in rules}) < len(rules):
                raise Fault("a channel stands twice", "each channel once")
