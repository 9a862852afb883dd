"""Batches: the same for the same seed, cut between past and future, blind to the future and to held-out subjects."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import toy_cohort

from neurotwin.cohort import Cohort, fold_of
from neurotwin.data import Batch, CohortData, EpisodeBatches, random_batch, random_cuts
from neurotwin.errors import CohortError, ConfigError
from neurotwin.events import Observations
from neurotwin.scaling import Scaling

HOW = {"max_step": 1.0, "min_visits": 2, "max_horizon": np.inf}


def flat(batch):
    parts = [item for item in batch if item is not None]
    return [tensor for item in parts for tensor in (item if isinstance(item, tuple) else (item,))]


def same(one, other):
    return len(one) == len(other) and all(
        isinstance(a, Batch)
        and all(x.shape == y.shape and torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))
        for a, b in zip(one, other, strict=True)
    )


def batches(folder, part="train", epoch=0, **more):
    data = CohortData(folder, batch_size=8, seed=more.pop("seed", 3), **more)
    data.trainer = type("At", (), {"current_epoch": epoch, "global_rank": 0, "world_size": 1})()
    return list(data.train_dataloader() if part == "train" else data.val_dataloader())


def test_the_same_seed_gives_the_same_batches_whatever_the_workers(folder):
    alone, helped = batches(folder, num_workers=0), batches(folder, num_workers=2)
    assert len(alone) > 2 and same(alone, helped)


def test_another_seed_or_epoch_gives_other_batches(folder):
    first = batches(folder)
    assert same(first, batches(folder))
    assert not same(first, batches(folder, epoch=1)) and not same(first, batches(folder, seed=4))


def test_validation_asks_the_same_in_every_epoch(folder):
    assert same(batches(folder, "validation"), batches(folder, "validation", epoch=5))


def test_an_epoch_visits_each_subject_as_often_as_asked(folder, cohort):
    part = cohort.part("train")
    data = EpisodeBatches(part, seed=(0,), batch_size=7, repeats=3, **HOW)
    seen = np.concatenate([data[index].subject for index in range(len(data))])
    assert (np.bincount(seen, minlength=len(part)) == 3).all()


@pytest.mark.parametrize("min_visits", [1, 2, 3])
def test_cuts_leave_enough_visits_before_and_one_after(cohort, min_visits):
    drawn = [random_cuts(cohort, np.random.default_rng(seed), min_visits) for seed in range(20)]
    for cuts in drawn:
        for subject in np.flatnonzero(np.isfinite(cuts)):
            visits = np.unique(cohort.observations.time[cohort.observations.subject == subject])
            assert cuts[subject] in visits
            assert (visits <= cuts[subject]).sum() >= min_visits and (visits > cuts[subject]).any()
    assert len({cuts.tobytes() for cuts in drawn}) > 1


def test_a_subject_with_one_visit_is_left_out():
    cohort = toy_cohort(6)
    seen = cohort.observations
    cohort = replace(cohort, observations=seen.take((seen.subject != 2) | (seen.time == 0)))
    assert np.isnan(random_cuts(cohort, np.random.default_rng(0), 1)[2])
    batch = random_batch(cohort, np.arange(6), np.random.default_rng(0), **HOW)
    assert batch.subject.tolist() == [0, 1, 3, 4, 5]


def test_the_history_holds_nothing_from_after_the_cut(cohort):
    """Everything after the cut is replaced; the history may not change by a bit, and the targets have to."""
    how = {**HOW, "max_step": 100.0}
    subjects = np.arange(len(cohort))
    cuts = random_cuts(cohort, np.random.default_rng(5), HOW["min_visits"])
    seen, given = cohort.observations, cohort.doses
    later = seen.time > cuts[seen.subject]
    after = given.time >= cuts[given.subject]
    running = ~given.is_bolus & (given.end > cuts[given.subject])
    altered = replace(
        cohort,
        observations=replace(
            seen, value=np.where(later, 7.7, seen.value), censor=np.where(later, -1, seen.censor).astype(np.int8)
        ),
        doses=replace(
            given, amount=np.where(after, 99.0, given.amount), end=np.where(running, given.end + 5, given.end)
        ),
    )
    one, other = (random_batch(item, subjects, np.random.default_rng(5), **how) for item in (cohort, altered))
    for before, now in zip(one.history, other.history, strict=True):
        assert torch.equal(before, now)
    assert torch.equal(one.start, other.start) and torch.equal(one.static, other.static)
    assert not torch.equal(one.value, other.value) and not torch.equal(one.plan.control, other.plan.control)
    assert not torch.equal(one.censor, other.censor)


def test_targets_stand_at_the_queries_of_the_plan(cohort):
    batch = random_batch(cohort, np.arange(20), np.random.default_rng(1), **HOW)
    walked = batch.plan.dt.where(batch.plan.peek == 0, 0)
    clock = walked.cumsum(1) - walked + batch.plan.query_at * batch.plan.dt
    assert ((batch.mask.amax(-1) > 0) == (batch.horizon > 0)).all()
    for subject in range(20):
        rows = batch.horizon[subject] > 0
        assert (torch.diff(batch.horizon[subject][rows]) > 0).all()
        shift = (clock[subject] - batch.horizon[subject])[rows]
        torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-5)


def test_a_horizon_limits_what_is_asked(cohort):
    batch = random_batch(cohort, np.arange(20), np.random.default_rng(1), **{**HOW, "max_horizon": 2.0})
    assert 0 < batch.horizon.max() <= 2.0


def test_forgetting_hides_observations_of_the_past_only(cohort):
    how = {**HOW, "max_step": 100.0}
    kept, hidden = (
        random_batch(cohort, np.arange(40), np.random.default_rng(2), forget=share, **how) for share in (0.0, 0.5)
    )
    assert torch.equal(kept.value, hidden.value) and torch.equal(kept.mask, hidden.mask)
    share = hidden.history.mask.sum() / kept.history.mask.sum()
    assert 0.35 < share < 0.65


def poisoned(cohort):
    """Validation and test subjects get values that no honest scale could miss."""
    held_out = ~np.isin(cohort.ids, cohort.part("train").ids)
    seen, given = cohort.observations, cohort.doses
    statics = cohort.statics.copy()
    statics[held_out, 0] = 1e6
    return replace(
        cohort,
        statics=statics,
        observations=replace(seen, value=np.where(held_out[seen.subject], 9e3, seen.value)),
        doses=replace(given, amount=np.where(held_out[given.subject], 1e5, given.amount)),
    )


def test_held_out_subjects_do_not_touch_the_scaling(cohort, tmp_path):
    poisoned(cohort).save(tmp_path / "cohort")
    clean = Scaling.fit(cohort.part("train"))
    assert CohortData(tmp_path / "cohort").scaling() == clean
    assert Scaling.fit(poisoned(cohort)) != clean


def test_held_out_subjects_do_not_touch_the_training_batches(cohort, folder, tmp_path):
    poisoned(cohort).save(tmp_path / "cohort")
    assert same(batches(tmp_path / "cohort"), batches(folder))


def test_folds_stay_when_subjects_are_added():
    few, many = toy_cohort(30), toy_cohort(90)
    assert np.array_equal(few.fold, many.fold[:30])
    assert all(fold_of("toy", one) == fold for one, fold in zip(many.ids, many.fold, strict=True))
    assert not np.array_equal(few.fold, toy_cohort(30, key="other").fold)


@pytest.mark.parametrize("rotation", range(5))
def test_parts_share_no_subject_and_leave_none_out(cohort, rotation):
    parts = [cohort.part(name, rotation).ids for name in ("train", "validation", "test")]
    assert sorted(np.concatenate(parts)) == sorted(cohort.ids)


def test_limit_takes_the_first_training_subjects(folder, cohort):
    assert CohortData(folder, limit=5).train_part().ids.tolist() == cohort.part("train").ids[:5].tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"batch_size": True},
        {"min_visits": 0},
        {"max_horizon": -1.0},
        {"max_horizon": 0.0},
        {"max_horizon": np.nan},
        {"repeats": 0},
        {"forget": 1.0},
        {"forget": -0.1},
        {"forget": np.nan},
        {"num_workers": -1},
        {"limit": 0},
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        CohortData("nowhere", **wrong)


def test_a_part_in_which_nobody_can_be_cut_is_refused(tmp_path):
    cohort = toy_cohort(30)
    single = replace(cohort, observations=cohort.observations.take(cohort.observations.time == 0))
    single.save(tmp_path / "cohort")
    with pytest.raises(CohortError, match="no subject has enough visits"):
        CohortData(tmp_path / "cohort").train_part()


def test_an_empty_part_is_refused(cohort):
    with pytest.raises(CohortError, match="the test part is empty"):
        cohort.take(cohort.fold < 3).part("test")


def test_observations_before_time_zero_keep_their_clock():
    cohort = toy_cohort(3, treatments=False)
    seen = Observations.concatenate(cohort.observations, Observations.of([0, 1, 2], -4.0, 0, 11.0))
    shifted = Cohort.build(cohort.schema, cohort.ids.tolist(), cohort.statics, seen, cohort.doses, split_key="toy")
    batch = random_batch(shifted, np.arange(3), np.random.default_rng(0), **HOW)
    assert batch.start.tolist() == [-4.0] * 3 and batch.history.mask[:, 0, 0].tolist() == [1.0] * 3
