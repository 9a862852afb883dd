"""Scores by subgroup, on cohorts of which every number is known."""

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.episodes import Forecast
from neurotwin.errors import ConfigError
from neurotwin.evaluation import EvaluationReport, evaluate
from neurotwin.evaluation.subgroups import MISSING, split
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Variable

AGES = [40.0, 50.0, 60.0, 70.0, 80.0, np.nan]
SEXES = [0, 0, 0, 1, 1, 1]


@pytest.fixture
def cohort():
    """Six subjects seen at 0, 1 and 2, whose last value is their number."""
    schema = Schema(
        name="six",
        time_unit="d",
        variables=(Variable(name="x", unit="mm"),),
        statics=(Static(name="age", unit="a"), Static(name="sex", levels=("f", "m"))),
    )
    subject, time = (part.ravel() for part in np.indices((6, 3)))
    value = np.where(time == 2, subject, 0.0)
    seen = Observations.of(subject, time, np.zeros(18), value)
    statics = np.column_stack([AGES, SEXES])
    return Cohort.build(schema, [f"s{number}" for number in range(6)], statics, seen, Doses.of(), split_key="six")


def zero(episodes):
    """Median 0, interval -1.5 to 1.5."""
    ends = np.array([-1.5, 0.0, 1.5])
    return Forecast(np.array([0.05, 0.5, 0.95]), np.broadcast_to(ends, (len(episodes.queries), 1, 3)))


def test_each_part_is_scored_by_itself(cohort):
    report = evaluate({"zero": zero}, cohort, cut=1.0, horizons=[np.inf], by=["sex", "age"], n_bootstrap=20)
    found = {(one.by, one.part): one for one in report.subgroups}
    # The truth of subject i is i: the women are 0, 1, 2, the men 3, 4, 5.
    assert found["sex", "f"].metrics["mae"].pooled.value == pytest.approx(1.0)
    assert found["sex", "m"].metrics["mae"].pooled.value == pytest.approx(4.0)
    assert found["sex", "f"].metrics["coverage"].pooled.value == pytest.approx(2 / 3)
    assert found["sex", "m"].metrics["coverage"].pooled.value == 0.0
    assert found["age", MISSING].n_subjects == 1
    assert found["age", MISSING].metrics["mae"].pooled.value == pytest.approx(5.0)
    ages = [one for (by, part), one in found.items() if by == "age" and part != MISSING]
    assert [one.n_subjects for one in ages] == [2, 1, 2] and [one.part for one in ages][0] == "<= 53.3 a"
    assert EvaluationReport.from_dict(report.to_dict()) == report


def test_parts_together_are_all_subjects(cohort):
    for name in ("sex", "age"):
        members = [part for _, part in split(cohort, np.arange(6), name)]
        assert (np.sum(members, axis=0) == 1).all()


def test_a_number_that_is_the_same_for_all_makes_one_part(cohort):
    cohort.statics[:, 0] = 60.0
    assert [label for label, _ in split(cohort, np.arange(6), "age")] == ["<= 60 a"]


def test_an_unknown_covariate_is_refused(cohort):
    with pytest.raises(ConfigError, match="no covariate 'nose'; at by; expected one of age, sex"):
        evaluate({"zero": zero}, cohort, cut=1.0, horizons=[np.inf], by=["nose"], n_bootstrap=20)
