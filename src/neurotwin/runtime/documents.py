"""Patient and plan documents: what an application hands in, parsed strictly.

Times of a patient document count from its index time; times of a plan count from the plan's start, so that one plan
serves every patient.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neurotwin.bundle import strict_json
from neurotwin.errors import DocumentError

LARGEST_DOCUMENT = 8 * 2**20
MOST_EVENTS, MOST_QUERIES = 100_000, 5_000

Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Text = Annotated[str, Field(max_length=100)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Quantity(_Document):
    """A number with its unit."""

    value: Number
    unit: Text | None = None


class ObservationRecord(_Document):
    """One measurement. ``post_dose``: drawn after the doses of the same instant."""

    t: Number
    variable: Text
    value: Number
    unit: Text | None = None
    post_dose: bool = False


class TreatmentRecord(_Document):
    """A bolus (``amount`` at ``t``), an infusion (``rate``) or a setting (``level``) from ``t`` to ``t_end``.

    Without ``t_end`` a rate or level goes on until further notice.
    """

    t: Number
    treatment: Text
    amount: Number | None = None
    rate: Number | None = None
    level: Number | None = None
    t_end: Number | None = None
    unit: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("amount", "rate", "level") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of amount, rate, level")
        if self.amount is not None and self.t_end is not None:
            raise ValueError("an amount is given at an instant: no t_end")
        if self.t_end is not None and self.t_end <= self.t:
            raise ValueError("t_end must be after t")
        return self

    @property
    def size(self) -> float:
        """The amount, rate or level."""
        return float(next(value for value in (self.amount, self.rate, self.level) if value is not None))


class PatientDocument(_Document):
    """A patient's covariates, observations and treatments so far. ``now``: the plan's start, by default the last event."""

    id: Text
    time_unit: Text
    index_time: Text | None = None
    now: Number | None = None
    static: dict[Text, Quantity | Text] = Field(default_factory=dict, max_length=1000)
    observations: tuple[ObservationRecord, ...] = Field(default=(), max_length=MOST_EVENTS)
    treatments: tuple[TreatmentRecord, ...] = Field(default=(), max_length=MOST_EVENTS)


class Asked(_Document):
    """When a forecast is asked: ``every`` so long ``until`` then, or ``at`` given times, from the plan's start."""

    every: Number | None = None
    until: Number | None = None
    at: tuple[Number, ...] | None = Field(default=None, max_length=MOST_QUERIES)

    @model_validator(mode="after")
    def _check(self) -> Self:
        grid = self.every is not None and self.until is not None
        if grid == (self.at is not None) or (self.every is None) != (self.until is None):
            raise ValueError("give every and until, or at")
        if self.every is not None and self.until is not None:
            if not self.every > 0:
                raise ValueError("every must be positive")
            if self.until / self.every > MOST_QUERIES:
                raise ValueError(f"more than {MOST_QUERIES} times asked")
        return self

    def times(self) -> list[float]:
        """The times, rising, from the plan's start."""
        if self.at is not None:
            return sorted(set(self.at))
        every, until = float(self.every or 0), float(self.until or 0)
        return [every * number for number in range(1, int(until / every + 1e-9) + 1)]


class PlanDocument(_Document):
    """What is to be done from now on, and when to look. ``ongoing``: do infusions and settings that run now go on?"""

    name: Text
    time_unit: Text
    treatments: tuple[TreatmentRecord, ...] = Field(default=(), max_length=MOST_EVENTS)
    query: Asked
    ongoing: Literal["stop", "continue"] = "stop"


Kind = TypeVar("Kind", bound=BaseModel)


def parse_document(kind: type[Kind], content: Any, where: str) -> Kind:
    """Parse text, bytes or plain data; raises DocumentError with the place of the fault, never a value."""
    if isinstance(content, kind):
        return content
    if isinstance(content, str | bytes):
        if not content.strip():
            raise DocumentError("the document is empty", where=where, expected="a JSON object")
        try:
            content = strict_json(content)
        except ValueError as error:
            reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).split(":")[0]
            raise DocumentError("not strict JSON", where=where, expected="a JSON object, no NaN, no key twice", remedy=reason) from None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise DocumentError(_message(fault), where=f"{where}: {place}" if place else where) from None
    except RecursionError:
        raise DocumentError("nested too deep", where=where) from None


def read_document(kind: type[Kind], path: Path) -> Kind:
    """Read a document from a file; raises DocumentError when it is missing, too large or not such a document."""
    try:
        size = path.stat().st_size
        if size > LARGEST_DOCUMENT:
            raise DocumentError(f"{size} bytes", where=str(path), expected=f"at most {LARGEST_DOCUMENT}")
        content = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({type(error).__name__})"
        raise DocumentError(reason, where=str(path), expected="a JSON document") from None
    return parse_document(kind, content, str(path))


def _message(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown field"
    if fault["type"] == "missing":
        return "a field is missing"
    return str(fault["msg"]).removeprefix("Value error, ")
