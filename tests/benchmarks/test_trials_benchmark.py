"""The benchmark of trials: goals read off rows, a part at the smallest size, and the page of what was measured."""

import json

import pytest
from benchmarks import page
from benchmarks.trials import parts, run

TINY = parts.Size(60, 10, (40,), 30)


def found(share, ratio, gap):
    error = {"rejected": share, "trials": 1000}
    twin = {
        "trial": parts.VANCOMYCIN, "analysis": "twin", "ratio": ratio, "theory": 0.3, "bias_in_se": 1.0,
        "coverage": 0.95, "coverage_low": 0.93, "coverage_high": 0.97,
    }  # fmt: skip
    return {
        "type_one_x": [error],
        "power_x": [
            {"analysis": "unadjusted", "size": 200, "power": 0.8 + gap, "theory": 0.8},
            {"analysis": "log-rank", "size": 200, "power": 0.5, "theory": 0.5},
        ],
        "precision_x": [twin],
        "engines_lung": [{"endpoint": "e", "what": "effect", "gap_in_sd": -gap}],
    }


@pytest.mark.parametrize(("numbers", "met"), [((0.05, 0.31, 0.01), True), ((0.2, 0.6, 0.3), False)])
def test_goals_are_read_off_the_rows(numbers, met):
    goals = run.goals_of(found(*numbers))
    told = {goal["name"]: page.met(goal["goal"], goal["direction"], goal["measured"]) for goal in goals[:5]}
    told.pop("power less Schoenfeld's formula, log-rank: greatest gap")
    assert set(told.values()) == {met}, told
    assert goals[-2]["measured"] == abs(numbers[2]) and goals[-1]["measured"] is None and goals[-1]["cause"]


def test_parts_of_the_smallest_size():
    assert {"tmz_vs_pcv", "vancomycin_dose"} <= set(parts.composed())
    rows = parts.type_one(parts.VANCOMYCIN, None, "library", TINY)
    assert [row["analysis"] for row in rows] == ["unadjusted", "baseline", "twin", "baseline and twin"]
    assert len(parts.precision(parts.VANCOMYCIN, "library", TINY)) == 4
    assert set(run.plan(TINY, None)) < set(run.plan(TINY, run.HERE))


def test_the_committed_results_are_those_of_the_page():
    path = run.HERE / "results.json"
    if not path.is_file():
        pytest.skip("not measured yet")
    content = json.loads(path.read_text())
    text = (run.HERE / "README.md").read_text()
    assert all(block in text for block in run.tables(content))
