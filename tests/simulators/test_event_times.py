"""Event times drawn from hazards: in law what the hazards say, and refused where they say nothing."""

import numpy as np
import pytest

from neurotwin.errors import SimulationError
from neurotwin.follow_up import CENSORED
from neurotwin.simulators.event_times import draw_follow_up

GRID = np.linspace(0.0, 3.0, 301)


def test_constant_hazards_give_exponential_times_and_shares():
    hazard = np.broadcast_to([0.3, 0.6], (40_000, len(GRID), 2))
    found = draw_follow_up(GRID, hazard, np.random.default_rng(0))
    assert (found.time[found.event == CENSORED] == 3.0).all()
    for at in (0.5, 1.5, 2.9):
        gone = 1 - np.exp(-0.9 * at)
        for outcome, share in ((0, 1 / 3), (1, 2 / 3)):
            assert ((found.event == outcome) & (found.time <= at)).mean() == pytest.approx(gone * share, abs=0.01)


def test_a_hazard_that_comes_late_takes_nobody_before():
    hazard = np.where(GRID > 2.0, 5.0, 0.0)[None, :, None].repeat(500, axis=0)
    found = draw_follow_up(GRID, hazard, np.random.default_rng(1))
    assert found.time.min() >= 1.99 and (found.event == 0).mean() > 0.95


def test_who_is_lost_before_is_censored_there():
    hazard = np.full((2_000, len(GRID), 1), 0.5)
    lost = np.full(2_000, 1.0)
    found = draw_follow_up(GRID, hazard, np.random.default_rng(2), lost=lost)
    assert found.time.max() == 1.0 and ((found.time == 1.0) == (found.event == CENSORED)).all()


@pytest.mark.parametrize(
    ("time", "hazard", "message"),
    [
        (GRID[::-1], np.ones((1, 301, 1)), "rising times"),
        (GRID, np.ones((1, 300, 1)), "rising times"),
        (GRID, -np.ones((1, 301, 1)), "negative or not finite"),
        (GRID, np.full((1, 301, 1), np.nan), "negative or not finite"),
    ],
)
def test_hazards_that_are_none_are_refused(time, hazard, message):
    with pytest.raises(SimulationError, match=message):
        draw_follow_up(time, hazard, np.random.default_rng(0))
