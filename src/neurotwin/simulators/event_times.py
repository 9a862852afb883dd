"""Event times drawn from hazards of a true state: who leaves when, and why."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import SimulationError
from neurotwin.follow_up import CENSORED, FollowUp

Array = NDArray[np.float64]


def draw_follow_up(time: Array, hazard: Array, rng: np.random.Generator, *, lost: ArrayLike = np.inf) -> FollowUp:
    """Draw the first of several competing outcomes for each subject, by inverting the cumulated hazard (Beyersmann,
    Latouche, Buchholz, Schumacher, Statistics in Medicine 2009;28:956-971).

    Args:
        time: ``[time]`` rising; the hazard of an interval is that at its end, and follow-up ends with the last one.
        hazard: ``[subject, time, outcome]`` per unit of time, from the true state.
        lost: time of loss to follow-up for any other reason, one or ``[subject]``.

    Raises:
        SimulationError: a hazard that is negative or not finite, or times that do not rise.
    """
    if not (np.diff(time) > 0).all() or hazard.shape[1] != len(time):
        raise SimulationError(f"{len(time)} times and hazards {hazard.shape}", where="hazard", expected="rising times")
    if not (np.isfinite(hazard).all() and (hazard >= 0).all()):
        raise SimulationError("a hazard is negative or not finite", where="hazard", expected="finite, 0 or above")
    n, step = len(hazard), np.diff(time)
    chance = hazard[:, 1:] * step[:, None]
    total = np.cumsum(chance.sum(-1), axis=1)
    drawn = rng.exponential(size=(n, 1))
    at = np.minimum((total <= drawn).sum(1), len(step) - 1)
    own = np.arange(n)
    before = total[own, at] - chance[own, at].sum(-1)
    share = np.clip((drawn[:, 0] - before) / np.maximum(chance[own, at].sum(-1), 1e-300), 0.0, 1.0)
    happened = total[:, -1] > drawn[:, 0]
    end = np.where(happened, time[at] + share * step[at], time[-1])
    rank = np.cumsum(chance[own, at], axis=1)
    kind = (rng.random((n, 1)) * rank[:, -1:] >= rank).sum(1)
    lost = np.broadcast_to(np.asarray(lost, dtype=np.float64), (n,))
    return FollowUp.of(np.minimum(end, lost), np.where(happened & (end <= lost), kind, CENSORED))
