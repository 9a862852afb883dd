"""The distillation benchmark: its plans, its turns, and goals read off its rows."""

import json

import pytest
from benchmarks import page
from benchmarks.distill import latency, run


def test_plans_are_what_their_names_say():
    assert len(latency.doses_of(latency.FEW, 60.0)) == 4
    daily = latency.doses_of(latency.DAILY, 60.0)
    assert [time for time, *_ in daily] == [float(day) for day in range(60)]


def test_routes_are_timed_in_turns(monkeypatch):
    monkeypatch.setattr(latency, "SPAN", 0.002)
    calls = []
    found = {
        (f"{latency.FLOOR}, 256 bits", "p"): lambda: calls.append("floor"),
        ("mine", "p"): lambda: sum(range(9999)),
    }
    floor, mine = latency.measure(found, 2)
    assert calls and floor["times_floor_p50"] == 1.0 and mine["times_floor"] > 2
    assert mine["cpu_us"] > 0 and mine["p50_us"] > 0


def told(share):
    row = {name: [0.1, 0.2] for name in ("median", "p95", "worst")} | {"share": [0.01, share]}
    errors = {kind: {"size": row} for kind in ("own_plans", "all_plans")}
    return {"errors": errors, "share": {"size": [0.01, share]}, "allowed_share": 0.2, "horizons": [5.0, 60.0]}


@pytest.mark.parametrize(("share", "times", "met"), [(0.05, 1.5, True), (0.5, 2.5, False)])
def test_goals_are_read_off_the_rows(share, times, met):
    rows = [
        {"route": route, "plan": plan, "times_floor_p50": times}
        for route in ("distilled, onnxruntime", "distilled, weights not trained, onnxruntime")
        for plan in (latency.FEW, latency.DAILY, latency.HELD)
    ]
    accuracy = [
        {"forecast": name, "scale": "log", "mae": 1.0 if name == "solved" else times}
        for name in ("solved", "distilled")
    ]
    goals = run.goals_of(rows, told(share), accuracy)
    assert len(goals) == 5
    assert [page.met(one["goal"], one["direction"], one["measured"]) for one in goals[:4]] == [met] * 4
    assert [row["horizon"] for row in run.errors_of(told(share))] == 2 * ["0 to 5", "5 to 60"]


def test_the_committed_results_are_those_of_the_page():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content))
    assert content["command"] == run.COMMAND and all(goal["measured"] is not None for goal in content["goals"])
