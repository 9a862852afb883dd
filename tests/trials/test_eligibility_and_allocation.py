"""Who takes part, who gets what, and who leaves."""

import numpy as np
import pytest
from trial_cases import courses_of

from neurotwin.errors import ConfigError, UnitError
from neurotwin.trials.dropout import Dropout
from neurotwin.trials.eligibility import Criterion, screen
from neurotwin.trials.groups import Split, crossed
from neurotwin.trials.randomisation import Randomisation

STATICS = [[40, 0], [50, 1], [60, 0], [70, 1]]
PEOPLE = courses_of([[9, 10, 11, 12], [9, 20, 21, 22], [9, 30, 31, 32], [9, 40, 41, 42]], statics=STATICS)


def test_conditions_are_counted_and_must_all_hold():
    criteria = [
        Criterion("age", 45, 65, "a"),
        Criterion("diameter", most=2.5, unit="cm"),
        Criterion("sex", levels=["male"]),
    ]
    found = screen(criteria, PEOPLE)
    # The baseline is the last measurement up to the cut, 11, 21, 31 and 41 mm.
    assert list(found.failed.values()) == [2, 2, 2]
    assert found.eligible.tolist() == [False, True, False, False]
    assert "diameter at most 2.5 cm" in found.failed


def test_a_baseline_that_was_not_measured_is_no_reason_to_let_in():
    nobody = courses_of([[np.nan, np.nan, np.nan, 5.0], [9, 9, 9, 9]])
    assert screen([Criterion("diameter", least=0, unit="mm")], nobody).eligible.tolist() == [False, True]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Criterion("age"), ConfigError, "no condition"),
        (lambda: Criterion("age", 1.0), ConfigError, "no unit"),
        (lambda: Criterion("age", 3.0, 1.0, "a"), ConfigError, "least <= most"),
        (lambda: screen([Criterion("weight", 1.0, unit="kg")], PEOPLE), ConfigError, "no covariate or variable"),
        (lambda: screen([Criterion("age", 1.0, unit="kg")], PEOPLE), UnitError, "cannot convert"),
        (lambda: screen([Criterion("sex", levels=["other"])], PEOPLE), ConfigError, "no level 'other'"),
        (lambda: screen([Criterion("age", 99.0, unit="a")], PEOPLE), ConfigError, "none of 4 screened"),
        (lambda: Split("age", [50.0]), ConfigError, "without a unit"),
        (lambda: Split("weight").of(PEOPLE), ConfigError, "no covariate or variable"),
        (lambda: Randomisation("blocks", (1, 2), 4), ConfigError, "a multiple of 3"),
        (lambda: Randomisation("simple", strata=[Split("sex")]), ConfigError, "strata with simple"),
        (lambda: Randomisation(ratio=(1, 0)), ConfigError, "whole numbers"),
        (lambda: Dropout(-1.0), ConfigError, "at least 0"),
        (lambda: Dropout(0.1, strength=1.0), ConfigError, "without a variable"),
    ],
)
def test_what_cannot_be_meant_is_told(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_groups():
    assert Split("sex").of(PEOPLE).member.tolist() == [0, 1, 0, 1]
    found = Split("diameter", [1.5, 3.5], "cm").of(PEOPLE)
    assert found.labels == ("up to 15 mm", "15 to 35 mm", "above 35 mm") and found.member.tolist() == [0, 1, 1, 2]
    assert Split("age").of(PEOPLE).member.tolist() == [0, 0, 1, 1]
    both = crossed([Split("sex").of(PEOPLE), Split("age").of(PEOPLE)], 4)
    assert both.member.tolist() == [0, 2, 1, 3] and both.labels[1] == "female, above 55 a"
    assert crossed([], 3).member.tolist() == [0, 0, 0]


@pytest.mark.parametrize("ratio", [(1, 1), (1, 2)])
def test_blocks_keep_the_ratio_within_each_stratum(ratio):
    stratum = np.random.default_rng(0).integers(0, 3, 300)
    arm = Randomisation("blocks", ratio).assign(stratum, np.random.default_rng(1))
    size = 2 * sum(ratio)
    for one in range(3):
        mine = arm[stratum == one]
        whole = mine[: len(mine) // size * size].reshape(-1, size)
        assert (whole.sum(axis=1) == 2 * ratio[1]).all()
        assert len({tuple(block) for block in whole}) > 1


def test_simple_randomisation_is_a_coin_and_seeded():
    plan = Randomisation("simple", (1, 3))
    arm = plan.assign(np.zeros(8000, dtype=int), np.random.default_rng(2))
    assert arm.mean() == pytest.approx(0.75, abs=0.02)
    assert np.array_equal(arm, plan.assign(np.zeros(8000, dtype=int), np.random.default_rng(2)))


def test_dropout_by_chance_has_its_rate():
    many = courses_of(np.full((20_000, 6), 10.0))
    leaves = Dropout(0.2).leaves(many, "a", np.random.default_rng(0).random((20_000, 6)))
    assert np.isinf(leaves).mean() == pytest.approx(np.exp(-0.2 * 3), abs=0.01)
    assert set(leaves[np.isfinite(leaves)]) == {2.0, 3.0, 4.0}
    assert np.isinf(Dropout().leaves(many, "a", np.zeros((20_000, 6)))).all()


@pytest.mark.parametrize("sees", ["last", "next"])
def test_dropout_by_the_course_takes_those_who_grow(sees):
    values = np.full((20_000, 6), 10.0)
    values[:10_000, 3:] = 20.0
    many = courses_of(values)
    plan = Dropout(0.1, "diameter", 1.0, 1.0, "cm", sees)
    leaves = plan.leaves(many, "a", np.random.default_rng(0).random((20_000, 6)))
    stays = np.isinf(leaves).reshape(2, -1).mean(axis=1)
    # By what was seen, the first interval after randomisation is as before; by what is to come, it is not.
    grown = 2 if sees == "last" else 3
    assert stays[0] == pytest.approx(np.exp(-0.1 * (np.e * grown + 3 - grown)), abs=0.012)
    assert stays[1] == pytest.approx(np.exp(-0.3), abs=0.012)
