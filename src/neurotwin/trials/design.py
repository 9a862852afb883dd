"""What a trial is made of: its arms, what counts as eligible, how subjects are allocated, what is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurotwin.errors import ConfigError
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.regimens import Cycles, Listed, RandomCycles, Regimen
from neurotwin.trials.adverse_events import AdverseEvent
from neurotwin.trials.dropout import Dropout
from neurotwin.trials.eligibility import Criterion
from neurotwin.trials.endpoints import Endpoint
from neurotwin.trials.groups import Split
from neurotwin.trials.randomisation import Randomisation


@dataclass(frozen=True)
class Arm:
    """What one group is given from randomisation on.

    Args:
        regimens: their times count from randomisation; none: no treatment.
        protocol: instead, the regimens of a protocol, moved so that its first dose falls ``delay`` after randomisation.
        delay: see ``protocol``, in the simulator's time unit.
    """

    regimens: Sequence[Regimen] = ()
    protocol: Protocol | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.protocol is None:
            return
        if self.regimens:
            raise ConfigError("both regimens and a protocol", where="arm", expected="one of them")
        if self.protocol.policy is not None:
            raise ConfigError(
                "a protocol whose treatments are decided on the way", where="arm", expected="one with regimens alone"
            )
        first = min((_first(one) for one in self.protocol.regimens), default=0.0)
        moved = [_moved(one, self.delay - first) for one in self.protocol.regimens]
        object.__setattr__(self, "regimens", tuple(moved))


def _first(regimen: Regimen) -> float:
    if isinstance(regimen, Cycles):
        return regimen.start + regimen.offsets[0]
    if isinstance(regimen, Listed):
        return min(regimen.times, default=np.inf)
    if isinstance(regimen, RandomCycles):
        return float(regimen.start[0])
    raise ConfigError(
        f"a regimen of type {type(regimen).__name__}", where="arm", expected="Cycles, Listed, RandomCycles"
    )


def _moved(regimen: Regimen, by: float) -> Regimen:
    if isinstance(regimen, Listed):
        return replace(regimen, times=[time + by for time in regimen.times])
    if isinstance(regimen, RandomCycles):
        return replace(regimen, start=[time + by for time in regimen.start])
    if isinstance(regimen, Cycles):
        return replace(regimen, start=regimen.start + by)
    return regimen


@dataclass(frozen=True)
class Sizes:
    """How large the parts of a trial are.

    Args:
        randomised: subjects of the trial.
        screened: virtual patients who are looked at for it; all the eligible among them are the population about which
            the truth is told and from which trials are repeated.
        power: total sizes at which the power is told.
        replicates: trials per size, and of the comparison of analyses.
    """

    randomised: int = 200
    screened: int = 1000
    power: Sequence[int] = (50, 100, 200, 400)
    replicates: int = 200

    def __post_init__(self) -> None:
        for name, least in (("randomised", 8), ("screened", 8), ("replicates", 10)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}", where="sizes", expected=f"at least {least}")
        if any(size < 8 for size in self.power):
            raise ConfigError(f"power is {list(self.power)}", where="sizes", expected="totals of at least 8")
        if self.randomised > self.screened:
            raise ConfigError(
                f"{self.randomised} randomised of {self.screened} screened",
                where="sizes",
                expected="at least as many screened as randomised",
            )


def _names_a_factor(shift: Sequence[Any]) -> bool:
    return len(shift) == 2 and isinstance(shift[0], str) and isinstance(shift[1], int | float) and shift[1] > 0


@dataclass(frozen=True)
class Design:
    """A randomised trial of two arms.

    Attributes:
        title, question: in words.
        arms: two, by name; the first is the control.
        cut: time of randomisation, in the simulator's time unit from the start of the course.
        endpoints: by name; the first is the primary one.
        adverse_events: by name.
        eligibility: conditions, all of which must hold.
        subgroups: within which the effect is told.
        shift: parameter of the simulator and the factor by which it is larger in a population whose difference nobody
            has measured: what an external control suffers from.
        tolerance: greatest gap between both engines, in standard deviations of an outcome, that counts as agreement.
    """

    title: str
    question: str
    arms: Mapping[str, Arm]
    cut: float
    endpoints: Mapping[str, Endpoint]
    adverse_events: Mapping[str, AdverseEvent] = field(default_factory=dict)
    eligibility: Sequence[Criterion] = ()
    randomisation: Randomisation = field(default_factory=Randomisation)
    dropout: Dropout = field(default_factory=Dropout)
    subgroups: Sequence[Split] = ()
    sizes: Sizes = field(default_factory=Sizes)
    shift: Sequence[Any] | None = None
    confidence: float = 0.95
    tolerance: float = 0.2

    def __post_init__(self) -> None:
        if len(self.arms) != 2:
            raise ConfigError(
                f"{len(self.arms)} arms: {', '.join(self.arms) or 'none'}",
                where="trial",
                expected="two, the control first",
                remedy="remove one with ~arms.NAME, or compare the others in a second trial",
            )
        if not self.endpoints:
            raise ConfigError("no endpoint", where="trial", expected="at least one")
        if not 0.5 < self.confidence < 1:
            raise ConfigError(f"confidence is {self.confidence:g}", where="trial", expected="0.5 < confidence < 1")
        if not self.cut > 0:
            raise ConfigError(f"cut is {self.cut:g}", where="trial", expected="a time after 0: baseline is seen before")
        self.randomisation.check(len(self.arms))
        if self.shift is not None and not _names_a_factor(self.shift):
            raise ConfigError(f"shift is {list(self.shift)}", where="trial", expected="[PARAMETER, FACTOR]")

    @property
    def control(self) -> str:
        """Name of the control arm."""
        return next(iter(self.arms))

    @property
    def treated(self) -> str:
        """Name of the other arm."""
        return list(self.arms)[1]

    @property
    def alpha(self) -> float:
        """Two-sided level of the tests."""
        return 1 - self.confidence
