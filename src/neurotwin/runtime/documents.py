"""Patient and plan documents: what an application hands in, parsed strictly.

Times of a patient document count from its index time; times of a plan count from the plan's start, so that one plan
serves every patient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from neurotwin.bundle import strict_json
from neurotwin.errors import DocumentError
from neurotwin.runtime.kinds import Either, Fault, Flag, ListOf, MapOf, Number, Record, Text, has

LARGEST_DOCUMENT = 8 * 2**20
MOST_EVENTS, MOST_QUERIES, MOST_COVARIATES = 100_000, 5_000, 1_000


@dataclass(frozen=True)
class Quantity:
    """A number with its unit."""

    value: float = has(Number())
    unit: str | None = has(Text(), default=None)


@dataclass(frozen=True)
class ObservationRecord:
    """One measurement. ``post_dose``: drawn after the doses of the same instant."""

    t: float = has(Number())
    variable: str = has(Text())
    value: float = has(Number())
    unit: str | None = has(Text(), default=None)
    post_dose: bool = has(Flag(), default=False)


@dataclass(frozen=True)
class TreatmentRecord:
    """A bolus (``amount`` at ``t``), an infusion (``rate``) or a setting (``level``) from ``t`` to ``t_end``.

    Without ``t_end`` a rate or level goes on until further notice.
    """

    t: float = has(Number())
    treatment: str = has(Text())
    amount: float | None = has(Number(), default=None)
    rate: float | None = has(Number(), default=None)
    level: float | None = has(Number(), default=None)
    t_end: float | None = has(Number(), default=None)
    unit: str | None = has(Text(), default=None)

    def __post_init__(self) -> None:
        if (self.amount, self.rate, self.level).count(None) != 2:
            raise Fault("not one amount, rate or level", "exactly one of amount, rate, level")
        if self.amount is not None and self.t_end is not None:
            raise Fault("an amount with t_end", "no t_end: an amount is given at an instant")
        if self.t_end is not None and self.t_end <= self.t:
            raise Fault("t_end is not after t", "t_end > t")

    @property
    def size(self) -> float:
        """The amount, rate or level."""
        return float(next(value for value in (self.amount, self.rate, self.level) if value is not None))


@dataclass(frozen=True)
class PatientDocument:
    """A patient's covariates, observations and treatments so far.

    ``now`` is the plan's start, by default the last event, the end of a treatment included.
    """

    id: str = has(Text())
    time_unit: str = has(Text())
    index_time: str | None = has(Text(), default=None)
    now: float | None = has(Number(), default=None)
    static: Mapping[str, Quantity | str] = has(MapOf(Either(Record(Quantity)), MOST_COVARIATES), factory=dict)
    observations: tuple[ObservationRecord, ...] = has(ListOf(Record(ObservationRecord), MOST_EVENTS), default=())
    treatments: tuple[TreatmentRecord, ...] = has(ListOf(Record(TreatmentRecord), MOST_EVENTS), default=())


@dataclass(frozen=True)
class Asked:
    """When a forecast is asked: ``every`` so long ``until`` then, or ``at`` given times, from the plan's start."""

    every: float | None = has(Number(), default=None)
    until: float | None = has(Number(), default=None)
    at: tuple[float, ...] | None = has(ListOf(Number(), MOST_QUERIES), default=None)

    def __post_init__(self) -> None:
        if (self.every is None) != (self.until is None) or (self.every is None) == (self.at is None):
            raise Fault("not one way of asking", "every and until, or at")
        if self.every is not None and self.until is not None:
            if not self.every > 0:
                raise Fault("every is not positive", "every > 0")
            if self.until / self.every > MOST_QUERIES:
                raise Fault("too many times asked", f"at most {MOST_QUERIES}")

    def times(self) -> list[float]:
        """The times, rising, from the plan's start."""
        if self.at is not None:
            return sorted(set(self.at))
        every, until = float(self.every or 0), float(self.until or 0)
        return [every * number for number in range(1, int(until / every + 1e-9) + 1)]


@dataclass(frozen=True)
class PlanDocument:
    """What is to be done from now on, and when to look. ``ongoing``: do infusions and settings that run now go on?"""

    name: str = has(Text())
    time_unit: str = has(Text())
    query: Asked = has(Record(Asked))
    treatments: tuple[TreatmentRecord, ...] = has(ListOf(Record(TreatmentRecord), MOST_EVENTS), default=())
    ongoing: str = has(Text(("stop", "continue")), default="stop")


Document = TypeVar("Document")
_RECORDS: dict[type[Any], Record] = {}


def parse_document(kind: type[Document], content: Any, where: str) -> Document:
    """Parse text, bytes or plain data; raises DocumentError with the place of the fault, never a value."""
    if isinstance(content, str | bytes):
        content = _parse_json(content, where)
    if kind not in _RECORDS:
        _RECORDS[kind] = Record(kind)
    try:
        return _RECORDS[kind].read(content)  # type: ignore[no-any-return]
    except Fault as fault:
        place = ".".join(fault.path)
        raise DocumentError(
            fault.what, where=f"{where}: {place}" if place else where, expected=fault.expected
        ) from None


def read_document(kind: type[Document], path: Path) -> Document:
    """Read a document from a file; raises DocumentError when it is missing, too large or not such a document."""
    try:
        if not path.is_file():
            raise DocumentError("no such file", where=str(path), expected="a JSON document")
        with path.open("rb") as file:
            content = file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        reason = f"cannot be read ({type(error).__name__})"
        raise DocumentError(reason, where=str(path), expected="a JSON document") from None
    if len(content) > LARGEST_DOCUMENT:
        raise DocumentError("the document is too large", where=str(path), expected=f"at most {LARGEST_DOCUMENT} bytes")
    return parse_document(kind, content, str(path))


def check_order(patient: PatientDocument) -> None:
    """Raises DocumentError unless times rise, no treatment begins before time 0, and no variable stands twice at one
    instant (before or after its doses).

    `Twin` puts events in their order by itself; this is for callers that take disorder for a sign of damage.
    """
    for name, events in (("observations", patient.observations), ("treatments", patient.treatments)):
        for number, (one, other) in enumerate(pairwise(event.t for event in events), start=1):
            if other < one:
                raise DocumentError(
                    "a time before the one above it", where=f"patient: {name}.{number}.t", expected="times that rise"
                )
    if patient.treatments and patient.treatments[0].t < 0:
        raise DocumentError(
            "a treatment before time 0",
            where="patient: treatments.0.t",
            expected="times from the index time on",
            remedy="choose an earlier index time",
        )
    known = set()
    for number, record in enumerate(patient.observations):
        key = (record.t, record.variable, record.post_dose)
        if key in known:
            raise DocumentError(
                "a variable observed twice at one instant",
                where=f"patient: observations.{number}",
                expected="one value per variable and time",
                remedy="remove the duplicate",
            )
        known.add(key)


def _parse_json(content: str | bytes, where: str) -> Any:
    if not content.strip():
        raise DocumentError("the document is empty", where=where, expected="a JSON object")
    try:
        return strict_json(content)
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else str(error).split(":")[0]
        raise DocumentError(
            f"not strict JSON ({reason})", where=where, expected="a JSON object, no NaN, no key twice"
        ) from None
