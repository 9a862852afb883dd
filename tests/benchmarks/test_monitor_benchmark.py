"""The monitoring benchmark: its changes do what they say, and its goals are read off its rows."""

import json

import numpy as np
import pytest
from benchmarks import page
from benchmarks.monitor import changes, run
from benchmarks.monitor.streams import Pool, alarms, delays
from toy_bundles import make_cohort

from neurotwin.monitoring.features import Table, input_features


def column(cohort, name):
    table = input_features(cohort)
    return table.values[:, [feature.name for feature in table.features].index(name)]


def test_changes_are_as_large_as_they_say():
    cohort = make_cohort(200)
    level = column(cohort, "volume.level")
    moved = column(changes.shifted("volume", 1.0)(cohort), "volume.level")
    assert moved - level == pytest.approx(level.std())
    assert column(changes.spread("volume", 1.5)(cohort), "volume.level").std() == pytest.approx(1.5 * level.std())
    unit = column(changes.in_another_unit("volume", 1000.0, 1 / 3)(cohort), "volume.level") - level
    assert set(np.round(unit, 6)) == {0.0, round(np.log(1000), 6)} and 40 < (unit > 1).sum() < 95
    assert column(changes.missing("volume", 0.3)(cohort), "volume.measured").mean() == pytest.approx(0.7, abs=0.05)
    assert column(changes.dosed(2.0)(cohort), "chemo.amount") == pytest.approx(
        2 * column(cohort, "chemo.amount"), nan_ok=True
    )
    noise = changes.noisy("volume", 0.3)(cohort).observations.value / cohort.observations.value
    assert np.log(noise[cohort.observations.variable == 0]).std() == pytest.approx(0.3, abs=0.03)


def test_a_shift_is_found_after_it_began():
    cohort = make_cohort(1300, seed=4)
    tables = [input_features(one) for one in (cohort, changes.shifted("volume", 1.0)(cohort))]
    before, after = (Pool(Table(one.features, one.values), len(one.features)) for one in tables)
    found = delays(before, after, streams=2, length=300, begin=100)
    assert [one[0] is not None and one[0] <= 150 and one[1] == "volume.level" for one in found] == [True, True]
    assert not any(one[2] for one in found)
    assert alarms(before, after, runs=2, n=100) == (2, 2) and alarms(before, before, runs=2, n=100)[0] == 0


def row(within, p95):
    return {"change": "x + 1 SD", "within": within, "p95": p95}


@pytest.mark.parametrize(("within", "p95", "rate", "met"), [(1.0, 75.0, 0.001, True), (0.9, None, 0.02, False)])
def test_goals_are_read_off_the_rows(within, p95, rate, met):
    goals = run.goals_of([{"rate": rate, "run_rate": rate}], [row(1.0, 25.0), row(within, p95)])
    assert [page.met(one["goal"], one["direction"], one["measured"]) for one in goals] == [met] * 4
    assert run.clopper_pearson(0, 1000) == pytest.approx(0.00368, abs=1e-4) and run.clopper_pearson(3, 3) == 1.0
    assert run.quantile(np.array([25.0, np.inf]), 0.95) is None


def test_the_committed_results_are_those_of_the_page():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content))
    assert content["command"] == run.COMMAND and all(goal["measured"] is not None for goal in content["goals"])
