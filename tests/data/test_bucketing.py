"""Batches of records of like length: everyone once, any cut as likely as without, less padding, true row counts."""

import numpy as np
import pytest
from event_cases import event_cohort
from hypothesis import given
from hypothesis import strategies as st

from neurotwin.data import EpisodeBatches, random_cuts
from neurotwin.data.bucketing import batches_alike, row_counts
from neurotwin.episodes import make_episodes

WHOLE, _ = event_cohort(300, seed=7)
COHORT = WHOLE.take(np.isfinite(random_cuts(WHOLE, np.random.default_rng(0), 2)))
HOW = {"batch_size": 16, "max_step": 0.5, "min_visits": 2, "max_horizon": np.inf}


def padding(batches):
    rows = [item for batch in batches for item in (batch.history, batch.plan)]
    return 1 - sum(float(item.active.sum()) for item in rows) / sum(item.dt.numel() for item in rows)


@given(
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60),
    size=st.integers(1, 9),
    window=st.integers(2, 9),
)
def test_everyone_is_in_one_batch(counts, size, window):
    n, rng = len(counts), np.random.default_rng(0)
    found = [*batches_alike(rng.permutation(n), np.array(counts), size, window, rng)]
    assert sorted(np.concatenate([chosen for chosen, _ in found])) == list(range(n))
    assert all(1 <= len(chosen) <= size for chosen, _ in found)
    # One share of each equal part of (0, 1).
    assert sorted(int(share * len(found)) for _, share in found) == list(range(len(found)))


def test_row_counts_are_about_those_of_the_timelines():
    cuts = random_cuts(COHORT, np.random.default_rng(3), 2)
    episodes, _, kept = make_episodes(COHORT, cuts, min_visits=2)
    counts = row_counts(COHORT, cuts, 0.5)[kept]
    for number, timeline in enumerate((episodes.history(0.5), episodes.plan(0.5))):
        active = ((timeline.dt > 0) | (timeline.mask > 0).any(-1) | (timeline.jump != 0).any(-1)).sum(1)
        assert np.abs(counts[:, number] - active).mean() <= 2.0
        assert np.corrcoef(counts[:, number], active)[0, 1] > 0.97


def test_a_window_pads_less_and_asks_as_much():
    plain, alike = (
        [*map(EpisodeBatches(COHORT, seed=(0,), window=window, **HOW).__getitem__, range(10))] for window in (1, 32)
    )
    assert padding(alike) < 0.75 * padding(plain)


def test_cuts_are_as_likely_as_without():
    """Of one subject over many epochs: each of its visits that may be the cut, about as often."""
    choices, seen = None, []
    for epoch in range(60):
        source = EpisodeBatches(COHORT, seed=(1, epoch), window=4, **HOW)
        number = next(place for place, chosen in enumerate(source.chosen) if 0 in chosen)
        seen.append(source.share[number])
        choices = len(source)
    assert len(np.unique(np.floor(np.array(seen) * 4))) == 4 and choices == -(-len(COHORT) // 16)
    assert abs(np.mean(seen) - 0.5) < 0.15


def test_the_same_seed_makes_the_same_batches():
    one, two = (EpisodeBatches(COHORT, seed=(2, 5), window=4, **HOW) for _ in range(2))
    for number in range(len(one)):
        for mine, theirs in zip(one[number][:3], two[number][:3], strict=True):
            assert mine.equal(theirs)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_share_takes_the_same_place_among_the_visits_of_all(share):
    cuts = random_cuts(COHORT, np.random.default_rng(0), 2, share=share)
    for subject in range(20):
        visits = np.unique(COHORT.observations.time[COHORT.observations.subject == subject])[1:-1]
        assert cuts[subject] == visits[int(share * len(visits))]
