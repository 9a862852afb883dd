"""The alert benchmark: its faults begin when they say, and what is told is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.alerts import run
from benchmarks.alerts.streams import FAULTS, Stream, deviations, usual_gaps

from neurotwin.runtime import Predictor, Twin

LUNG = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"


@pytest.fixture(scope="module")
def lung():
    return Predictor.load(LUNG)


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(0)
    times = tuple(3.0 * number for number in range(14))
    seen = [
        {
            "t": t,
            "variable": "tumour_volume",
            "value": float(30 * np.exp(0.005 * t + rng.normal(0, 0.05))),
            "unit": "cm3",
        }
        for t in times
    ]
    return Stream({"id": "p", "time_unit": "d", "now": 39.0, "observations": seen, "treatments": []}, times, 21.0)


def test_a_fault_begins_at_its_onset(lung, stream):
    channel, before = lung.signature.variables[0], json.dumps(stream.patient)
    usual = deviations(Twin.of(lung, stream.patient).past, 0)
    assert 0.03 < usual < 0.5
    values = {}
    for name, change in FAULTS.items():
        changed = change(stream, channel, usual)["observations"]
        assert [one for one in changed if one["t"] < 21] == [
            one for one in stream.patient["observations"] if one["t"] < 21
        ]
        values[name] = [one["value"] for one in changed if one["t"] >= 21]
    assert json.dumps(stream.patient) == before and values["dropout"] == []
    assert len(set(values["stuck at one value"])) == 1 and len(values["drift of 1 SD a visit"]) == 7
    assert values["offset of 1 SD"][0] == pytest.approx(values["drift of 1 SD a visit"][0])


def test_alarms_are_counted(lung, stream):
    assert usual_gaps([stream], ["tumour_volume"]) == {"tumour_volume": 3.0}
    policy = {"time_unit": "d", "stale": [{"channel": "tumour_volume", "longest": 3.5}]}
    rows = run.burden_rows("lung", lung, [stream], policy)
    assert [row["policy"] for row in rows] == list(run.POLICIES) and rows[0]["days"] == 39
    assert rows[0]["checked"] == 14 - lung.signature.min_visits
    assert sum(rows[1][kind] for kind in run.KINDS) <= sum(rows[0][kind] for kind in run.KINDS)
    found = {row["fault"]: row for row in run.fault_rows("lung", lung, [stream], policy | run.POLICIES[run.CHOSEN])}
    assert found["none"]["told"] == 0 and found["dropout"]["by"] == "stale_input"
    assert found["wrong unit, x18"]["told"] == 1 and found["wrong unit, x18"]["visits"] == 1
    goals = run.goals_of(rows, list(found.values()))
    assert len(goals) == 3 + len(FAULTS) and "SD" in goals[-1]["cause"] + run.cause_of(found["stuck at one value"])


def test_the_page_is_that_of_the_results():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content)) and content["command"] == run.COMMAND
