"""Lanes: another order of work, the same answers."""

import numpy as np
import pytest

from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime import Twin, lanes
from neurotwin.runtime.lanes import spread
from neurotwin.timeline import build_timeline


def timeline(doses, queries, n=1, max_step=10.0):
    return build_timeline(
        start=np.zeros(n),
        static=np.zeros((n, 1)),
        static_mask=np.ones((n, 1)),
        n_variables=1,
        n_treatments=2,
        doses=doses,
        observations=Observations.of([], [], [], []),
        queries=queries,
        max_step=max_step,
    )


def exact(rows, member, rate=0.1):
    """Amounts under dx/dt = -rate x + control, x += jump, acted out along the rows."""
    x = np.zeros((rows.n_subjects, 2))
    asked = np.zeros((*rows.dt.shape, 2))

    def flow(x, control, dt):
        return control / rate + (x - control / rate) * np.exp(-rate * dt[:, None])

    for row in range(rows.n_rows):
        begun = x + rows.jump[:, row]
        asked[:, row] = flow(begun, rows.control[:, row], rows.dt[:, row] * rows.query_at[:, row])
        end = flow(begun, rows.control[:, row], rows.dt[:, row])
        x = np.where(rows.peek[:, row, None] > 0, x, end)
    return asked[member, rows.query_row]


@pytest.mark.parametrize("cost", [0, 3, 30, 1000])
@pytest.mark.parametrize("seed", range(8))
def test_every_query_is_answered_alike(monkeypatch, cost, seed):
    monkeypatch.setattr(lanes, "ROW_COST", cost)
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    begin = rng.choice([0.0, 5.0, 17.0, 40.0], 6)
    end = np.where(rng.random(6) < 0.5, np.nan, begin + rng.uniform(1, 30, 6))
    doses = Doses.of(rng.integers(0, n, 6), begin, end, rng.integers(0, 2, 6), rng.uniform(1, 2, 6))
    count = rng.integers(1, 40, n)
    queries = Queries.of(np.repeat(np.arange(n), count), rng.choice(np.arange(0, 60, 0.5), count.sum()))
    plain = timeline(doses, queries, n)
    wide, n_lanes, member = spread(plain, queries.subject)
    assert wide.n_subjects == n * n_lanes and (member // n_lanes == queries.subject).all()
    np.testing.assert_allclose(exact(wide, member), exact(plain, queries.subject), rtol=1e-12, atol=1e-12)


def test_many_queries_in_one_step_are_few_rows():
    queries = Queries.of(np.zeros(90), np.arange(1, 91))
    wide, n_lanes, _ = spread(timeline(Doses.of(), queries, max_step=100), queries.subject)
    assert wide.n_rows * n_lanes <= 2 * 90 and wide.n_rows <= 9


def test_what_comes_after_the_last_query_is_not_walked():
    doses = Doses.of([0], [500.0], treatment=[0], amount=[1.0])
    queries = Queries.of([0], [3.0])
    assert spread(timeline(doses, queries), queries.subject)[0].n_rows == 1


def test_a_twin_does_not_notice(predictor, patient, plan, monkeypatch):
    twin, found = Twin.of(predictor, patient), []
    for cost in (0, 8, 10**6):
        monkeypatch.setattr(lanes, "ROW_COST", cost)
        found.append([row["median"] for row in twin.forecast(plan)["prediction"]])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-6)
