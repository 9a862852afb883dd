"""What a monitoring run found, as plain records that go to JSON and back. Numbers are finite or None."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from neurotwin.errors import InputError
from neurotwin.evaluation.results import EvaluationReport

Verdict = Literal["ok", "watch", "alarm", "not judged"]
ORDER: tuple[Verdict, ...] = ("not judged", "ok", "watch", "alarm")
"""From the least to the worst."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Check(_Record):
    """One feature beside the reference.

    ``distance``: largest difference of the two distribution functions, of a category of the share at one level;
    ``stability``: population stability index less what chance makes; ``chance``: probability of a difference this
    large where nothing changed, ``adjusted`` for all checks of the run. ``counts`` and ``reference`` are patients by
    cell; a number's cells end at ``edges``. ``value`` and ``expected`` tell means, of an interval the share inside.
    """

    feature: str
    group: str
    channel: str
    unit: str
    levels: tuple[str, ...]
    n: int
    n_reference: int
    distance: float | None = None
    stability: float | None = None
    chance: float | None = None
    adjusted: float | None = None
    value: float | None = None
    expected: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    reference: tuple[int, ...] = ()
    verdict: Verdict
    told: str = ""


class Look(_Record):
    """What a stream looked like after so many ``patients``: the distance of each feature in the last window."""

    patients: int
    distance: dict[str, float]


class Flag(_Record):
    """A feature that the stream raised an alarm about, after how many patients, by the ``window`` of the last patients
    that told it."""

    feature: str
    patients: int
    window: int


class StreamReport(_Record):
    """Patients one after the other, looked at every ``step``: alone the last ``window``, and all so far."""

    order: str
    step: int
    window: int
    n: int
    false_alarm: float
    looks: tuple[Look, ...]
    flags: tuple[Flag, ...]


class Abstentions(_Record):
    """Statuses and reasons of the runtime's answers to a sample of patients, with a 95 % interval of the share that it
    answered with silence."""

    n: int
    statuses: dict[str, int]
    reasons: dict[str, int]
    share: float
    low: float
    high: float


class MonitorReport(_Record):
    """Everything that one run of `neurotwin.monitoring.monitor` found. ``false_alarm``: probability, at most, that a
    run raises any alarm where nothing changed."""

    schema_version: Literal[1] = 1
    version: str
    made: str
    bundle: dict[str, str]
    cohort: str
    cohort_sha256: str
    n_subjects: int
    reference: str
    n_reference: int
    level: float
    false_alarm: float
    verdict: Verdict
    checks: tuple[Check, ...]
    not_judged: dict[str, str]
    stream: StreamReport | None
    abstentions: Abstentions | None
    performance: EvaluationReport | None
    advice: tuple[str, ...]

    def check(self, feature: str) -> Check:
        """One check; raises InputError when there is none."""
        for one in self.checks:
            if one.feature == feature:
                return one
        raise InputError(f"no check of {feature}", where="monitor report")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        content = self.model_dump(mode="json")
        if self.performance is not None:
            content["performance"] = self.performance.to_dict()
        return content

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what `to_dict` wrote; raises InputError with the place of the first fault."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(first["msg"], where=f"monitor report: {place}") from None


def worst(verdicts: list[Verdict]) -> Verdict:
    """The worst of them; ``not judged`` where there is none."""
    return max(verdicts, key=ORDER.index, default="not judged")
