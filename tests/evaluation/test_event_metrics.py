"""Scores of risks: known numbers of other programs, brute force, and what they owe where nothing is censored."""

import numpy as np
import pytest

from neurotwin.evaluation.event_metrics import Censoring, Pairs, aalen_johansen, squared_errors, status_weights

TIME = np.array([5, 6, 6, 2.5, 4, 4, 1, 3, 7, 8, 2, 9.0])
EVENT = np.array([0, 1, 1, 2, 1, 2, 1, 0, 1, 0, 2, 1]) - 1
RISK = np.array([1, 0.2, -0.5, 0.3, 1.4, -1, 0.8, 0.1, -0.3, 0, 1.1, -0.9])


def test_incidences_are_those_of_lifelines():
    """lifelines 0.30.3, AalenJohansenFitter, the same twelve subjects."""
    found = aalen_johansen(TIME, EVENT, 2, [0.5, 1, 2, 2.5, 4, 6, 7, 9])
    assert found[:, 0] == pytest.approx([0, 1 / 12, 1 / 12, 1 / 12, 0.177083, 0.402083, 0.514583, 0.739583], abs=1e-6)
    assert found[:, 1] == pytest.approx([0, 0, 1 / 12, 1 / 6, 0.260417, 0.260417, 0.260417, 0.260417], abs=1e-6)


def test_weights_are_repeated_subjects():
    weight = np.array([2, 0, 1, 1, 3, 1, 1, 0, 1, 1, 1, 2.0])
    repeated = np.repeat(np.arange(12), weight.astype(int))
    at = [1.0, 4.0, 8.5]
    np.testing.assert_allclose(
        aalen_johansen(TIME, EVENT, 2, at, weight), aalen_johansen(TIME[repeated], EVENT[repeated], 2, at)
    )


def test_without_censoring_scores_are_plain_ones():
    event = np.where(EVENT < 0, 0, EVENT)
    censoring = Censoring.fit(TIME, event)
    assert (censoring.after(TIME) == 1).all()
    share = 1 / (1 + np.exp(-RISK))
    happened = (TIME <= 4) & (event == 1)
    np.testing.assert_allclose(squared_errors(TIME, event, 1, 4.0, share, censoring), (happened - share) ** 2)


def test_the_c_index_is_that_of_lifelines_where_every_outcome_is_seen():
    """lifelines 0.30.3, concordance_index with all events observed; ties of times are no pairs in either."""
    nothing = np.zeros(12, int)
    found = Pairs.of(TIME, nothing, 0, np.inf, RISK, Censoring.fit(TIME, nothing)).concordance()
    assert found[0] == pytest.approx(0.71875)


def test_the_c_index_is_that_of_its_definition():
    censoring, until = Censoring.fit(TIME, EVENT), 7.5
    right = total = 0.0
    for i in range(12):
        for j in range(12):
            if EVENT[i] != 0 or TIME[i] > until or i == j:
                continue
            if TIME[j] > TIME[i] or (TIME[j] == TIME[i] and EVENT[j] < 0):
                weight = 1 / (censoring.before(TIME[i]) * censoring.after(TIME[i]))
            elif EVENT[j] == 1:
                weight = 1 / (censoring.before(TIME[i]) * censoring.before(TIME[j]))
            else:
                continue
            total += weight
            right += weight * ((RISK[i] > RISK[j]) + 0.5 * (RISK[i] == RISK[j]))
    pairs = Pairs.of(TIME, EVENT, 0, until, RISK, censoring)
    assert pairs.concordance()[0] == pytest.approx(right / total)
    backwards = Pairs.of(TIME, EVENT, 0, until, -RISK, censoring)
    assert pairs.concordance()[0] + backwards.concordance()[0] == pytest.approx(1.0)
    assert Pairs.of(TIME, EVENT, 0, until, 0 * RISK, censoring).concordance()[0] == 0.5
    assert np.isnan(Pairs.of(TIME, EVENT, 0, 0.5, RISK, censoring).concordance()[0])


def test_weights_make_up_for_censoring():
    """With censoring that depends on nothing, weighted shares are those of everybody."""
    rng = np.random.default_rng(0)
    n = 20_000
    time, kind = rng.exponential(1.0, n), rng.integers(2, size=n)
    lost = rng.exponential(1.5, n)
    seen, event = np.minimum(time, lost), np.where(time <= lost, kind, -1)
    weight = status_weights(seen, event, 1.0, Censoring.fit(seen, event))
    assert weight.mean() == pytest.approx(1.0, abs=0.02)
    found = (weight * ((seen <= 1) & (event == 0))).mean()
    assert found == pytest.approx((1 - np.exp(-1)) / 2, abs=0.01)
    assert aalen_johansen(seen, event, 2, [1.0])[0, 0] == pytest.approx(found, abs=2e-3)
