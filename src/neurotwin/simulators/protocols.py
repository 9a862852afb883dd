"""What happens to virtual patients: when they are seen, what is measured, how they are treated."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotwin.schema import Treatment
from neurotwin.simulators.checks import require, require_between, require_positive
from neurotwin.simulators.policies import Policy
from neurotwin.simulators.regimens import Regimen
from neurotwin.simulators.simulator import Simulator

Array = NDArray[np.float64]
MAX_INTERVALS = 100_000


@dataclass(frozen=True)
class Visits:
    """A visit at ``start`` and then every ``interval``, moved by up to ``jitter`` either way (uniform).

    Args:
        interval: planned time between visits.
        jitter: greatest shift of a visit; less than half the interval. The first visit does not move.
        missing: probability that a visit other than the first does not take place.
        dropout: rate, per unit of time, at which subjects leave for good, whatever their state.
        start: time of the first visit.
    """

    interval: float
    jitter: float = 0.0
    missing: float = 0.0
    dropout: float = 0.0
    start: float = 0.0

    def __post_init__(self) -> None:
        where = "visits"
        require_positive(where, interval=self.interval)
        require_between(where, 0, np.inf, jitter=self.jitter, dropout=self.dropout, start=self.start)
        require(self.jitter < self.interval / 2, "jitter", self.jitter, "less than half the interval", where)
        require(0 <= self.missing < 1, "missing", self.missing, "a probability below 1", where)

    def draw(self, rng: np.random.Generator, horizon: float) -> tuple[Array, float]:
        """Times of one subject's visits, rising, and when the subject leaves (infinite: never)."""
        planned = np.arange(self.start, horizon * (1 + 1e-12), self.interval)
        moved = planned + self.jitter * rng.uniform(-1, 1, len(planned))
        moved[0] = planned[0]
        return _attended(moved, rng, horizon, self.missing, self.dropout)

    def check(self, horizon: float) -> None:
        """Raises SimulationError unless the first visit lies within the trial and there are not too many."""
        require_between("protocol", 0, horizon, **{"visits.start": self.start})
        number = horizon / self.interval
        require(number <= MAX_INTERVALS, "number of visits", f"{number:g}", f"at most {MAX_INTERVALS}", "protocol")


@dataclass(frozen=True)
class VisitTimes:
    """Visits at given ``times``, the same for everyone.

    Args:
        times: rising.
        missing, dropout: as in `Visits`.
    """

    times: Sequence[float]
    missing: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        where = "visits"
        require(len(self.times) > 0, "times", list(self.times), "at least one time", where)
        require_between(where, 0, np.inf, dropout=self.dropout, **_numbered("times", self.times))
        require(bool((np.diff(self.times) > 0).all()), "times", list(self.times), "rising times", where)
        require(0 <= self.missing < 1, "missing", self.missing, "a probability below 1", where)

    def draw(self, rng: np.random.Generator, horizon: float) -> tuple[Array, float]:
        """As `Visits.draw`."""
        return _attended(np.array(self.times, dtype=np.float64), rng, horizon, self.missing, self.dropout)

    def check(self, horizon: float) -> None:
        """Raises SimulationError for a visit after the trial."""
        require_between("protocol", 0, horizon, **_numbered("visits.times", self.times))


def _attended(
    times: Array, rng: np.random.Generator, horizon: float, missing: float, dropout: float
) -> tuple[Array, float]:
    """The visits that take place, the first always, and when the subject leaves."""
    seen = rng.random(len(times)) >= missing
    leaves = rng.exponential() / dropout if dropout else np.inf
    first = np.arange(len(times)) == 0
    return times[first | (seen & (times <= horizon) & (times <= leaves))], float(leaves)


def _numbered(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}[{number}]": value for number, value in enumerate(values)}


@dataclass(frozen=True)
class Assay:
    """How a variable is measured: value (1 + proportional e1) + additive e2, e1 and e2 standard normal.

    Args:
        variable: name in the simulator.
        proportional: relative SD.
        additive: SD in the variable's unit.
        lower_limit, upper_limit: limits of quantification; what lies beyond is recorded as the limit, censored.
    """

    variable: str
    proportional: float = 0.0
    additive: float = 0.0
    lower_limit: float | None = None
    upper_limit: float | None = None

    def __post_init__(self) -> None:
        where = f"assay of {self.variable}"
        require_between(where, 0, np.inf, proportional=self.proportional, additive=self.additive)
        low, high = self._limits
        require(low < high, "limits", [self.lower_limit, self.upper_limit], "lower_limit < upper_limit", where)

    @property
    def _limits(self) -> tuple[float, float]:
        low = -np.inf if self.lower_limit is None else self.lower_limit
        return low, np.inf if self.upper_limit is None else self.upper_limit

    def measure(self, value: Array, noise: Array) -> tuple[Array, NDArray[np.int8]]:
        """Measured values and censoring (-1 / 0 / 1) of true ``value`` ``[visit]``; ``noise`` ``[visit, 2]``."""
        measured = value * (1 + self.proportional * noise[:, 0]) + self.additive * noise[:, 1]
        low, high = self._limits
        censor = np.where(measured < low, -1, np.where(measured > high, 1, 0)).astype(np.int8)
        return np.clip(measured, low, high), censor


class Measurement(typing.Protocol):
    """How a variable is measured: `Assay`, or another with these."""

    @property
    def variable(self) -> str:
        """Name in the simulator."""
        ...

    @property
    def additive(self) -> float:
        """SD of an error that does not shrink with the value, and so may pass below 0."""
        ...

    @property
    def lower_limit(self) -> float | None:
        """Limit of quantification, if there is one."""
        ...

    def measure(self, value: Array, noise: Array) -> tuple[Array, NDArray[np.int8]]:
        """See `Assay.measure`."""
        ...


@dataclass(frozen=True)
class Protocol:
    """A trial.

    Args:
        horizon: how long it lasts, in the simulator's time unit.
        visits: when subjects are seen.
        assays: how variables are measured; one that is not named is measured without error.
        regimens: treatments planned ahead.
        policy: treatments decided on the way.
    """

    horizon: float
    visits: Visits | VisitTimes
    assays: Sequence[Measurement] = ()
    regimens: Sequence[Regimen] = ()
    policy: Policy | None = None

    def __post_init__(self) -> None:
        where = "protocol"
        require_positive(where, horizon=self.horizon)
        self.visits.check(self.horizon)
        if self.policy is not None:
            number = self.horizon / self.policy.interval
            require(number <= MAX_INTERVALS, "number of decisions", f"{number:g}", f"at most {MAX_INTERVALS}", where)
        names = [assay.variable for assay in self.assays]
        require(len(set(names)) == len(names), "list of assays", names, "one per variable", where)

    def check(self, simulator: Simulator) -> None:
        """Raises SimulationError where the protocol names or does what the simulator does not have."""
        given = [*(item.treatment for item in self.regimens), *(self.policy.treatments if self.policy else ())]
        seen = [*(item.variable for item in self.assays), *([self.policy.variable] if self.policy else [])]
        for kind, names, known in (("treatment", given, simulator.treatments), ("variable", seen, simulator.variables)):
            choices = [item.name for item in known]
            for name in names:
                require(name in choices, kind, repr(name), " | ".join(choices), f"protocol for {simulator.name}")
        treatments = {item.name: item for item in simulator.treatments}
        for regimen in self.regimens:
            _check_regimen(regimen, treatments[regimen.treatment])
        looks_back = self.policy is not None and simulator.window is not None
        require(not looks_back, "policy", "set", f"none, as observing {simulator.name} takes time", "protocol")
        logs = [item.name for item in simulator.variables if item.transform == "log"]
        for assay in self.assays:
            holds = not (assay.additive and assay.variable in logs and assay.lower_limit is None)
            expected = "a limit, as the additive error can pass below 0"
            require(holds, "lower_limit", None, expected, f"assay of {assay.variable}")


def _check_regimen(regimen: Regimen, treatment: Treatment) -> None:
    where, (low, high) = f"regimen of {treatment.name}", treatment.plausible
    for amount in regimen.given:
        holds = amount == 0 or low <= amount <= high
        require(holds, "amount", f"{amount:g}", f"{low:g} to {high:g} {treatment.unit}", where)
    bolus, duration = treatment.kind == "bolus", getattr(regimen, "duration", None)
    expected = "null, as it is a bolus" if bolus else f"a time, as it is of kind {treatment.kind}"
    require((duration is None) == bolus, "duration", duration, expected, where)
