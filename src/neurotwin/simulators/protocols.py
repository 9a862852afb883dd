"""What happens to virtual patients: when they are seen, what is measured, how they are treated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        seen = rng.random(len(planned)) >= self.missing
        leaves = rng.exponential() / self.dropout if self.dropout else np.inf
        moved[0], seen[0] = planned[0], True
        kept = seen & (moved <= horizon) & ((moved <= leaves) | (np.arange(len(planned)) == 0))
        return moved[kept], float(leaves)


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
    visits: Visits
    assays: Sequence[Assay] = ()
    regimens: Sequence[Regimen] = ()
    policy: Policy | None = None

    def __post_init__(self) -> None:
        where = "protocol"
        require_positive(where, horizon=self.horizon)
        require_between(where, 0, self.horizon, **{"visits.start": self.visits.start})
        often = {"visits": self.visits.interval} | ({"decisions": self.policy.interval} if self.policy else {})
        for name, interval in often.items():
            number = self.horizon / interval
            require(number <= MAX_INTERVALS, f"number of {name}", f"{number:g}", f"at most {MAX_INTERVALS}", where)
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
        kinds = {item.name: item.kind for item in simulator.treatments}
        for regimen in self.regimens:
            kind, duration = kinds[regimen.treatment], getattr(regimen, "duration", None)
            expected = "null, as it is a bolus" if kind == "bolus" else f"a time, as it is of kind {kind}"
            holds = (duration is None) == (kind == "bolus")
            require(holds, "duration", duration, expected, f"regimen of {regimen.treatment}")
        looks_back = self.policy is not None and simulator.window is not None
        require(not looks_back, "policy", "set", f"none, as observing {simulator.name} takes time", "protocol")
        logs = [item.name for item in simulator.variables if item.transform == "log"]
        for assay in self.assays:
            holds = not (assay.additive and assay.variable in logs and assay.lower_limit is None)
            expected = "a limit, as the additive error can pass below 0"
            require(holds, "lower_limit", None, expected, f"assay of {assay.variable}")
