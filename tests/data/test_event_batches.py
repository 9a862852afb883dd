"""Batches that also ask how follow-up ended: rows that hold the questions, cuts at last visits, and unchanged pasts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from event_cases import event_cohort

from neurotwin.data import CohortData, Events, random_batch, random_cuts
from neurotwin.follow_up import CENSORED, FollowUp

COHORT, _ = event_cohort(40, seed=5)
HOW = {"max_step": 0.5, "min_visits": 2, "max_horizon": np.inf}


def batch_of(cohort, **more):
    subjects = np.arange(len(cohort))
    return random_batch(cohort, subjects, np.random.default_rng(1), **{**HOW, **more})


def test_the_rows_ask_at_the_cut_and_at_the_end():
    batch = batch_of(COHORT, events=True)
    assert isinstance(batch.events, Events)
    passed = torch.where(batch.plan.peek == 0, batch.plan.dt, 0.0).cumsum(1)
    before = passed - torch.where(batch.plan.peek == 0, batch.plan.dt, 0.0)
    asked = batch.plan.dt * batch.plan.query_at + before
    own = torch.arange(len(batch.start))
    ends = torch.as_tensor(COHORT.follow_up.time, dtype=torch.float32)[batch.subject]
    cut = ends - batch.horizon[own, batch.events.end]
    torch.testing.assert_close(batch.horizon[own, batch.events.start], torch.zeros(len(own)))
    gap = asked[own, batch.events.end] - asked[own, batch.events.start]
    torch.testing.assert_close(gap, ends - cut, rtol=1e-4, atol=1e-4)
    assert batch.events.event.tolist() == COHORT.follow_up.event[batch.subject.numpy()].tolist()


def test_a_part_of_a_batch_keeps_its_events():
    batch = batch_of(COHORT, events=True)
    chosen = torch.arange(len(batch.start)) % 2 == 0
    half = batch.take(chosen)
    assert half.events.event.tolist() == batch.events.event[chosen].tolist()
    assert batch_of(COHORT).take(chosen[: len(batch_of(COHORT).start)]).events is None


def test_the_last_visit_may_be_the_cut_only_where_follow_up_goes_on():
    last = np.array([COHORT.observations.time[COHORT.observations.subject == one].max() for one in range(40)])
    rng = np.random.default_rng(0)
    cuts = np.stack([random_cuts(COHORT, rng, 2, events=True) for _ in range(40)])
    assert (cuts == last).any() and np.isnan(random_cuts(COHORT, rng, 2) == last).sum() == 0
    plain = np.stack([random_cuts(COHORT, rng, 2) for _ in range(40)])
    assert not (plain == last).any()
    at_last = replace(COHORT, follow_up=FollowUp.of(last, CENSORED))
    cuts = np.stack([random_cuts(at_last, rng, 2, events=True) for _ in range(40)])
    assert not (cuts == last).any()


def test_ends_change_no_past():
    other = replace(COHORT, follow_up=FollowUp.of(COHORT.follow_up.time + 1.0, CENSORED))
    one, two = batch_of(COHORT, events=True), batch_of(other, events=True)
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(one.value.sum((1, 2)), two.value.sum((1, 2)))
    assert not torch.equal(one.events.event, two.events.event)


@pytest.mark.parametrize("events", [False, True])
def test_the_data_module_asks_where_training_says_so(tmp_path, events):
    COHORT.save(tmp_path / "cohort")
    data = CohortData(tmp_path / "cohort", batch_size=8)
    data.events = events
    assert all((batch.events is not None) == events for batch in (*data.train_dataloader(), *data.val_dataloader()))
    assert (len(data.train_part()) > 0) and data.cohort.follow_up is not None
