"""Metrics against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neurotwin.errors import ConfigError, InputError
from neurotwin.evaluation import metrics

LEVELS = np.array([0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975])


def gaussian_crps(y):
    """Gneiting & Raftery 2007, equation 21, for the standard normal."""
    return y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / math.sqrt(math.pi)


def normal_quantiles(n, levels=LEVELS):
    return np.broadcast_to(stats.norm.ppf(levels), (n, len(levels)))


def test_point_metrics_by_hand():
    truth, prediction = [1.0, 2.0, 3.0], [2.0, 2.0, 0.0]
    assert metrics.mae(truth, prediction) == pytest.approx(4 / 3)
    assert metrics.rmse(truth, prediction) == pytest.approx(math.sqrt(10 / 3))
    assert metrics.bias(truth, prediction) == pytest.approx(-2 / 3)


def test_weight_and_mask():
    truth, prediction = [1.0, 2.0, np.nan], [2.0, 5.0, 1.0]
    assert metrics.mae(truth, prediction, [True, True, False]) == 2
    assert metrics.mae(truth, prediction, [3.0, 1.0, 0.0]) == 1.5
    assert math.isnan(metrics.mae(truth, prediction, [0, 0, 0]))
    assert math.isnan(metrics.rmse([], []))


def test_interval_metrics_by_hand():
    truth, interval = [0.0, 1.0, 3.0, -1.0], [[0, 1], [0, 1], [0, 2], [0, 1]]
    assert metrics.coverage(truth, interval) == 0.5  # the ends belong to the interval
    assert metrics.interval_width(truth, interval) == 1.25
    assert metrics.interval_score(truth, interval, level=0.9) == pytest.approx((1 + 1 + (2 + 20) + (1 + 20)) / 4)


def test_interval_score_is_best_at_the_true_quantiles():
    truth = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    scores = {z: metrics.interval_score(truth, np.tile([-z, z], (4000, 1)), level=0.9) for z in (1.3, 1.645, 2.0)}
    assert min(scores, key=scores.get) == 1.645


def test_crps_of_one_quantile_is_the_absolute_error():
    assert metrics.crps_each([1.0, 5.0], [[2.0], [2.0]], levels=[0.5]).tolist() == [1, 3]


@pytest.mark.parametrize(("levels", "tolerance"), [(np.arange(1, 1000) / 1000, 6e-4), (LEVELS, 1.1e-2)])
def test_crps_against_the_gaussian_closed_form(levels, tolerance):
    y = np.linspace(-3, 3, 61)
    got = metrics.crps_each(y, normal_quantiles(len(y), levels), levels=levels)
    assert np.abs(got - gaussian_crps(y)).max() < tolerance


def test_crps_on_average_as_documented():
    y = stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    for levels, excess in (
        ([0.05, 0.25, 0.5, 0.75, 0.95], 0.003),
        (np.arange(1, 20) / 20, 0.002),
        ([0.05, 0.5, 0.95], 0.016),
    ):
        got = metrics.crps(y, normal_quantiles(len(y), levels), levels=levels)
        assert got * math.sqrt(math.pi) - 1 == pytest.approx(excess, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.floats(-6, 6))
def test_crps_is_the_integral_of_the_pinball_loss(points, y):
    levels = np.array([0.1, 0.3, 0.5, 0.8, 0.95])
    quantiles = np.sort(points)

    u = (np.arange(200_000) + 0.5) / 200_000
    q = np.interp(u, levels, quantiles)
    want = (2 * ((q > y) - u) * (q - y)).mean()
    assert metrics.crps_each([y], [points], levels=levels)[0] == pytest.approx(want, abs=1e-4)


def test_pit_is_uniform_for_a_perfect_forecast():
    levels = np.arange(1, 100) / 100
    y = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    got = metrics.pit(y, normal_quantiles(len(y), levels), levels=levels)
    assert np.abs(got - (np.arange(1000) + 0.5) / 1000).max() < 0.006


def test_pit_beyond_the_levels_and_on_ties():
    quantiles = [[0.0, 1.0, 1.0]] * 5
    got = metrics.pit([-1.0, 0.0, 0.5, 1.0, 2.0], quantiles, levels=[0.2, 0.5, 0.8])
    assert got == pytest.approx([0.1, 0.2, 0.35, 0.65, 0.9])


def test_wrong_shapes_are_named():
    with pytest.raises(InputError, match=r"NT-2000 truth \(2,\), prediction \(3,\)"):
        metrics.mae([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="n, 2"):
        metrics.coverage([1.0], [[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="levels do not rise"):
        metrics.crps([1.0], [[1.0, 2.0]], levels=[0.5, 0.5])
    with pytest.raises(InputError, match="weight has shape"):
        metrics.mae([1.0], [1.0], [1.0, 2.0])
    with pytest.raises(ConfigError, match="level 1.5"):
        metrics.interval_score([1.0], [[0.0, 2.0]], level=1.5)
