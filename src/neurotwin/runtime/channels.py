"""signature.json as typed, checked channels: what goes into a bundle's graphs and comes out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import BundleError
from neurotwin.heads import Head
from neurotwin.runtime.distilled import Distilled

Array = NDArray[np.float64]
FIELD_OF = {"bolus": "amount", "infusion": "rate", "setting": "level"}
"""Under which name a document gives each kind of treatment."""


@dataclass(frozen=True)
class Channel:
    """A variable, treatment or covariate of the signature.

    Attributes:
        units: accepted unit -> (factor, offset) to ``unit``.
        plausible: range outside which a value is not believed; an open end is infinite.
        trained: range seen in training, or None.
        kind: of a treatment.
        levels: of a covariate that has levels.
        head: modelling scale of a variable and what is recorded of it, as in `neurotwin.schema.Variable`.
    """

    name: str
    unit: str
    units: Mapping[str, tuple[float, float]]
    plausible: tuple[float, float]
    trained: tuple[float, float] | None
    kind: str = ""
    levels: tuple[str, ...] = ()
    head: Head = Head()

    @classmethod
    def of(cls, content: Mapping[str, Any], scale: Mapping[str, Any] | None = None) -> Self:
        """From an entry of the signature's channels and, for a variable, its entry in the schema."""
        low, high = content["plausible"]
        units = {
            str(unit): (_finite(found["factor"]), _finite(found["offset"])) for unit, found in content["units"].items()
        }
        if not all(factor > 0 for factor, _ in units.values()):
            raise ValueError("a factor is not positive")
        trained = content["trained"]
        kind = str(content.get("kind", ""))
        if kind not in ("", *FIELD_OF):
            raise ValueError("an unknown kind")
        return cls(
            name=str(content["name"]),
            unit=str(content["unit"]),
            units=units,
            plausible=(-math.inf if low is None else _finite(low), math.inf if high is None else _finite(high)),
            trained=None if trained is None else (_finite(trained[0]), _finite(trained[1])),
            kind=kind,
            levels=tuple(map(str, content.get("levels", ()))),
            head=Head.of(scale or {}),
        )

    @property
    def recorded_as(self) -> Head:
        """As `neurotwin.schema.Variable.recorded_as`: calibration takes either."""
        return self.head


@dataclass(frozen=True)
class Signature:
    """What a runtime has to know of a bundle beside its graphs. Times are in ``time_unit``; ``outcomes`` are those of
    which it tells the risk; ``distilled`` is there where a flow map forecasts in a solve's place."""

    variables: tuple[Channel, ...]
    treatments: tuple[Channel, ...]
    statics: tuple[Channel, ...]
    time_unit: str
    time_units: Mapping[str, float]
    levels: tuple[float, ...]
    max_step: float
    horizon: float
    state_size: int
    n_draws: int
    min_visits: int
    threshold: float
    recursive: bool
    counterfactual: str
    outcomes: tuple[str, ...] = ()
    distilled: Distilled | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Read signature.json; raises BundleError when it lacks or garbles something."""
        try:
            built = cls._read(content)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(
                f"the signature lacks or garbles something ({type(error).__name__})", where="signature.json"
            ) from None
        sizes = (built.max_step, built.horizon, built.state_size, built.n_draws, len(built.variables))
        if not all(size > 0 for size in sizes) or list(built.levels) != sorted(built.levels) or 0.5 not in built.levels:
            raise BundleError(
                "a size or a quantile level is out of range",
                where="signature.json",
                expected="positive sizes, rising levels",
            )
        return built

    @classmethod
    def _read(cls, content: Mapping[str, Any]) -> Self:
        channels, schema = content["channels"], content["schema"]
        for group, name in (("variables", "observations"), ("treatments", "treatments"), ("statics", "statics")):
            if [_label(item) for item in schema[group]] != [_label(item) for item in channels[name]]:
                raise ValueError("schema and channels differ")
        return cls(
            variables=tuple(
                Channel.of(item, scale)
                for item, scale in zip(channels["observations"], schema["variables"], strict=True)
            ),
            treatments=tuple(map(Channel.of, channels["treatments"])),
            statics=tuple(map(Channel.of, channels["statics"])),
            time_unit=str(content["time_unit"]),
            time_units={
                str(unit): _whole(found["factor"])
                for unit, found in content["time_units"].items()
                if not found["offset"]
            },
            levels=tuple(map(_finite, content["quantile_levels"])),
            max_step=_finite(content["max_step"]),
            horizon=_finite(content["trained_horizon"]),
            state_size=int(content["state"]["size"]),
            n_draws=int(content["draws"]),
            min_visits=int(content["min_visits"]),
            threshold=_finite(content["support"]["threshold"]),
            recursive=content["recursive"] is True,
            counterfactual=str(content["counterfactual"]),
            outcomes=_outcomes(content),
            distilled=Distilled.of(
                content, *([str(item["name"]) for item in channels[name]] for name in ("observations", "treatments"))
            ),
        )

    @property
    def n_static_columns(self) -> int:
        """Columns of the encoded covariates, levels one-hot."""
        return sum(len(static.levels) or 1 for static in self.statics)

    def encode_statics(self, raw: Array) -> tuple[Array, Array]:
        """As `neurotwin.schema.Schema.encode_statics`: ``[subject, static]`` -> values and mask, one column a level."""
        shape = (len(raw), self.n_static_columns)
        values, mask, column = np.zeros(shape), np.zeros(shape), 0
        for index, static in enumerate(self.statics):
            width, known = len(static.levels) or 1, np.isfinite(raw[:, index])
            told = (
                raw[:, index, None] == np.arange(width)
                if static.levels
                else np.where(known, raw[:, index], 0.0)[:, None]
            )
            values[:, column : column + width] = told
            mask[:, column : column + width] = known[:, None]
            column += width
        return values, mask


def _outcomes(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the outcomes whose risk the forecast tells; a schema may have outcomes and its model no hazards."""
    told = [item["name"] for item in content["graphs"]["forecast.onnx"]["outputs"]]
    return tuple(str(item["name"]) for item in content["schema"]["outcomes"]) if "incidence" in told else ()


def _label(item: Mapping[str, Any]) -> tuple[Any, Any]:
    return item["name"], item["unit"]


def _finite(value: Any) -> float:
    if isinstance(value, bool | str):
        raise ValueError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _whole(factor: Any) -> float:
    """A time factor; one that is nearly 1 / n is taken as 1 / n (24 h are one day, exactly)."""
    number = _finite(factor)
    if not number > 0:
        raise ValueError("not positive")
    inverse = round(1 / number) if number > 1e-12 else 0
    return 1 / inverse if inverse and abs(1 / number / inverse - 1) < 1e-9 else number
