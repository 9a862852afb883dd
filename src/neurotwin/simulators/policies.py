"""Treatments that are decided on the way, by what has become of the subject so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.simulators.checks import require, require_between, require_positive, require_span
from neurotwin.simulators.spheres import sphere_diameter

Array = NDArray[np.float64]


class Policy(Protocol):
    """Decides every ``interval``, beginning at time 0, on the given ``treatments``."""

    @property
    def interval(self) -> float:
        """Time between decisions."""
        ...

    @property
    def treatments(self) -> tuple[str, ...]:
        """Names of the treatments that it gives."""
        ...

    @property
    def variable(self) -> str:
        """Name of the variable that it looks at."""
        ...

    def draw(self, rng: np.random.Generator, n_decisions: int) -> dict[str, Array]:
        """All random numbers of one subject. Numbers (not arrays) are kept in the cohort's truth."""
        ...

    def decide(self, history: Array, draws: Mapping[str, Array]) -> Array:
        """Amounts ``[batch, treatment]`` given now (or held until the next decision).

        ``history`` ``[batch, decision]`` is the variable at all decisions up to now, without assay error; ``draws``
        holds the drawn numbers with a leading batch axis.
        """
        ...


@dataclass(frozen=True)
class Confounded:
    """Treats the sicker more: each treatment is given with probability

        sigmoid(strength / largest (mean - largest / 2))

    where the mean runs over the marker at the decisions of the last ``window``, the present one left out. With the
    diameter as marker, a window of 15 days and a largest diameter of 13 cm it is the policy of the cancer benchmark
    (Lim et al., NeurIPS 2018; Bica et al., ICLR 2020). The doctor sees the true course, of which the record holds
    samples. A share of the subjects is treated at random instead, each with constant probabilities of its own.

    Args:
        variable: what the doctor looks at.
        amounts: bolus of each treatment, or rate until the next decision.
        strength: least and greatest gamma, drawn uniformly per subject; 0 is a coin toss.
        largest: the marker at which treatment becomes near certain.
        marker: the ``value`` itself, or the ``diameter`` of a sphere with this volume.
        interval: time between decisions; the first on which treatment is possible is the second.
        window: how far back the mean goes.
        randomised_share: probability that a subject is treated at random.
        randomised_rate: least and greatest probability of a treatment at a decision for those subjects.
    """

    variable: str
    amounts: Mapping[str, float]
    strength: Sequence[float]
    largest: float
    marker: Literal["value", "diameter"] = "value"
    interval: float = 1.0
    window: float = 15.0
    randomised_share: float = 0.0
    randomised_rate: Sequence[float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        where = "policy"
        require_span(where, -np.inf, np.inf, strength=self.strength)
        require_span(where, 0, 1, randomised_rate=self.randomised_rate)
        require_between(where, 0, 1, randomised_share=self.randomised_share)
        require_positive(where, largest=self.largest, interval=self.interval, window=self.window)
        require(self.marker in ("value", "diameter"), "marker", repr(self.marker), "value | diameter", where)
        require(self.window >= self.interval, "window", self.window, f"at least the interval {self.interval:g}", where)
        require(len(self.amounts) > 0, "amounts", "empty", "an amount per treatment", where)
        require_between(where, 0, np.inf, **self.amounts)

    @property
    def treatments(self) -> tuple[str, ...]:
        return tuple(self.amounts)

    def draw(self, rng: np.random.Generator, n_decisions: int) -> dict[str, Array]:
        return {
            "strength": np.asarray(rng.uniform(self.strength[0], self.strength[1])),
            "randomised": np.asarray(float(rng.random() < self.randomised_share)),
            "rate": rng.uniform(self.randomised_rate[0], self.randomised_rate[1], len(self.amounts)),
            "uniform": rng.random((n_decisions, len(self.amounts))),
        }

    def decide(self, history: Array, draws: Mapping[str, Array]) -> Array:
        now = history.shape[1] - 1
        if now == 0:
            return np.zeros((len(history), len(self.amounts)))
        past = history[:, max(now - round(self.window / self.interval), 0) : now]
        marker = (sphere_diameter(past) if self.marker == "diameter" else past).mean(axis=1)
        confounded = 1 / (1 + np.exp(-draws["strength"] / self.largest * (marker - self.largest / 2)))
        probability = np.where(draws["randomised"][:, None] > 0, draws["rate"], confounded[:, None])
        return np.where(draws["uniform"][:, now] < probability, np.array(list(self.amounts.values())), 0.0)
