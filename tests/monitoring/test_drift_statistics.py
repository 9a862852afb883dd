"""The tests' probabilities: those of scipy, and never too small where nothing changed."""

import numpy as np
import pytest
from scipy import stats

from neurotwin.monitoring.statistics import fisher, holm, kolmogorov_tail, kuiper_tail, stability_index


@pytest.mark.parametrize("n, m", [(50, 600), (300, 400), (1000, 1000)])
def test_kolmogorov_is_the_asymptotic_tail_and_not_below_the_exact_one(n, m):
    for distance in (0.05, 0.1, 0.2, 0.3):
        found = float(kolmogorov_tail(distance, n, m))
        assert found == pytest.approx(stats.kstwobign.sf(distance * np.sqrt(n * m / (n + m))), abs=1e-9)
    samples = np.random.default_rng(n).random(n), np.random.default_rng(m).random(m)
    exact = stats.ks_2samp(*samples, method="exact")
    assert float(kolmogorov_tail(exact.statistic, n, m)) >= exact.pvalue - 1e-3


def test_kuiper_keeps_its_level_and_sees_a_spread():
    generator = np.random.default_rng(0)
    edges, n, m = np.linspace(0.05, 0.95, 19), 200, 600

    def distance(wide):
        x = 0.5 + (generator.random((2000, n)) - 0.5) * wide
        y = generator.random((2000, m))
        gap = np.stack([(x[:, :, None] <= edges).mean(1) - (y[:, :, None] <= edges).mean(1)])[0]
        return np.maximum(gap.max(1), 0) - np.minimum(gap.min(1), 0)

    still = kuiper_tail(distance(1.0), n, m)
    assert all((still <= alpha).mean() <= alpha + 3 * np.sqrt(alpha / 2000) for alpha in (0.01, 0.05, 0.2))
    assert (kuiper_tail(distance(0.7), n, m) <= 0.01).mean() > 0.9


@pytest.mark.parametrize(
    "k, n, j, m", [(0, 20, 0, 30), (3, 20, 9, 30), (20, 20, 0, 30), (90, 100, 180, 200), (5, 5, 5, 5)]
)
def test_fisher_is_twice_the_smaller_exact_tail(k, n, j, m):
    total = stats.hypergeom(n + m, k + j, n)
    assert fisher(k, n, j, m) == pytest.approx(min(1.0, 2 * min(total.cdf(k), total.sf(k - 1))), rel=1e-6)


def test_holm_rejects_as_often_as_it_says():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).size == 0
    chances = np.random.default_rng(1).random((4000, 12))
    assert np.mean([holm(row).min() <= 0.05 for row in chances]) <= 0.05 + 3 * np.sqrt(0.05 / 4000)


def test_the_stability_index_is_about_nothing_where_nothing_changed():
    generator = np.random.default_rng(2)
    share = np.full(10, 0.1)
    still = [stability_index(generator.multinomial(200, share), generator.multinomial(600, share)) for _ in range(500)]
    assert abs(np.mean(still)) < 0.01
    assert stability_index([100, 0], [50, 50]) > 0.25  # an empty cell is finite
