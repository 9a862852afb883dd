"""Quantiles of joint draws, by which differences between plans are told."""

import numpy as np
import pytest

from neurotwin.runtime.answer import draw_quantiles


def test_one_more_draw_is_below_a_quantile_as_often_as_it_says():
    """The interval of a difference is one for the patient's own difference, which is another draw."""
    draws = np.random.default_rng(0).normal(size=(4000, 17))
    low, high = draw_quantiles(draws[:, :16], [0.05, 0.95])
    assert ((low <= draws[:, 16]) & (draws[:, 16] <= high)).mean() == pytest.approx(15 / 17, abs=0.015)
    low, high = draw_quantiles(np.random.default_rng(1).normal(size=(4000, 60)), [0.05, 0.95])
    fresh = np.random.default_rng(2).normal(size=4000)
    assert ((low <= fresh) & (fresh <= high)).mean() == pytest.approx(0.9, abs=0.015)
    assert np.isnan(draw_quantiles(np.full((1, 8), np.nan), [0.5])).all()
