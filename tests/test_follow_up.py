"""Follow-ups: kept with their subjects in memory and on disk, refused where they do not fit, left out without them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from toys import toy_cohort

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError, SchemaError
from neurotwin.events import Doses
from neurotwin.follow_up import CENSORED, FollowUp
from neurotwin.schema import Outcome, Schema

OUTCOMES = (Outcome(name="transplant"), Outcome(name="death", code="SNOMED:419620001"))


def ended(cohort, time=None, event=None, outcomes=OUTCOMES):
    """The cohort with outcomes, each subject followed until 20 unless told otherwise."""
    n = len(cohort)
    followed = FollowUp.of(np.full(n, 20.0) if time is None else time, np.arange(n) % 3 - 1 if event is None else event)
    return Cohort.build(
        cohort.schema.model_copy(update={"outcomes": outcomes}),
        cohort.ids.tolist(),
        cohort.statics,
        cohort.observations,
        cohort.doses,
        split_key="toy",
        follow_up=followed,
    )


def test_follow_up_stays_with_its_subjects(tmp_path):
    cohort = ended(toy_cohort(25), time=np.r_[np.nan, np.linspace(20, 30, 24)])
    part = cohort.take(np.array([4, 2, 0]))
    assert part.follow_up.event.tolist() == [0, 1, CENSORED] and np.isnan(part.follow_up.time[2])
    assert cohort.part("train").follow_up.time.shape == (len(cohort.part("train")),)
    digest = cohort.save(tmp_path / "cohort", shard_size=10)
    again = Cohort.load(tmp_path / "cohort", verify=True)
    np.testing.assert_array_equal(again.follow_up.time, cohort.follow_up.time)
    np.testing.assert_array_equal(again.follow_up.event, cohort.follow_up.event)
    assert again.schema.outcomes == OUTCOMES
    other = ended(toy_cohort(25), time=np.r_[np.nan, np.linspace(20, 31, 24)])
    assert other.save(tmp_path / "other", shard_size=10) != digest


def test_without_outcomes_nothing_is_written(tmp_path):
    cohort = toy_cohort(5)
    assert cohort.follow_up is None and "outcomes" not in cohort.schema.model_dump()
    cohort.save(tmp_path / "cohort")
    assert "outcomes" not in json.loads((tmp_path / "cohort" / "cohort.json").read_text())["schema"]
    assert Cohort.load(tmp_path / "cohort").follow_up is None
    assert Schema.parse(cohort.schema.model_dump(mode="json")) == cohort.schema


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outcomes": ()}, "a follow-up; at follow_up; expected outcomes in the schema"),
        ({"event": np.full(5, 2)}, "an outcome that is not in the schema; at follow_up; expected -1..1"),
        ({"time": np.full(4, 20.0), "event": np.zeros(4)}, "expected 5"),
        ({"time": np.full(5, np.nan)}, "an outcome without a finite time"),
        ({"time": np.full(5, np.inf), "event": CENSORED}, "an outcome without a finite time"),
        ({"time": np.full(5, 1.1), "event": CENSORED}, r"\d+ observations come after the end"),
    ],
)
def test_a_follow_up_that_does_not_fit_is_refused(more, message):
    with pytest.raises(CohortError, match=message):
        ended(toy_cohort(5), **more)


def test_a_dose_after_the_end_is_refused_and_a_running_one_is_not():
    cohort = toy_cohort(2)
    last = cohort.observations.time.max()
    running = replace(cohort, doses=Doses.of([0], [0.0], [np.inf], [1], [1.0]))
    assert len(ended(running, time=last + 1).doses) == 1
    with pytest.raises(CohortError, match="1 doses come after the end"):
        ended(replace(cohort, doses=Doses.of([0], [last + 2], [np.nan], [0], [1.0])), time=last + 1)


def test_a_schema_with_outcomes_needs_a_follow_up_and_names_of_their_own():
    cohort = toy_cohort(2)
    with pytest.raises(CohortError, match="no follow-up; at follow_up; expected one, since the schema has 2 outcomes"):
        Cohort.build(
            cohort.schema.model_copy(update={"outcomes": OUTCOMES}),
            cohort.ids.tolist(),
            cohort.statics,
            cohort.observations,
            cohort.doses,
            split_key="toy",
        )
    content = cohort.schema.model_dump(mode="json") | {"outcomes": [{"name": "size"}]}
    with pytest.raises(SchemaError, match="names must differ, repeated: size"):
        Schema.parse(content)


def test_ends_beyond_a_limit_are_censored_there():
    cut = FollowUp.of([1.0, 5.0, np.nan], [0, 1, CENSORED]).until(3.0)
    np.testing.assert_array_equal(cut.time, [1.0, 3.0, np.nan])
    assert cut.event.tolist() == [0, CENSORED, CENSORED]
    both = FollowUp.concatenate(cut, FollowUp.unknown(1))
    assert len(both) == 4 and both.event[3] == CENSORED
