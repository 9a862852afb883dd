"""Follow-up: how long each subject was watched, and which of the competing outcomes, if any, ended it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import CohortError
from neurotwin.events import Doses, Observations

CENSORED = -1
"""In place of an outcome: the subject was still free of all of them when it was last known of."""
PREFIX = "follow_up."
"""Before the columns of a cohort's subjects that tell their follow-up; no covariate can have such a name."""


@dataclass(frozen=True)
class FollowUp:
    """The end of each subject's follow-up.

    Outcomes compete: at most one happens to a subject and ends its follow-up (Putter, Fiocco, Geskus, Statistics in
    Medicine 2007;26:2389-2430). Nothing is known of a subject after ``time``.

    Attributes:
        time: ``[subject]`` in the schema's time unit, on the clock of the observations; NaN where it is not known.
        event: ``[subject]`` position of the outcome in the schema, or `CENSORED`.
    """

    time: NDArray[np.float64]
    event: NDArray[np.int16]

    @classmethod
    def of(cls, time: ArrayLike, event: ArrayLike) -> Self:
        """Build from anything array-like; scalars are broadcast."""
        times, events = np.broadcast_arrays(np.asarray(time, np.float64), np.asarray(event, np.int16))
        return cls(np.atleast_1d(np.array(times)), np.atleast_1d(np.array(events)))

    @classmethod
    def unknown(cls, n_subjects: int) -> Self:
        """Of subjects of whom nothing is known."""
        return cls(np.full(n_subjects, np.nan), np.full(n_subjects, CENSORED, np.int16))

    def __len__(self) -> int:
        return len(self.time)

    def take(self, subjects: NDArray[Any]) -> Self:
        """Some subjects, by mask or positions, in the order given."""
        return type(self)(self.time[subjects], self.event[subjects])

    def until(self, limit: ArrayLike) -> Self:
        """The same watched no longer than ``limit``, one time or ``[subject]``: later ends are censored there."""
        late = self.time > np.asarray(limit)
        return type(self)(np.where(late, limit, self.time), np.where(late, CENSORED, self.event).astype(np.int16))

    @classmethod
    def concatenate(cls, *parts: Self) -> Self:
        """Subjects of all parts, one after the other."""
        return cls(np.concatenate([part.time for part in parts]), np.concatenate([part.event for part in parts]))


def columns_of(follow_up: FollowUp) -> dict[str, NDArray[Any]]:
    """As columns of a cohort's subjects on disk."""
    return {f"{PREFIX}{name}": values for name, values in vars(follow_up).items()}


def read_columns(subjects: Mapping[str, NDArray[Any]], where: str) -> FollowUp:
    """Back from `columns_of`. Raises CohortError when the columns are not there."""
    try:
        return FollowUp.of(subjects[f"{PREFIX}time"], subjects[f"{PREFIX}event"])
    except KeyError:
        raise CohortError("outcomes without a follow-up", where=where, remedy="make the cohort again") from None


def check_follow_up(
    follow_up: FollowUp | None, n_outcomes: int, n_subjects: int, observations: Observations, doses: Doses
) -> None:
    """Check that a cohort's follow-up fits its schema, and that nothing was seen or given after its end.

    Raises:
        CohortError: it does not.
    """
    if (follow_up is None) != (n_outcomes == 0):
        told = "no follow-up" if follow_up is None else "a follow-up"
        expected = f"one, since the schema has {n_outcomes} outcomes" if n_outcomes else "outcomes in the schema"
        raise CohortError(told, where="follow_up", expected=expected)
    if follow_up is None:
        return
    time, event = follow_up.time, follow_up.event
    if time.shape != (n_subjects,) or event.shape != (n_subjects,):
        raise CohortError(f"follow-up of {time.shape} subjects", where="follow_up", expected=f"{n_subjects}")
    if ((event < CENSORED) | (event >= n_outcomes)).any():
        raise CohortError(
            "an outcome that is not in the schema", where="follow_up", expected=f"{CENSORED}..{n_outcomes - 1}"
        )
    if np.isinf(time).any() or (np.isnan(time) & (event != CENSORED)).any():
        raise CohortError("an outcome without a finite time", where="follow_up", expected="a time, or NaN if censored")
    last = np.where(np.isnan(time), np.inf, time)
    for name, table in (("observations", observations), ("doses", doses)):
        late = table.time > last[table.subject]
        if late.any():
            raise CohortError(
                f"{int(late.sum())} {name} come after the end of their subject's follow-up",
                where=name,
                expected="none later than follow_up.time",
                remedy="end the follow-up later, or remove them",
            )
