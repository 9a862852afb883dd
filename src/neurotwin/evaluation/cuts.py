"""Where each subject's course is cut into a known past and a future to forecast."""

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.cohort import Cohort
from neurotwin.errors import ConfigError

Array = NDArray[np.float64]


def choose_cuts(
    cohort: Cohort, cut: ArrayLike | str, *, min_visits: int = 2, max_horizon: float = np.inf, seed: int = 0
) -> Array:
    """``[subject]`` cut times from a number, an array of one per subject, or ``"random"`` (see `random_cuts`).

    Raises:
        ConfigError: another word, another number of cuts than subjects, or a cut that is not a number.
    """
    if isinstance(cut, str):
        if cut != "random":
            raise ConfigError(f"cut {cut!r}", where="cut", expected="a time, one time per subject, or 'random'")
        return random_cuts(cohort, min_visits=min_visits, max_horizon=max_horizon, seed=seed)
    times = np.asarray(cut, dtype=np.float64)
    if times.shape not in ((), (len(cohort),)) or np.isnan(times).any():
        raise ConfigError(
            f"cuts of shape {times.shape}", where="cut", expected=f"one time, or {len(cohort)}, one per subject"
        )
    return np.broadcast_to(times, (len(cohort),)).copy()


def random_cuts(cohort: Cohort, *, min_visits: int = 2, max_horizon: float = np.inf, seed: int = 0) -> Array:
    """One random visit per subject, among those with ``min_visits`` visits up to them and one within ``max_horizon``
    after them. Subjects without such a visit get inf, which leaves them nothing to forecast.

    A subject's choice depends on its id and the seed alone, so that other subjects never move it.
    """
    seen = cohort.observations
    fresh = np.flatnonzero(np.r_[True, (np.diff(seen.subject) != 0) | (np.diff(seen.time) != 0)][: len(seen)])
    subject, time = seen.subject[fresh], seen.time[fresh]
    first = np.searchsorted(subject, subject, side="left")
    followed = np.r_[subject[1:] == subject[:-1], False][: len(subject)]
    gap = np.r_[np.diff(time), np.inf][: len(time)]
    number = np.arange(len(subject)) - first + 1
    usable = np.flatnonzero((number >= min_visits) & followed & (gap <= max_horizon))
    count = np.bincount(subject[usable], minlength=len(cohort))
    offset = np.cumsum(count) - count
    chosen = np.flatnonzero(count)
    share = np.array([_uniform(seed, str(one)) for one in cohort.ids[chosen]])
    cuts = np.full(len(cohort), np.inf)
    cuts[chosen] = time[usable[offset[chosen] + (share * count[chosen]).astype(np.int64)]]
    return cuts


def landmark_cuts(cohort: Cohort, cut: float | str, *, min_visits: int = 2, seed: int = 0) -> Array:
    """``[subject]`` landmarks of event times: one time for all, or ``"random"``, one of each subject's visits from the
    ``min_visits``-th on, the last one included where follow-up goes on after it. Whoever has none gets inf.

    Raises:
        ConfigError: another word.
    """
    if not isinstance(cut, str):
        return np.full(len(cohort), float(cut))
    if cut != "random":
        raise ConfigError(f"cut {cut!r}", where="cut", expected="a time, or 'random'")
    ends = np.full(len(cohort), np.nan) if cohort.follow_up is None else cohort.follow_up.time
    seen, cuts = cohort.observations, np.full(len(cohort), np.inf)
    bounds = np.searchsorted(seen.subject, np.arange(len(cohort) + 1))
    for subject, name in enumerate(cohort.ids):
        visits = np.unique(seen.time[bounds[subject] : bounds[subject + 1]])[min_visits - 1 :]
        choices = visits[visits < ends[subject]]
        if len(choices):
            cuts[subject] = choices[int(_uniform(seed, str(name)) * len(choices))]
    return cuts


def _uniform(seed: int, subject_id: str) -> float:
    """A number in [0, 1) that is a hash of seed and id."""
    digest = hashlib.sha256(f"{seed}:{subject_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
