"""Timeline: events are cut into rows that say the same as the events did."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import TimelineError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.timeline import Timeline, build_timeline
from neurotwin.timeline.single import single_timeline


def build(observations=None, doses=None, queries=None, n=1, start=None, max_step=1.0, **more):
    none = Observations.of([], [], [], [])
    return build_timeline(
        start=np.zeros(n) if start is None else start,
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=2,
        n_treatments=2,
        observations=observations or none,
        doses=doses or Doses.of(),
        queries=queries or Queries.of(),
        max_step=max_step,
        **more,
    )


def exact(timeline: Timeline, queries: Queries, rate=0.3):
    """Amount under dx/dt = -rate x + control, x += jump, solved in closed form along the rows."""
    x = np.zeros((timeline.n_subjects, timeline.control.shape[2]))
    asked = np.full((timeline.n_subjects, timeline.n_rows, x.shape[1]), np.nan)

    def flow(x, control, dt):
        return control / rate + (x - control / rate) * np.exp(-rate * dt[:, None])

    for row in range(timeline.n_rows):
        begun = x + timeline.jump[:, row]
        asked[:, row] = flow(begun, timeline.control[:, row], timeline.dt[:, row] * timeline.query_at[:, row])
        end = flow(begun, timeline.control[:, row], timeline.dt[:, row])
        x = np.where(timeline.peek[:, row, None] > 0, x, end)
    return asked[queries.subject, timeline.query_row]


def direct(doses: Doses, queries: Queries, rate=0.3, n_treatments=2):
    """The same amount by superposition over the doses, no timeline involved."""
    out = np.zeros((len(queries), n_treatments))
    for q in range(len(queries)):
        for d in np.flatnonzero(doses.subject == queries.subject[q]):
            t, begun = queries.time[q], doses.time[d]
            if np.isnan(doses.end[d]):
                if begun < t or (begun == t and queries.post_dose[q]):
                    out[q, doses.treatment[d]] += doses.amount[d] * np.exp(-rate * (t - begun))
            elif begun < t:
                stop = min(t, doses.end[d])
                out[q, doses.treatment[d]] += (
                    doses.amount[d] / rate * (np.exp(-rate * (t - stop)) - np.exp(-rate * (t - begun)))
                )
    return out


def test_no_events_is_one_padding_row():
    timeline = build()
    assert timeline.n_rows == 1
    for name in ("dt", "jump", "control", "mask", "query", "peek"):
        assert not getattr(timeline, name).any()


def test_first_visit_is_a_row_of_length_zero():
    timeline = build(Observations.of([0, 0], [0.0, 2.5], [0, 1], [7.0, 8.0]))
    assert timeline.dt[0, 0] == 0 and timeline.mask[0, 0].tolist() == [1, 0] and timeline.value[0, 0, 0] == 7
    assert timeline.dt.sum() == 2.5 and timeline.n_rows == 4  # 2.5 in steps of at most 1
    assert timeline.mask[0, -1].tolist() == [0, 1]


def test_sample_before_and_after_a_dose_at_one_instant():
    observations = Observations.of([0, 0], [1.0, 1.0], [0, 0], [1.0, 2.0], post_dose=[False, True])
    timeline = build(observations, Doses.of([0], [1.0], treatment=[0], amount=[5.0]))
    assert timeline.dt[0].tolist() == [0, 1, 0]
    assert timeline.jump[0, :, 0].tolist() == [0, 0, 5]
    assert timeline.value[0, :, 0].tolist() == [0, 1, 2]


def test_dose_at_time_zero_acts_before_the_flow():
    timeline = build(Observations.of([0], [1.0], [0], [1.0]), Doses.of([0], [0.0], treatment=[1], amount=[3.0]))
    assert timeline.jump[0, :, 1].tolist() == [0, 3] and timeline.dt[0].tolist() == [0, 1]


def test_last_dose_has_a_row_of_its_own():
    timeline = build(Observations.of([0], [1.0], [0], [1.0]), Doses.of([0], [1.0], treatment=[0], amount=[3.0]))
    assert timeline.dt[0].tolist() == [0, 1, 0] and timeline.jump[0, 2, 0] == 3


def test_simultaneous_and_overlapping_doses_add_up():
    doses = Doses.of([0, 0, 0, 0], [0, 0, 1, 2], [np.nan, np.nan, 4, 6], [0, 0, 1, 1], [2, 3, 0.1, 0.2])
    timeline = build(doses=doses, queries=Queries.of([0], [8.0]), max_step=10)
    assert timeline.jump[0, :, 0].max() == 5
    assert timeline.control[0, :, 1].tolist() == [0, 0, 0.1, pytest.approx(0.3), 0.2, 0]


def test_one_query_more_changes_no_other_row():
    doses = Doses.of([0, 0], [0.5, 2.0], [np.nan, 3.7], [0, 1], [2.0, 1.0])
    few = Queries.of([0] * 3, [0.7, 3.7, 9.3])
    more = Queries.of([0] * 6, [0.7, 3.7, 9.3, 0.6, 3.9, 9.1])
    plain, asked = build(doses=doses, queries=few), build(doses=doses, queries=more)
    for name in ("dt", "control", "jump"):
        kept = getattr(asked, name)[0][asked.peek[0] == 0]
        assert np.array_equal(kept, getattr(plain, name)[0][plain.peek[0] == 0])
    np.testing.assert_array_equal(exact(plain, few), exact(asked, more)[:3])


@pytest.mark.parametrize(
    ("what", "given_"),
    [
        ("bolus before", {"doses": Doses.of([0], [-1.0], treatment=[0], amount=[1.0])}),
        ("ends before", {"doses": Doses.of([0], [2.0], [1.0], [0], [1.0])}),
        ("not finite", {"observations": Observations.of([0], [np.nan], [0], [1.0])}),
        ("before the subject's start", {"queries": Queries.of([0], [-0.1])}),
        ("max_step", {"max_step": 0.0}),
        ("101 steps", {"queries": Queries.of([0], [100.0]), "max_rows": 100}),
    ],
)
def test_bad_events_are_refused(what, given_):
    with pytest.raises(TimelineError, match=what):
        build(**given_)


TIMES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.25, 7.0]) | st.floats(0, 12).map(lambda x: round(x, 3))


@st.composite
def events(draw):
    n = draw(st.integers(1, 4))
    subject = st.integers(0, n - 1)
    doses = []
    for _ in range(draw(st.integers(0, 8))):
        time = draw(TIMES)
        end = draw(st.none() | st.floats(0.01, 5).map(lambda x: round(x, 3)) | st.just(np.inf))
        doses.append(
            (
                draw(subject),
                time,
                np.nan if end is None else time + end,
                draw(st.integers(0, 1)),
                draw(st.floats(0.1, 5)),
            )
        )
    seen = draw(st.lists(st.tuples(subject, TIMES, st.integers(0, 1), st.booleans()), max_size=8))
    asked = draw(st.lists(st.tuples(subject, TIMES, st.booleans()), max_size=10))
    return (
        n,
        Doses.of(*np.array(doses, dtype=float).reshape(-1, 5).T),
        Observations.of(
            *([list(x) for x in zip(*seen, strict=True)][:3] or [[], [], []]), 1.0, post_dose=[x[3] for x in seen]
        ),
        Queries.of(*([list(x) for x in zip(*asked, strict=True)] or [[], [], []])),
        draw(st.sampled_from([0.3, 1.0, 100.0])),
    )


@settings(max_examples=150, deadline=None)
@given(events())
def test_rows_act_out_exactly_what_the_events_say(case):
    n, doses, observations, queries, max_step = case
    timeline = build(observations, doses, queries, n=n, max_step=max_step)
    assert (timeline.dt >= 0).all() and (timeline.dt <= max_step * (1 + 1e-9)).all()
    assert ((timeline.query_at >= 0) & (timeline.query_at <= 1)).all()
    assert timeline.query.sum() == len(queries)
    np.testing.assert_allclose(exact(timeline, queries), direct(doses, queries), rtol=1e-9, atol=1e-9)
    # Every observation sits at the END of a row whose clock is its time.
    clock = np.cumsum(np.where(timeline.peek > 0, 0, timeline.dt), axis=1)
    seen = {
        (int(s), int(v), round(float(t), 6))
        for s, v, t in zip(observations.subject, observations.variable, observations.time, strict=True)
    }
    found = {(int(s), int(v), round(float(clock[s, r]), 6)) for s, r, v in np.argwhere(timeline.mask > 0)}
    assert found == seen


@settings(max_examples=60, deadline=None)
@given(events())
def test_a_subject_alone_has_the_same_rows_as_in_a_batch(case):
    n, doses, observations, queries, max_step = case
    together = build(observations, doses, queries, n=n, max_step=max_step)
    for one in range(n):
        pick = np.array([one])
        alone = build(
            observations.by_subject().of_subjects(pick),
            doses.by_subject().of_subjects(pick),
            queries.by_subject().of_subjects(pick),
            max_step=max_step,
        )
        for name in ("dt", "control", "jump", "value", "mask", "query", "query_at", "peek"):
            mine, theirs = getattr(alone, name)[0], getattr(together, name)[one]
            np.testing.assert_array_equal(mine, theirs[: len(mine)])
            assert not theirs[len(mine) :].any()


@settings(max_examples=150, deadline=None)
@given(events())
def test_one_subject_by_plain_python_has_the_rows_of_the_arrays(case):
    _, doses, observations, queries, max_step = case
    number, pick = np.arange(len(observations)), np.array([0])
    observations = replace(observations, value=0.1 + number, censor=(number % 3 - 1).astype(np.int8))
    tables = [table.by_subject().of_subjects(pick) for table in (observations, doses, queries)]
    none = np.zeros((1, 0))
    alone = single_timeline(np.zeros(1), none, none, (2, 2), *tables, max_step)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurotwin.timeline.build.single_timeline", lambda *_: None)
        expected = build(*tables, max_step=max_step)
    assert alone is not None
    for item in fields(expected):
        np.testing.assert_array_equal(getattr(alone, item.name), getattr(expected, item.name), err_msg=item.name)


def test_many_events_of_one_subject_are_left_to_the_arrays():
    seen = Observations.of(0, np.arange(500.0), 0, 1.0)
    none = np.zeros((1, 0))
    assert single_timeline(np.zeros(1), none, none, (1, 0), seen, Doses.of(), Queries.of(), 1.0) is None
    assert build(seen).n_rows == 500
