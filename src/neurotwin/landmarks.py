"""Landmark questions: of subjects who are free of all outcomes at a cut, what happens to them, and when?

A plan begins where a subject's past ends, which may be before the cut. So that an answer can be given for those who
reached the cut, the cut itself is asked about too: a query there, like any other, moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.episodes import Episodes, Targets
from neurotwin.events import Queries
from neurotwin.follow_up import CENSORED, FollowUp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EventTargets:
    """What ended each subject's follow-up after its cut.

    Attributes:
        start, end: ``[subject]`` rows in `Episodes.queries` of the cut and of the end of follow-up.
        event: ``[subject]`` the outcome, `CENSORED` where there was none up to then.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    event: NDArray[np.int64]


def ask_ends(
    episodes: Episodes, targets: Targets, follow_up: FollowUp, max_horizon: float = np.inf
) -> tuple[Episodes, Targets, EventTargets]:
    """Also ask at each subject's cut and at the end of its follow-up.

    Args:
        follow_up: of the episodes' subjects. An end that is not known tells nothing: it is put at the cut, censored.
        max_horizon: longest time after the cut; later ends are censored there.
    """
    ends = follow_up.until(episodes.cut + max_horizon)
    known = ends.time > episodes.cut
    time = np.where(known, ends.time, episodes.cut)
    asked, order, (start, end) = _also(episodes, episodes.cut, time)
    event = np.where(known, ends.event, CENSORED).astype(np.int64)
    return asked, replace(targets, query=order[targets.query]), EventTargets(start, end, event)


def ask_cuts(episodes: Episodes) -> tuple[Episodes, NDArray[np.int64], NDArray[np.int64]]:
    """Also ask at each subject's cut: the episodes, and where their old and ``[subject]`` the new queries now stand."""
    asked, order, (start,) = _also(episodes, episodes.cut)
    return asked, order, start


def given_free(incidence: Array, at_cut: Array) -> Array:
    """Cumulative incidences ``[..., outcome]`` of those who are free of all outcomes at the cut, from those counted
    from the plan's start, at the query and ``at_cut``: (F_k(t) - F_k(cut)) / (1 - sum_k F_k(cut))."""
    free = 1.0 - at_cut.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 of who cannot have reached the cut is not a number
        return np.asarray((incidence - at_cut) / free)


def risks_of(episodes: Episodes, times: Any) -> Episodes:
    """The same subjects, asked at ``times`` after their cut instead: the queries of a subject follow each other."""
    times, n = np.atleast_1d(np.asarray(times, dtype=np.float64)), len(episodes)
    subject = np.repeat(np.arange(n), len(times))
    return replace(episodes, queries=Queries.of(subject, episodes.cut[subject] + np.tile(times, n)))


def _also(episodes: Episodes, *times: Array) -> tuple[Episodes, NDArray[np.int64], list[NDArray[np.int64]]]:
    """With one more query of each subject at each of ``times``; where old queries and each of the new ones stand."""
    subject, old = np.arange(len(episodes)), episodes.queries
    tables = [old, *(Queries.of(subject, time, False) for time in times)]
    joined = Queries.concatenate(*tables)
    order = np.argsort(joined.subject, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    parts = np.split(place, np.cumsum([len(table) for table in tables])[:-1])
    return replace(episodes, queries=joined.take(order)), parts[0], parts[1:]
