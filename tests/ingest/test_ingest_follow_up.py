"""Ends of follow-up: read with their status, settled like any other event, and nothing kept that comes after them."""

import json

import numpy as np
import pytest
from ingest_cases import VISITS_HEADER

from neurotwin.errors import IngestError
from neurotwin.follow_up import CENSORED
from neurotwin.ingest.mapping_file import parse_mapping

HEADER = VISITS_HEADER.strip() + ",until_day,why\n"


def followed(visits, **more):
    visits["outcomes"] = [{"name": "transplant"}, {"name": "death"}]
    visits["tables"][0]["follow_up"] = {
        "column": "until_day",
        "unit": "d",
        "status": "why",
        "outcomes": {"T": "transplant", "D": "death"},
        "censored": ["alive", "lost"],
        **more,
    }
    return visits


def row(subject, day, glucose, until="", why="", shot=""):
    return f"{subject},{day},{glucose},,,,,{shot},,,{until},{why}\n"


def ends(cohort):
    pairs = zip(cohort.follow_up.time.tolist(), cohort.follow_up.event.tolist(), strict=True)
    return dict(zip(cohort.ids.tolist(), pairs, strict=True))


def test_each_status_ends_a_follow_up(ingest, visits):
    rows = row("a", 0, 90, 5, "T") + row("b", 0, 90, 6, "D") + row("c", 0, 90, 7, "lost") + row("d", 0, 90)
    found = ends(ingest(HEADER + rows, followed(visits)))
    assert found["a"] == (5.0, 0) and found["b"] == (6.0, 1) and found["c"] == (7.0, CENSORED)
    assert np.isnan(found["d"][0]) and found["d"][1] == CENSORED
    content = json.loads((ingest.output / "ingest_report.json").read_text())
    assert content["survey"]["follow_up"] == {"censored": None, "transplant": None, "death": None, "unknown": None}
    assert "outcomes" in json.loads((ingest.output / "cohort.json").read_text())["schema"]


def test_what_comes_after_the_end_is_rejected_but_for_the_margin(ingest, visits):
    rows = row("a", 0, 90, 5, "D") + row("a", 5.5, 91, 5, "D") + row("a", 7, 92, 5, "D", shot=0.1) + row("b", 9, 93)
    cohort = ingest(HEADER + rows, followed(visits))
    assert cohort.observations.value.tolist() == [90, 91, 93]
    assert dict(ingest.items["measurements"].rejected) == {"after_follow_up": 1}
    assert dict(ingest.items["treatments"].rejected) == {"after_follow_up": 1}
    assert ends(cohort)["a"] == (5.5, 1)  # moved to the last measurement that the margin let through
    totals = ingest.report.totals
    assert (totals.read, totals.accepted, dict(totals.rejected)) == (4, 3, {"after_follow_up": 1})
    strict = ingest(HEADER + rows, followed(visits, margin=0))
    assert strict.observations.value.tolist() == [90, 93] and ends(strict)["a"] == (5.0, 1)


def test_rows_that_contradict_each_other_leave_the_end_unknown(ingest, visits):
    rows = row("a", 0, 90, 5, "D") + row("a", 1, 91, 5, "T") + row("b", 0, 90, 5, "D") + row("b", 1, 90, 6, "D")
    rows += row("c", 0, 90, 5, "D") + row("c", "", "", 5, "D") + row("d", 0, 90) + row("d", "", "", 4, "T")
    cohort = ingest(HEADER + rows, followed(visits))
    found = ends(cohort)
    assert np.isnan(found["a"][0]) and np.isnan(found["b"][0]) and found["c"] == (5.0, 1) and found["d"] == (4.0, 0)
    totals = ingest.report.totals
    assert (totals.accepted, totals.merged) == (7, 1)


@pytest.mark.parametrize(
    ("until", "why", "reason"),
    [
        ("5", "gone", "level_unknown"),
        ("5", "", "value_missing"),
        ("", "D", "time_missing"),
        ("x", "D", "time_unreadable"),
    ],
)
def test_a_row_that_tells_it_badly_is_rejected(ingest, visits, until, why, reason):
    cohort = ingest(HEADER + row("a", 0, 90) + row("a", "", "", until, why), followed(visits))
    assert np.isnan(cohort.follow_up.time[0]) and dict(ingest.report.totals.rejected) == {reason: 1}


def test_an_end_before_the_index_event_is_rejected(ingest, visits):
    rows = row("a", 3, 90) + row("a", "", "", 2, "D") + row("b", 3, 90) + row("b", "", "", 8, "D")
    visits["index"]["at"] = "first"
    found = ends(ingest(HEADER + rows, followed(visits)))
    assert np.isnan(found["a"][0]) and found["b"] == (5.0, 1)


def test_the_order_of_rows_changes_nothing(ingest, visits):
    rows = [row("a", 0, 90, 5, "D"), row("a", 1, 91), row("b", 0, 90), row("b", "", "", 8, "alive")]
    ingest(HEADER + "".join(rows), followed(visits))
    digest = ingest.report.sha256
    ingest(HEADER + "".join(reversed(rows)), followed(visits))
    assert ingest.report.sha256 == digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcomes": {"T": "transplant", "D": "deth"}}, "outcome 'deth' is not in the schema"),
        ({"outcomes": {"D": "death"}}, "outcome transplant comes from no table"),
        ({"censored": ["D"]}, "the status 'D' is an outcome and censored"),
        ({"outcomes": {}}, "at least 1"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(visits, change, message):
    with pytest.raises(IngestError, match=message):
        parse_mapping(followed(visits, **change))


def test_an_outcome_needs_a_name_of_its_own(visits):
    visits = followed(visits)
    visits["outcomes"][1]["name"] = "glucose"
    visits["tables"][0]["follow_up"]["outcomes"]["D"] = "glucose"
    with pytest.raises(IngestError, match="names must differ, repeated: glucose"):
        parse_mapping(visits)
