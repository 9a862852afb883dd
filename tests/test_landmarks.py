"""Landmark questions: who is asked, where the extra queries stand, and what survival up to the cut does to a risk."""

import numpy as np
from event_cases import event_cohort

from neurotwin.episodes import make_episodes
from neurotwin.follow_up import CENSORED, FollowUp
from neurotwin.landmarks import ask_cuts, ask_ends, given_free, risks_of

COHORT, TRUTH = event_cohort(60, seed=3)


def test_who_goes_on_is_asked_with_or_without_a_later_visit():
    follow_up, seen = COHORT.follow_up, COHORT.observations
    _, _, with_visits = make_episodes(COHORT, 2.5)
    episodes, targets, kept = make_episodes(COHORT, 2.5, events=True)
    assert set(with_visits) < set(kept)
    expected = [one for one in range(60) if follow_up.time[one] > 2.5]
    assert kept.tolist() == expected and len(episodes) == len(kept)
    later = np.unique(seen.subject[(seen.time > 2.5) & np.isin(seen.subject, kept)])
    assert len(set(episodes.queries.subject[targets.query])) == len(later) < len(kept)


def test_an_end_that_is_not_known_needs_a_later_visit():
    unknown = COHORT.take(np.arange(60))
    unknown = type(unknown)(**{**vars(unknown), "follow_up": FollowUp.unknown(60)})
    _, _, kept = make_episodes(unknown, 2.5, events=True)
    assert kept.tolist() == make_episodes(COHORT, 2.5)[2].tolist()


def test_ends_are_asked_at_their_time_and_no_target_moves():
    episodes, targets, kept = make_episodes(COHORT, 2.5, events=True, max_horizon=2.0)
    asked, moved, ends = ask_ends(episodes, targets, COHORT.follow_up.take(kept), 2.0)
    own = np.arange(len(kept))
    for query, time in ((ends.start, episodes.cut), (ends.end, np.minimum(COHORT.follow_up.time[kept], 4.5))):
        assert asked.queries.subject[query].tolist() == own.tolist()
        np.testing.assert_allclose(asked.queries.time[query], time)
    late = COHORT.follow_up.time[kept] > 4.5
    assert (ends.event[late] == CENSORED).all()
    assert ends.event[~late].tolist() == COHORT.follow_up.event[kept][~late].tolist()
    np.testing.assert_array_equal(asked.queries.time[moved.query], episodes.queries.time[targets.query])
    assert (np.diff(asked.queries.subject) >= 0).all() and len(asked.queries) == len(episodes.queries) + 2 * len(kept)


def test_an_unknown_end_stands_at_the_cut():
    episodes, targets, kept = make_episodes(COHORT, 2.5)
    _, _, ends = ask_ends(episodes, targets, FollowUp.unknown(len(kept)))
    assert (ends.event == CENSORED).all()


def test_cuts_are_asked_beside_everything_else():
    episodes, _, kept = make_episodes(COHORT, 2.5)
    asked, old, cut = ask_cuts(episodes)
    np.testing.assert_array_equal(asked.queries.time[old], episodes.queries.time)
    np.testing.assert_array_equal(asked.queries.time[cut], episodes.cut)
    grid = risks_of(episodes, [1.0, 2.0])
    assert grid.queries.subject.tolist() == np.repeat(np.arange(len(kept)), 2).tolist()
    np.testing.assert_allclose(grid.queries.time[:2], [3.5, 4.5])


def test_who_has_reached_the_cut_has_no_risk_left_from_before():
    at_cut, later = TRUTH.incidence(1.0, 3.0), TRUTH.incidence(1.0, 5.0)
    np.testing.assert_allclose(given_free(later, at_cut), TRUTH.incidence(3.0, 5.0), atol=2e-4)
    np.testing.assert_array_equal(given_free(at_cut, at_cut), np.zeros_like(at_cut))
