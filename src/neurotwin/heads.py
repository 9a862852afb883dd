"""Observation heads: what is recorded of a quantity that is modelled as a continuous one.

Every variable has a latent value, Gaussian (or Student-t) on its modelling scale. What is recorded is a monotone
function of it: rounded to a grid and cut off at the ends of the support. So the quantiles of what is recorded are the
records of the latent quantiles, and the probability of a record is that of an interval of the latent value:

    gaussian, student_t   the value itself (support: the open interval of a logit, else none)
    bounded               cut off at the support: Tobin 1958, Econometrica 26:24
    ordinal               rounded to steps and cut off: McCullagh 1980, J R Stat Soc B 42:109, with equal steps
    bernoulli             1 above one half, else 0: probit, P(1) = Phi((location - 1/2) / scale)
    count                 whole numbers from 0 on, of a log-normal value: a discretised log-normal

Numpy only, without pydantic: the runtime reads heads from a bundle's signature.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

KINDS = ("gaussian", "student_t", "bounded", "ordinal", "bernoulli", "count")
TRANSFORMS = ("identity", "log", "logit")
MOST_STEPS = 200
"""More steps than these are a continuous scale: bounded."""


@dataclass(frozen=True)
class Head:
    """How one variable is modelled and recorded.

    Attributes:
        kind: one of `KINDS`.
        transform: modelling scale, ``log`` is ``ln(x + offset)``, ``logit`` is ``ln((x - low) / (high - x))``.
        offset: of the logarithm.
        low, high: the support, in the variable's unit; infinite where it has no end.
        step: distance between the values that are recorded; 0 where all are.
        degrees_of_freedom: of a Student-t.

    Raises:
        ValueError: these contradict each other; the message names what does.
    """

    kind: str = "gaussian"
    transform: str = "identity"
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0
    degrees_of_freedom: float = math.inf

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.transform not in TRANSFORMS:
            raise ValueError(f"an unknown head or transform ({', '.join(KINDS)}; {', '.join(TRANSFORMS)})")
        if not self.low < self.high:
            raise ValueError("support must rise")
        _CHECKS[self.kind](self)
        if (self.kind == "student_t") != math.isfinite(self.degrees_of_freedom) or not self.degrees_of_freedom > 2:
            raise ValueError("degrees_of_freedom belong to a student_t, and are above 2")
        ends = math.isfinite(self.low) and math.isfinite(self.high)
        if self.transform == "logit" and not (ends and self.kind in ("gaussian", "student_t")):
            raise ValueError("a logit is for a gaussian or student_t with a finite support")
        if self.transform == "log" and not self.is_exact and not self.low + self.offset > 0:
            raise ValueError("on a log scale the support plus offset must start above 0")

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From a variable of a schema as plain data; what is not told is that of a gaussian."""
        low, high = content.get("support") or (None, None)
        degrees = content.get("degrees_of_freedom")
        return cls(
            kind=str(content.get("head", "gaussian")),
            transform=str(content.get("transform", "identity")),
            offset=float(content.get("offset", 0.0)),
            low=-math.inf if low is None else float(low),
            high=math.inf if high is None else float(high),
            step=float(content.get("step", 0.0)),
            degrees_of_freedom=math.inf if degrees is None else float(degrees),
        )

    @property
    def is_exact(self) -> bool:
        """Whether the latent value itself is recorded."""
        return self.kind in ("gaussian", "student_t")

    def forward(self, value: Array) -> Array:
        """Unit to modelling scale."""
        if self.transform == "logit":
            return np.asarray(np.log((value - self.low) / (self.high - value)))
        return np.log(value + self.offset) if self.transform == "log" else value

    def inverse(self, value: Array) -> Array:
        """Modelling scale to unit: the latent value, which need not lie in the support."""
        if self.transform == "logit":
            return np.asarray(self.low + (self.high - self.low) * (0.5 + 0.5 * np.tanh(0.5 * value)))
        return np.exp(value) - self.offset if self.transform == "log" else value

    def recorded(self, value: Array) -> Array:
        """What is recorded of latent values in the variable's unit; a record is recorded as itself."""
        if self.is_exact:
            return value
        if self.step:
            anchor = self.low if math.isfinite(self.low) else 0.0
            value = anchor + self.step * np.floor((value - anchor) / self.step + 0.5)
        return np.clip(value, self.low, self.high)

    def cell(self, value: Array) -> tuple[Array, Array]:
        """Ends of the latent values, on the modelling scale, of which ``value`` is recorded; infinite in the tails."""
        if self.is_exact:
            latent = self.forward(value)
            return latent, latent
        record = self.recorded(value)
        half = self.step / 2
        low, high = (self._forward_or_below(record + sign * half) for sign in (-1, 1))
        return np.where(record <= self.low, -np.inf, low), np.where(record >= self.high, np.inf, high)

    def on_grid(self, value: Array) -> NDArray[np.bool_]:
        """Whether each value is one that can be recorded, to a millionth of a step."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(self.recorded(value) - value) <= 1e-6 * (self.step or 1.0))

    @property
    def edges(self) -> Array:
        """``[step]`` latent values, on the modelling scale, at which the record rises; of a count the first ones."""
        if not self.step:
            return np.zeros(0)
        n_steps = round((self.high - self.low) / self.step) if math.isfinite(self.high) else 16
        return self.forward(self.low + self.step * (np.arange(n_steps, dtype=np.float64) + 0.5))

    def _forward_or_below(self, value: Array) -> Array:
        """On the modelling scale; minus infinity where a logarithm has nothing."""
        if self.transform != "log":
            return value
        positive = value + self.offset > 0
        return np.where(positive, np.log(np.where(positive, value + self.offset, 1.0)), -np.inf)


def standard_quantile(level: float, degrees_of_freedom: float = math.inf) -> float:
    """Quantile of a normal distribution, or of a Student-t, that is brought to mean 0 and variance 1."""
    if math.isinf(degrees_of_freedom):
        return NormalDist().inv_cdf(level)
    # With x = sqrt(nu) tan(a), the density of Student's t over a is proportional to cos(a) ** (nu - 1).
    angle = np.linspace(0, np.pi / 2, 20_001)
    density = np.maximum(np.cos(angle), 0) ** (degrees_of_freedom - 1)
    share = np.r_[0.0, np.cumsum((density[1:] + density[:-1]) / 2)]
    found = np.interp(abs(2 * level - 1) * share[-1], share, angle)
    return math.copysign(math.sqrt(degrees_of_freedom - 2) * math.tan(found), level - 0.5)


def _check_exact(head: Head) -> None:
    if head.step or (head.transform != "logit" and (math.isfinite(head.low) or math.isfinite(head.high))):
        raise ValueError(f"a {head.kind} has no step, and a support only with a logit: perhaps bounded or ordinal")


def _check_bounded(head: Head) -> None:
    if head.step or not (math.isfinite(head.low) or math.isfinite(head.high)):
        raise ValueError("bounded needs a support with an end, and no step")


def _check_ordinal(head: Head) -> None:
    if not (head.step > 0 and math.isfinite(head.low) and math.isfinite(head.high)):
        raise ValueError("ordinal needs a support with two ends and a step above 0")
    n_steps = (head.high - head.low) / head.step
    if abs(n_steps - round(n_steps)) > 1e-6 or not 1 <= round(n_steps) <= MOST_STEPS or head.transform != "identity":
        raise ValueError(f"the support of an ordinal is 1 to {MOST_STEPS} whole steps long, on the identity scale")


def _check_bernoulli(head: Head) -> None:
    if (head.low, head.high, head.step, head.transform) != (0.0, 1.0, 1.0, "identity"):
        raise ValueError("bernoulli has support [0, 1] and step 1, on the identity scale")


def _check_count(head: Head) -> None:
    if (head.low, head.high, head.step, head.transform) != (0.0, math.inf, 1.0, "log"):
        raise ValueError("count has support [0, open] and step 1, on the log scale")


_CHECKS = {
    "gaussian": _check_exact,
    "student_t": _check_exact,
    "bounded": _check_bounded,
    "ordinal": _check_ordinal,
    "bernoulli": _check_bernoulli,
    "count": _check_count,
}
