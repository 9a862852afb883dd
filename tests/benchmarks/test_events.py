"""The benchmark of event times: who is trained on, what is asked, and tables that are what results.json says."""

import json

import numpy as np
import pytest
from benchmarks.events.event_times import dropout, patients, results

from neurotwin.cohort import Cohort
from neurotwin.follow_up import CENSORED


@pytest.fixture(scope="module")
def lines():
    return dropout.lines(120, 1.5, 0)


def test_a_member_never_sees_its_test_fold(lines, tmp_path, monkeypatch):
    cohort, _, _ = lines
    asked = []

    def train(arguments):
        asked.append(dict(one.lstrip("+").split("=", 1) for one in arguments))
        (tmp_path / "neural_ode-1-2").mkdir()
        return 0

    monkeypatch.setattr(patients, "train", train)
    patients.member(cohort, 1, 2, "neural_ode", tmp_path, ())
    told = Cohort.load(asked[0]["data.cohort"])
    tests, stops = (set(told.part(part).ids.tolist()) for part in ("test", "validation"))
    assert tests == set(cohort.ids[cohort.fold == 1].tolist()) and stops == set(cohort.ids[cohort.fold == 2].tolist())
    assert not set(told.part("train").ids.tolist()) & (tests | stops)


def test_the_question_holds_nothing_from_after_the_cut(lines):
    cohort, _, _ = lines
    kept = np.flatnonzero(cohort.follow_up.time > dropout.CUT)
    asked = dropout.ask(cohort, kept)
    assert asked.observations.time.max() <= dropout.CUT and len(asked) == len(kept)
    assert asked.queries.time.min() > dropout.CUT


def test_those_who_are_worse_leave(lines):
    cohort, level, slope = lines
    left = cohort.follow_up.event != CENSORED
    assert (level + 3 * slope)[left].mean() > (level + 3 * slope)[~left].mean() + 0.3
    control, level, slope = dropout.lines(400, 0.0, 0)
    left = control.follow_up.event != CENSORED
    assert abs((level + 3 * slope)[left].mean() - (level + 3 * slope)[~left].mean()) < 0.6


def test_rows_take_the_place_of_earlier_ones(tmp_path):
    path = tmp_path / "results.json"
    row = {"part": "dropout", "dropout": "x", "model": "m", "ahead": 1.0, "bias": 0.1}
    results.merge([row, {**row, "part": "other"}], path)
    found = results.merge([{**row, "bias": 0.2}], path)
    assert [one["bias"] for one in found["rows"]] == [0.1, 0.2]
    assert all(one["measured"] is None and one["cause"] == "not run" for one in found["goals"])


def test_the_page_is_what_the_results_say(monkeypatch, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(results.PAGE.read_text())
    monkeypatch.setattr(results, "PAGE", page)
    results.write_page()
    assert page.read_text() == results.PAGE.read_text() == (results.HERE / "README.md").read_text()
    rows = json.loads(results.RESULTS.read_text())["rows"]
    assert {row["part"] for row in rows} <= {"pbc", "dropout"} and rows
