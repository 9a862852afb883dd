"""Endpoints and adverse events of courses that are written down."""

import numpy as np
import pytest
from trial_cases import courses_of

from neurotwin.errors import ConfigError, UnitError
from neurotwin.events import Doses
from neurotwin.trials.adverse_events import Crossing, CumulativeDose, PerDose
from neurotwin.trials.endpoints import Area, Change, Reach
from neurotwin.trials.progression import Progression

INF = np.full(1, np.inf)


def value(endpoint, row, leaves=INF):
    return endpoint.of(courses_of([row]), "a", np.asarray(leaves))


def test_change_at_the_nearest_visit():
    row = [8, 9, 10, 12, 15, 19]  # the baseline is 10, at month 2
    assert value(Change("diameter", "mm", 2.0, 0.6), row).value == [5.0]
    assert value(Change("diameter", "cm", 2.4, 0.6), row).value == [0.5]
    assert value(Change("diameter", "mm", 2.0, 0.6, "log"), row).value == pytest.approx(np.log(1.5))
    assert np.isnan(value(Change("diameter", "mm", 9.0, 0.6), row).value)
    assert np.isnan(value(Change("diameter", "mm", 3.0, 0.6), row, [4.0]).value)
    assert np.isnan(value(Change("diameter", "mm", 2.0, 0.4), [8, 9, 10, 12, np.nan, 19]).value)


def test_area_is_that_of_the_trapezoids():
    row = [8, 9, 10, 12, 16, 20]
    assert value(Area("diameter", "mm", 3.0), row).value == pytest.approx((11 + 14 + 18) / 3)
    assert value(Area("diameter", "cm", 3.0), row).value == pytest.approx((11 + 14 + 18) / 30)
    assert value(Area("diameter", "mm", 3.0), [8, 9, 10, 12, np.nan, 20]).value == pytest.approx((11 + 2 * 16) / 3)
    assert np.isnan(value(Area("diameter", "mm", 3.0), row, [4.0]).value)
    assert value(Area("diameter", "mm", 3.0, 0.5), row, [4.0]).value == pytest.approx((11 + 14) / 2)


def test_progression_is_growth_above_the_nadir_at_a_visit():
    rule = {"variable": "diameter", "unit": "mm", "relative": 0.2, "until": 9.0, "time_unit": "mo"}
    row = [8, 9, 10, 8, 9.5, 9.7, 14]  # the nadir is 8, so that 9.6 is progression
    found = value(Progression(**rule), row)
    assert (found.value, found.event, found.clean) == ([3.0], [True], [2.0])
    assert value(Progression(**rule, absolute=5.0), row).value == [4.0]
    assert value(Progression(**rule), row, [4.5]).event == [False]
    censored = value(Progression(**rule), row, [4.5])
    assert (censored.value, censored.clean) == ([2.0], [2.0])
    assert np.isnan(value(Progression(**rule), [np.nan, np.nan, np.nan, 9, 10]).value)


def test_progression_that_must_be_confirmed():
    rule = {"variable": "diameter", "unit": "mm", "relative": 0.2, "until": 9.0, "time_unit": "mo", "confirmed": True}
    once = value(Progression(**rule), [8, 9, 10, 13, 10, 10, 10])
    assert not once.event and once.value == [4.0]
    assert value(Progression(**rule), [8, 9, 10, 13, 13, 10, 10]).value == [1.0]
    assert value(Progression(**rule), [8, 9, 10, 10, 10, 10, 13]).value == [4.0]  # nothing follows
    assert value(Progression(**rule), [8, 9, 10, 13, np.nan, 13, 10]).value == [1.0]


def test_reach():
    row = [8, 9, 10, 12, 16, 20]
    assert value(Reach("diameter", "cm", 3.0, above=1.9), row).value == [1.0]
    assert value(Reach("diameter", "mm", 2.0, above=19.0), row).value == [0.0]
    assert value(Reach("diameter", "mm", 3.0, below=13.0, since=1.5), row).value == [0.0]
    assert np.isnan(value(Reach("diameter", "mm", 3.0, above=19.0), row, [4.0]).value)


def test_adverse_events():
    doses = Doses.of(
        [0, 0, 0, 1], [1.0, 3.0, 5.0, 3.0], [np.nan, np.nan, np.nan, 4.0], [0, 0, 0, 1], [4.0, 4.0, 4.0, 2.0]
    )
    two = courses_of([[9, 9, 9, 50, 9, 9], [9, 9, 9, 9, 9, 9]], doses={"a": doses, "b": doses})
    stays, chance = np.full(2, np.inf), np.array([0.3, 0.3])
    assert Crossing("diameter", "cm", above=4.0).happens(two, "a", stays, chance).tolist() == [True, False]
    assert Crossing("diameter", "cm", above=4.0).happens(two, "a", np.array([2.5, 2.5]), chance).tolist() == [
        False,
        False,
    ]
    # Two doses follow randomisation: 1 - 0.84^2 is 0.294, 1 - 0.83^2 is 0.311.
    assert PerDose("drug", 0.16, "s").happens(two, "a", stays, chance).tolist() == [False, False]
    assert PerDose("drug", 0.17, "s").happens(two, "a", stays, chance).tolist() == [True, False]
    assert CumulativeDose("drug", 0.0079, "g").happens(two, "a", stays, chance).tolist() == [True, False]
    assert CumulativeDose("drug", 8.0, "mg").happens(two, "a", stays, chance).tolist() == [False, False]
    # 2 mg/h for a month of 30.4375 d is 1461 mg.
    assert CumulativeDose("drip", 1460.0, "mg").happens(two, "a", stays, chance).tolist() == [False, True]
    assert CumulativeDose("drip", 1462.0, "mg").happens(two, "a", stays, chance).tolist() == [False, False]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: value(Change("weight", "kg", 1.0, 1.0), [1, 2, 3, 4]), ConfigError, "no variable 'weight'"),
        (lambda: value(Area("diameter", "kg", 1.0), [1, 2, 3, 4]), UnitError, "cannot convert"),
        (lambda: Change("diameter", "mm", 0.0, 1.0), ConfigError, "positive times"),
        (lambda: Reach("diameter", "mm", 1.0), ConfigError, "above or below"),
        (lambda: Crossing("diameter", "mm"), ConfigError, "above or below"),
        (lambda: PerDose("drug", 1.5, "s"), ConfigError, "0 to 1"),
        (lambda: Progression("diameter", "mm", 0.0, 1.0, "mo"), ConfigError, "growth above 0"),
        (lambda: value(Progression("diameter", "mm", 0.2, 1.0, "d"), [1, 2, 3, 4]), ConfigError, "expected mo"),
        (
            lambda: PerDose("pill", 0.5, "s").happens(courses_of([[1, 2, 3, 4]]), "a", INF, INF),
            ConfigError,
            "no treatment 'pill'",
        ),
    ],
)
def test_what_cannot_be_meant_is_told(make, error, words):
    with pytest.raises(error, match=words):
        make()
