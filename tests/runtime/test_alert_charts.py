"""Scores of records under their forecasts, and charts of scores, against what is known of them."""

from statistics import NormalDist

import numpy as np
import pytest

from neurotwin.heads import Head
from neurotwin.runtime.charts import average_run_length, cusum, resolutions, spreads
from neurotwin.runtime.scores import Marginals, stretched

LEVELS = np.array([0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975])
NORMAL = NormalDist()
Z = np.array([NORMAL.inv_cdf(level) for level in LEVELS])


def normals(mean, deviation, head=None):
    """Marginals that are normal on the modelling scale."""
    return Marginals(head or Head(), LEVELS, np.asarray(mean)[:, None] + np.asarray(deviation)[:, None] * Z)


def test_scores_of_a_normal_are_standard_deviations():
    mean, deviation = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 1.0, 2.0, 4.0])
    found = normals(mean, deviation)
    for score in (-6.0, -1.2, 0.0, 0.4, 2.5):
        np.testing.assert_allclose(found.scores(mean + score * deviation), score, atol=1e-12)
    low, high = found.interval(0.9)
    np.testing.assert_allclose((high - low) / deviation, 2 * NORMAL.inv_cdf(0.95), rtol=1e-9)
    low, high = found.interval(0.999)  # beyond the quantiles
    np.testing.assert_allclose((high - low) / deviation, 2 * NORMAL.inv_cdf(0.9995), rtol=1e-9)
    np.testing.assert_allclose(found.chance_within(mean + deviation, deviation), NORMAL.cdf(2) - 0.5, rtol=1e-9)


def test_what_lies_beyond_a_limit_of_detection_is_recorded_as_the_limit():
    found = normals([0.0, 5.0], [1.0, 1.0])
    chance = found.chance_within(np.array([1.0, 1.0]), np.array([0.01, 0.01]), (1.0, 9.0))
    assert chance[0] == pytest.approx(NORMAL.cdf(1.01), rel=1e-3) and chance[1] < 1e-3
    high = found.chance_within(np.array([9.0, 4.0]), np.array([0.0, 5.0]), (1.0, 9.0))
    assert high[0] < 1e-9 and high[1] == pytest.approx(1)


def test_scores_are_those_of_the_modelling_scale():
    found = normals([0.0, 1.0], [0.3, 0.3], Head(transform="log"))
    np.testing.assert_allclose(found.scores(np.exp([0.6, 1.6])), 2.0)
    assert np.isneginf(found.scores(np.array([0.0, -1.0]))).all()  # the scale does not reach there
    np.testing.assert_allclose(found.chance_within(np.array([1.0, np.e]), np.array([5.0, 5.0]))[0], 1, atol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        Head("ordinal", low=0, high=10, step=1),
        Head("bernoulli", low=0, high=1, step=1),
        Head("count", "log", offset=1.0, low=0, step=1),
        Head("bounded", low=0, high=4),
    ],
)
def test_records_of_a_head_have_their_own_probability(head):
    rng, n = np.random.default_rng(0), 20_000
    mean = np.full(n, 0.4 if head.kind == "bernoulli" else 1.2)
    wide = normals(mean, np.full(n, 0.5), head)
    told = head.recorded(head.inverse(rng.normal(mean, 0.5)))
    scores = wide.scores(told)
    assert abs(scores.mean()) < 0.05 and scores.std() < 1.05  # the middle of a step varies less than what is in it
    for value in np.unique(told)[:4]:
        expected = (told == value).mean()
        within = wide.chance_within(np.full(n, value), np.zeros(n))[0]
        if head.step:
            assert within == pytest.approx(expected, abs=0.015)
    low, high = wide.interval(0.9)
    assert ((told >= low) & (told <= high)).mean() >= 0.885


def test_quantiles_are_stretched_as_a_forecast_does():
    raw = np.exp(0.3 * Z)[None]
    found = stretched(Head(transform="log"), LEVELS, raw, np.array([2.0]))
    np.testing.assert_allclose(found[0], 0.6 * Z, atol=1e-12)
    yes = Head("bernoulli", low=0, high=1, step=1)
    np.testing.assert_allclose(stretched(yes, LEVELS, raw, np.array([2.0])), raw)


@pytest.mark.parametrize(("reference", "limit", "published"), [(0.5, 4, 168), (0.5, 5, 465), (0.25, 8, 370)])
def test_the_average_run_length_is_the_published_one(reference, limit, published):
    """Montgomery, Introduction to Statistical Quality Control, 7th ed., tables 9.3 and 9.4."""
    assert average_run_length(reference, limit) == pytest.approx(published, rel=0.03)


def test_the_chart_signals_as_often_as_it_says():
    scores = np.random.default_rng(1).normal(size=200_000)
    expected = average_run_length(0.5, 4.0)
    assert len(scores) / len(cusum(scores, 0.5, 4.0)) == pytest.approx(expected, rel=0.08)
    shifted = average_run_length(0.5, 5.0, 1.0)
    delays = [cusum(np.random.default_rng(seed).normal(size=200) + 1, 0.5, 5.0)[0].at + 1 for seed in range(300)]
    assert shifted == pytest.approx(10.4, rel=0.03) and np.mean(delays) == pytest.approx(shifted, rel=0.1)


def test_a_drift_tells_its_begin_and_size():
    rng = np.random.default_rng(2)
    found = cusum(np.r_[rng.normal(size=40) * 0.5, rng.normal(size=30) * 0.5 - 2], 0.5, 5.0)
    assert 40 < found[0].at < 46 and 36 <= found[0].first <= 41 and found[0].shift == pytest.approx(-2, abs=0.7)
    assert len(found) > 3  # a drift that stays is told again


def test_one_wild_record_is_no_drift_and_a_gap_is_passed_over():
    scores = np.zeros(30)
    scores[10] = np.inf
    assert cusum(scores, 0.5, 5.0) == []
    scores[11:14] = np.nan, 3.0, 3.0
    assert [one.at for one in cusum(scores, 0.5, 5.0)] == [13]


def test_the_resolution_is_the_least_difference():
    values = np.array([5.5, 5.5, 6.1, 5.8, 5.8, 5.7]) * 18.016  # rounded to 0.1 in another unit
    np.testing.assert_allclose(resolutions(values)[2:] / 18.016, [0.6, 0.3, 0.3, 0.1])
    assert np.isnan(resolutions(values)[:2]).all()
    np.testing.assert_allclose(spreads(np.array([1.0, 4.0, 2.0, 2.5]), 3), [np.inf, np.inf, 3.0, 2.0])
