"""What the columns of a cohort mean: variables, treatments, static covariates and outcomes, with units."""

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from neurotwin.errors import SchemaError
from neurotwin.heads import Head

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Unit = Annotated[str, Field(min_length=1, max_length=40)]
FloatArray = NDArray[np.float64]


def _open_ends(span: object) -> object:
    """JSON has no infinity: null stands for an open end."""
    if isinstance(span, list | tuple) and len(span) == 2:
        low, high = span
        return (-math.inf if low is None else low, math.inf if high is None else high)
    return span


def _null_ends(span: tuple[float, float]) -> tuple[float | None, ...]:
    return tuple(end if math.isfinite(end) else None for end in span)


Range = Annotated[tuple[float, float], BeforeValidator(_open_ends), PlainSerializer(_null_ends, when_used="json")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


IMPLIED: dict[str, dict[str, Any]] = {
    "student_t": {"degrees_of_freedom": 5.0},
    "ordinal": {"step": 1.0},
    "bernoulli": {"support": (0.0, 1.0), "step": 1.0},
    "count": {"support": (0.0, math.inf), "step": 1.0, "transform": "log", "offset": 1.0},
}
"""What a head says of the other fields where they are left out."""


class Variable(_Record):
    """A quantity that is observed over time.

    ``plausible`` is the range, in ``unit``, outside which a value is not believed. ``transform`` is the scale on
    which the quantity is modelled: ``log`` means ``ln(x + offset)``, ``logit`` ``ln((x - low) / (high - x))`` of the
    ends of ``support``.

    ``head`` tells what is recorded of the quantity (`neurotwin.heads`): ``gaussian`` and ``student_t`` (with
    ``degrees_of_freedom``) the value itself; ``bounded`` the value, cut off at the ends of ``support``; ``ordinal``
    that, rounded to a ``step``; ``bernoulli`` 0 or 1; ``count`` whole numbers. What a head implies may be left out
    (`IMPLIED`), and is refused where it says otherwise.
    """

    name: Name
    unit: Unit
    code: str = ""
    plausible: Range = (-math.inf, math.inf)
    transform: Literal["identity", "log", "logit"] = "identity"
    offset: float = 0.0
    source: str = ""
    head: Literal["gaussian", "student_t", "bounded", "ordinal", "bernoulli", "count"] = "gaussian"
    support: Range = (-math.inf, math.inf)
    step: float = 0.0
    degrees_of_freedom: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(content.get("head"), str):
            return content
        filled = {**IMPLIED.get(content["head"], {}), **content}
        return {"plausible": filled["support"], **filled} if "support" in filled else filled

    @model_validator(mode="after")
    def _check_head(self) -> Self:
        try:
            head = self.recorded_as
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        low, high = self.plausible
        inside = head.low < low and high < head.high if head.transform == "logit" else low >= head.low
        if not inside or high > head.high:
            raise ValueError(f"plausible range of {self.name} must lie inside its support ({head.low}, {head.high})")
        return self

    @model_serializer(mode="wrap")
    def _spare(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the fields of heads where they say nothing: so a cohort of before heads keeps its hash."""
        content: dict[str, Any] = handler(self)
        if self.head == "gaussian" and self.transform != "logit":
            del content["head"], content["support"], content["step"]
        if self.degrees_of_freedom is None:
            del content["degrees_of_freedom"]
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.plausible
        if not low < high:
            raise ValueError(f"plausible range of {self.name} must rise, got ({low}, {high})")
        if self.transform == "log" and low + self.offset < 0:
            raise ValueError(
                f"{self.name} is modelled as ln(x + {self.offset}), so plausible must start at {-self.offset} or above"
            )
        return self

    @property
    def recorded_as(self) -> Head:
        """What is recorded of the quantity, as numbers and functions."""
        low, high = self.support
        return Head(
            kind=self.head,
            transform=self.transform,
            offset=self.offset,
            low=low,
            high=high,
            step=self.step,
            degrees_of_freedom=math.inf if self.degrees_of_freedom is None else self.degrees_of_freedom,
        )

    def forward(self, value: FloatArray) -> FloatArray:
        """Natural unit to modelling scale."""
        return self.recorded_as.forward(value)

    def inverse(self, value: FloatArray) -> FloatArray:
        """Modelling scale to natural unit."""
        return self.recorded_as.inverse(value)


class Treatment(_Record):
    """Something that is done to a subject.

    A ``bolus`` is an amount given at an instant; an ``infusion`` is a rate and a ``setting`` a level, both held over
    a period. ``unit`` is that of the amount, rate or level.
    """

    name: Name
    unit: Unit
    kind: Literal["bolus", "infusion", "setting"]
    code: str = ""
    plausible: Range = (0.0, math.inf)


class Static(_Record):
    """A covariate that does not change: numeric with a unit, or one of several levels."""

    name: Name
    unit: Unit = "1"
    levels: tuple[str, ...] = ()
    code: str = ""
    plausible: Range = (-math.inf, math.inf)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.levels)) != len(self.levels) or len(self.levels) == 1:
            raise ValueError(f"levels of {self.name} must be distinct and at least two")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that this covariate takes in an encoded table."""
        return tuple(f"{self.name}={level}" for level in self.levels) if self.levels else (self.name,)


class Outcome(_Record):
    """Something that can happen to a subject once and ends its follow-up, such as death.

    Outcomes of one schema compete: at most one of them happens to a subject (`neurotwin.follow_up.FollowUp`).
    """

    name: Name
    code: str = ""
    source: str = ""


class Schema(_Record):
    """Names, units and ranges of everything in a cohort. ``time_unit`` is the UCUM unit of all times."""

    name: Name
    time_unit: Unit
    variables: tuple[Variable, ...] = Field(min_length=1)
    treatments: tuple[Treatment, ...] = ()
    statics: tuple[Static, ...] = ()
    outcomes: tuple[Outcome, ...] = ()

    @model_serializer(mode="wrap")
    def _spare(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without outcomes where there are none: so a cohort of before outcomes keeps its hash."""
        content: dict[str, Any] = handler(self)
        if not self.outcomes:
            del content["outcomes"]
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        groups: tuple[Any, ...] = (self.variables, self.treatments, self.statics, self.outcomes)
        names = [item.name for group in groups for item in group]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names must differ, repeated: {', '.join(repeated)}")
        return self

    @classmethod
    def parse(cls, content: object, where: str = "schema") -> Self:
        """Build from plain data; raises SchemaError with the place of the first fault."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SchemaError(first["msg"], where=f"{where}: {place}" if place else where) from None

    @property
    def static_columns(self) -> tuple[str, ...]:
        """Names of the encoded static columns, levels one-hot."""
        return tuple(column for static in self.statics for column in static.columns)

    def encode_statics(self, raw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Encode raw statics ``[subject, static]`` (number or level index, NaN = missing).

        Returns values and mask, both ``[subject, static column]``; missing values are 0 with mask 0.
        """
        values, masks = [], []
        for index, static in enumerate(self.statics):
            column = raw[:, index]
            known = np.isfinite(column)
            block = np.where(known, column, 0.0)[:, None]
            if static.levels:
                block = (block == np.arange(len(static.levels))) & known[:, None]
            values.append(block.astype(np.float64))
            masks.append(np.repeat(known[:, None], block.shape[1], axis=1).astype(np.float64))
        if not values:
            return np.zeros((len(raw), 0)), np.zeros((len(raw), 0))
        return np.concatenate(values, axis=1), np.concatenate(masks, axis=1)
