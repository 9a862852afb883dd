"""Plans to be distilled over: those of the cohort, and random ones in the range of training."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.episodes import Episodes
from neurotwin.events import Doses, Queries
from neurotwin.scaling import Scaling

KINDS = ("own", "other", "random", "nothing")
SHARES = (0.35, 0.25, 0.3, 0.1)
"""How many courses follow the subject's own plan, another subject's, a random one, or none."""
OWN = KINDS.index("own")


def with_plans(
    episodes: Episodes,
    scaling: Scaling,
    rng: np.random.Generator,
    *,
    horizon: float,
    asked: int,
    kind: NDArray[np.int_],
) -> Episodes:
    """The episodes with plans of the given ``kind`` ``[subject]`` (numbers of `KINDS`), each asked about ``asked``
    times up to ``horizon`` after the state's clock, half of them early."""
    n, doses, cut = len(episodes), episodes.doses, episodes.cut
    ahead = doses.time >= cut[doses.subject]
    tables = [doses.take(~ahead | (kind[doses.subject] == OWN))]
    future = doses.take(ahead)
    others = rng.permutation(n)
    for subject in np.flatnonzero(kind != OWN):
        if kind[subject] == KINDS.index("other"):
            theirs = future.take(future.subject == others[subject])
            shift = cut[subject] - cut[others[subject]]
            kept = rng.random(len(theirs)) >= rng.choice([0.0, 0.3])
            mine = np.full_like(theirs.subject, subject)
            tables.append(replace(theirs, subject=mine, time=theirs.time + shift, end=theirs.end + shift).take(kept))
        elif kind[subject] == KINDS.index("random"):
            tables.append(_random(episodes, scaling, rng, int(subject), horizon))
    asks = _times(rng, n, asked)
    clock = episodes.clock
    times = cut[:, None] + asks * (clock + horizon - cut)[:, None]
    return replace(
        episodes,
        doses=_sorted(Doses.concatenate(*tables)),
        queries=Queries.of(np.repeat(np.arange(n), asked), times.ravel()),
    )


def _times(rng: np.random.Generator, n: int, asked: int) -> NDArray[np.float64]:
    """Shares ``[subject, query]`` of the horizon: strata of a uniform and of its square, the last one at the end."""
    strata = (np.arange(asked) // 2 + rng.random((n, asked))) / (asked - asked // 2)
    strata[:, 1::2] **= 2
    strata[:, -1] = 1.0
    return np.asarray(np.clip(strata, 1e-4, 1.0))


def _random(episodes: Episodes, scaling: Scaling, rng: np.random.Generator, subject: int, horizon: float) -> Doses:
    """Courses of some treatments: when they begin, how often, how much and for how long is drawn at random."""
    tables = [Doses.of()]
    for index, treatment in enumerate(episodes.schema.treatments):
        if rng.random() < 0.35:
            continue
        begin = horizon * rng.random() * rng.choice([0.0, 0.3, 1.0])
        gap = horizon * np.exp(rng.uniform(np.log(1 / 60), np.log(1 / 2)))
        time = begin + gap * np.arange(int(rng.integers(1, 1 + max(1, min(60, (horizon - begin) / gap)))))
        amount = scaling.treatment_high[index] * rng.random() * np.ones(len(time))
        if rng.random() < 0.3:
            amount = scaling.treatment_high[index] * rng.random(len(time))
        end = np.nan if treatment.kind == "bolus" else time + gap * rng.uniform(0.1, 1.0)
        start = episodes.cut[subject]
        tables.append(Doses.of(subject, start + time, start + end, index, amount))
    return Doses.concatenate(*tables)


def _sorted(doses: Doses) -> Doses:
    return doses.take(np.lexsort((doses.treatment, doses.time, doses.subject)))
