"""A cohort as one list of coded events, the form that MEDS keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort

TIME_ZERO = "INDEX"
"""Code of the event from which a subject's time counts; names of a schema are in small letters."""
_CENSOR = {-1: "//below", 0: "", 1: "//above"}


@dataclass(frozen=True)
class Events:
    """One row per event, in no order.

    Attributes:
        codes: the codes that ``code`` counts through.
        subject, code: ``[event]`` positions of the subject and of the code.
        time, end: ``[event]`` in the schema's time unit; ``time`` is NaN for covariates, ``end`` is NaN but for the
            start of a period that ends.
        value: ``[event]`` number or limit, NaN where there is none.
        censor: ``[event]`` -1 below the limit, 1 above, 0 exact.
        rank: ``[event]`` order of the kinds at one instant.
    """

    codes: list[str]
    subject: NDArray[np.int64]
    code: NDArray[np.int64]
    time: NDArray[np.float64]
    end: NDArray[np.float64]
    value: NDArray[np.float64]
    censor: NDArray[np.int8]
    rank: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.subject)


def value_code(name: str, censor: int = 0, post_dose: bool = False) -> str:
    """Code of a measurement."""
    return f"{name}{_CENSOR[censor]}{'//post_dose' if post_dose else ''}"


def value_codes(name: str) -> dict[str, tuple[int, bool]]:
    """All codes of a variable, each with its censor flag and whether it was after the doses of its instant."""
    return {value_code(name, censor, post): (censor, post) for censor in (0, -1, 1) for post in (False, True)}


class _Collector:
    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.parts: list[tuple[NDArray[np.float64], ...]] = []

    def add(
        self,
        code: str,
        subject: NDArray[np.int64] | NDArray[np.int32],
        time: NDArray[np.float64] | float,
        value: NDArray[np.float64] | float = np.nan,
        *,
        rank: int,
        end: NDArray[np.float64] | float = np.nan,
        censor: int = 0,
    ) -> None:
        """Events of one code; nothing is noted of a code without events."""
        if len(subject):
            number = self.codes.setdefault(code, len(self.codes))
            self.parts.append(tuple(np.broadcast_arrays(subject, number, time, end, value, censor, rank)))

    def events(self) -> Events:
        subject, code, time, end, value, censor, rank = (
            np.concatenate(column) for column in zip(*self.parts, strict=True)
        )
        return Events(list(self.codes), subject, code, time, end, value, censor.astype(np.int8), rank.astype(np.int8))


def events_of(cohort: Cohort) -> Events:
    """All events of a cohort."""
    into, schema = _Collector(), cohort.schema
    into.add(TIME_ZERO, np.arange(len(cohort)), 0.0, rank=0)
    for index, static in enumerate(schema.statics):
        column = cohort.statics[:, index]
        if static.levels:
            for level, text in enumerate(static.levels):
                into.add(f"{static.name}//{text}", np.flatnonzero(column == level), np.nan, rank=0)
        else:
            known = np.flatnonzero(np.isfinite(column))
            into.add(static.name, known, np.nan, column[known], rank=0)
    seen = cohort.observations
    for index, variable in enumerate(schema.variables):
        own = seen.take(seen.variable == index)
        for code, (censor, post) in value_codes(variable.name).items():
            rows = own.take((own.censor == censor) & (own.post_dose == post))
            into.add(code, rows.subject, rows.time, rows.value, rank=4 if post else 1, censor=censor)
    for index, treatment in enumerate(schema.treatments):
        doses = cohort.doses.take(cohort.doses.treatment == index)
        bolus = doses.take(doses.is_bolus)
        into.add(f"{treatment.name}//bolus", bolus.subject, bolus.time, bolus.amount, rank=3)
        held = doses.take(~doses.is_bolus)
        end = np.where(np.isfinite(held.end), held.end, np.nan)
        into.add(f"{treatment.name}//start", held.subject, held.time, held.amount, rank=3, end=end)
        ended = held.take(np.isfinite(held.end))
        into.add(f"{treatment.name}//end", ended.subject, ended.end, ended.amount, rank=2)
    return into.events()
