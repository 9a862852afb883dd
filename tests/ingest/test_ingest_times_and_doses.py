"""Zones, dates that come too late, life spans, periods of doses, and marks of samples."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from ingest_cases import LONG_HEADER, VISITS_HEADER

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping_file import parse_mapping

DAY = {"format": "%Y-%m-%d"}


def dated(long, column="day", **time):
    long["index"]["at"] = "first"
    long["tables"][0]["time"] = {"column": column, **time}
    return long


def reject(ingest):
    return dict(ingest.report.totals.rejected)


@pytest.mark.parametrize(
    ("zones", "times"), [("utc", [0.0, 0.25, 1.0]), ("wall", [0.0, 0.0, 1.0])], ids=["utc", "wall"]
)
def test_a_policy_lets_zoned_and_naive_times_mix(ingest, long, zones, times):
    dated(long, format=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"], zones=zones)
    text = "a,2024-01-01T00:00:00Z,GLU,90,mg/dL\na,2024-01-01T00:00:00-0600,CREA,1,mg/dL\na,2024-01-02,GLU,91,mg/dL\n"
    assert ingest(LONG_HEADER + text, long).observations.time.tolist() == times
    ingest(LONG_HEADER + text + "a,2024-01-01T08:00:00,GLU,91,mg/dL\n", long)
    assert ingest.report.totals.accepted == 4


def test_without_a_policy_the_odd_ones_are_rejected(ingest, long):
    dated(long, format="%Y-%m-%dT%H:%M")
    text = "a,2024-01-01T00:00,GLU,90,mg/dL\na,2024-01-01T00:00Z,GLU,90,mg/dL\na,2024-01,GLU,91,mg/dL\n"
    ingest(LONG_HEADER + text, long)
    assert reject(ingest) == {"time_zone_mixed": 1, "time_unreadable": 1}


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ({"format": ["%Y-%m-%dT%H:%M%z", "%Y-%m-%d"]}, "zones: utc or wall"),
        ({"unit": "d", "zones": "utc"}, "zones are for dates"),
        ({"format": "%Y-%m-%d", "zones": "local"}, "'utc' or 'wall'"),
    ],
)
def test_zones_are_checked(long, time, message):
    with pytest.raises(IngestError, match=message):
        parse_mapping(dated(long, **time))


def test_what_is_dated_later_than_tomorrow_is_rejected(ingest, long):
    dated(long, **DAY)
    now = datetime.now(UTC)
    days = [(now + timedelta(days=gap)).strftime("%Y-%m-%d") for gap in (-1, 0, 3, 400)]
    text = LONG_HEADER + "".join(f"a,{day},GLU,90,mg/dL\n" for day in days)
    assert ingest(text, long).observations.time.tolist() == [0, 1]
    assert reject(ingest) == {"time_in_future": 2}
    assert len(ingest(text, long | {"shifted": True}).observations) == 4
    assert len(ingest(text, long | {"not_after": days[2]}).observations) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"not_after": "2024-13-01"}, "not a date"),
        ({"not_after": "2024-01-01", "shifted": True}, "take no not_after"),
    ],
)
def test_not_after_is_checked(long, change, message):
    with pytest.raises(IngestError, match=message):
        parse_mapping(dated(long, **DAY) | change)


def test_not_after_is_for_dates(long):
    with pytest.raises(IngestError, match="times are numbers here"):
        parse_mapping(long | {"shifted": True})


def living(visits, **death):
    table = visits["tables"][0]
    table["birth"] = {"column": "born", "unit": "d"}
    table["death"] = {"column": "died", "unit": "d", **death}
    return visits


LIVES = VISITS_HEADER.strip() + ",born,died\n"


def test_records_before_birth_and_after_death_are_rejected(ingest, visits):
    rows = "p,0,90,,,,,,,,0.5,\np,1,91,,,,,,,,,3\np,3.9,92,,,,,,,,,\np,4.1,93,,,,,0.1,,,,\nq,9,94,,,,,,,,,\n"
    cohort = ingest(LIVES + rows, living(visits) | {"before_index": "keep"})
    assert cohort.observations.value.tolist() == [91, 92, 94] and not len(cohort.doses)
    assert reject(ingest) == {"before_birth": 1, "after_death": 1}
    assert dict(ingest.items["treatments"].rejected) == {"after_death": 1}
    assert ingest(LIVES + rows, living(visits, margin=0)).observations.value.tolist() == [91, 94]


def test_rows_that_tell_a_death_only_are_accepted_once(ingest, visits):
    ingest(LIVES + "p,0,90,,,,,,,,,\np,,,,,,,,,,,3\np,,,,,,,,,,,3\np,,,,,,,,,,,soon\np,,,,,,,,,,,\n", living(visits))
    totals = ingest.report.totals
    assert (totals.accepted, totals.merged, totals.out_of_scope) == (2, 1, 1) and reject(ingest) == {
        "time_unreadable": 1
    }


def test_of_two_deaths_the_first_counts(ingest, visits):
    cohort = ingest(LIVES + "p,5,90,,,,,,,,,9\np,1,91,,,,,,,,,2\n", living(visits))
    assert cohort.observations.value.tolist() == [91]


def test_the_first_measurement_of_a_life_is_the_index_event(ingest, visits):
    visits["index"]["at"] = "first"
    cohort = ingest(LIVES + "p,1,90,,,,,,,,5,\np,6,91,,,,,,,,,\np,7,92,,,,,,,,,\n", living(visits))
    assert cohort.observations.time.tolist() == [0, 1]


def drug(visits, **changes):
    item = visits["tables"][0]["treatments"][0]
    for name, value in changes.items():
        item[name] = value
        if value is None:
            del item[name]
    return visits


def doses(cohort):
    given = cohort.doses
    return [tuple(one) for one in zip(given.time.tolist(), given.end.tolist(), given.amount.tolist(), strict=True)]


def test_an_amount_over_a_period_is_a_rate(ingest, visits):
    drug(visits, unit="g", **{"as": "amount_over_period"})
    cohort = ingest(VISITS_HEADER + "p,0,90,70,1,2,,,,\np,4,90,70,0,,,,,\n", visits)
    assert doses(cohort) == [(0, 2, pytest.approx(500))]  # 1 g over 2 d, in mg/d
    visits["treatments"][0]["plausible"] = [0, 499]
    ingest(VISITS_HEADER + "p,0,90,70,1,2,,,,\np,4,90,70,1,,,,,\n", visits)
    assert dict(ingest.items["treatments"].rejected) == {"implausible": 1, "stop_missing": 1}


def test_an_amount_over_dated_periods(ingest, visits):
    visits["index"]["at"] = "first"
    visits["tables"][0]["time"] = {"column": "day"} | DAY
    drug(visits, unit="mg", stop={"column": "until"} | DAY, **{"as": "amount_over_period"})
    cohort = ingest(VISITS_HEADER + "p,2024-01-01,90,70,10,2024-01-05,,,,\n", visits)
    assert doses(cohort) == [(0, 4, pytest.approx(2.5))]


@pytest.mark.parametrize(
    ("until", "ends"),
    [
        ("12", 0.5),
        ("", "stop_missing"),
        ("0", "stop_not_after_start"),
        ("<5", "value_not_a_number"),
        ("x", "value_not_a_number"),
        ("1e300", "implausible"),
        ("-1e307", "stop_not_after_start"),
    ],
)
def test_durations(ingest, visits, until, ends):
    drug(visits, unit="mg/d", stop=None, duration={"column": "until", "unit": "h"})
    cohort = ingest(VISITS_HEADER + f"p,0,90,70,5,{until},,,,\n", visits)
    if isinstance(ends, str):
        assert dict(ingest.items["treatments"].rejected) == {ends: 1}
    else:
        assert doses(cohort) == [(0, ends, 5)]


def test_durations_with_their_own_unit_and_amounts(ingest, visits):
    drug(
        visits,
        unit="mg",
        stop=None,
        duration={"column": "until", "unit_column": "note"},
        **{"as": "amount_over_period"},
    )
    header = VISITS_HEADER.strip() + ",note\n"
    cohort = ingest(header + "p,0,90,,6,30,,,,,min\np,1,90,,6,1,,,,,d\np,2,90,,6,1,,,,,kg\n", visits)
    assert doses(cohort) == [(0, pytest.approx(1 / 48), pytest.approx(288)), (1, 2, pytest.approx(6))]
    assert dict(ingest.items["treatments"].rejected) == {"unit_incompatible": 1}


@pytest.mark.parametrize("stop", ["next", {"column": "until", "unit": "d", "empty": "next"}])
def test_periods_that_end_with_the_next(ingest, visits, stop):
    drug(visits, unit="mg/d", stop=stop)
    rows = ["p,4,90,,7,,,,,\n", "p,0,90,,5,,,,,\n", "p,2,90,,0,,,,,\n", "q,1,90,,3,,,,,\n", "p,4,90,,7,,,,,\n"]
    wanted = [(0, 2, 5), (4, np.inf, 7), (1, np.inf, 3)]
    assert doses(ingest(VISITS_HEADER + "".join(rows), visits)) == wanted
    assert doses(ingest(VISITS_HEADER + "".join(reversed(rows)), visits)) == wanted


def test_overlapping_periods_are_both_kept(ingest, visits):
    cohort = ingest(VISITS_HEADER + "p,0,90,70,5,3,,,,\np,1,90,70,5,2,,,,\n", visits)
    assert [one[:2] for one in doses(cohort)] == [(0, 3), (1, 2)]


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (0, {"duration": {"column": "d", "unit": "h"}}, "a stop or a duration, not both"),
        (0, {"stop": "never", "as": "amount_over_period"}, "an amount over a period, so it needs"),
        (0, {"stop": "next", "as": "amount_over_period"}, "an amount over a period, so it needs"),
        (0, {"start": "index", "unit": "mg", "as": "amount_over_period"}, "takes a rate and a stop"),
        (0, {"stop": None, "duration": {"column": "d"}}, "a duration needs a unit"),
        (0, {"as": "dose"}, "'rate' or 'amount_over_period'"),
        (0, {"given": "rate"}, "unknown key 'given'"),
        (1, {"start": "row", "stop": {"column": "d", "unit": "d"}, "as": "amount_over_period"}, "only an infusion"),
        (2, {"duration": {"column": "d", "unit": "h"}}, "shot has the kind bolus, so stop must be left out"),
    ],
)
def test_faults_of_doses(visits, number, changes, message):
    item = visits["tables"][0]["treatments"][number]
    for name, value in changes.items():
        item[name] = value
    if changes.get("stop", 0) is None:
        del item["stop"]
    with pytest.raises(IngestError, match=message):
        parse_mapping(visits)


@pytest.mark.parametrize("unit", ["mg/d", "kg2"])
def test_the_unit_of_an_amount_is_no_rate(visits, unit):
    from neurotwin.errors import UnitError

    drug(visits, unit=unit, **{"as": "amount_over_period"})
    with pytest.raises(UnitError, match="drug"):
        parse_mapping(visits)


def test_marks_tell_what_was_sampled_after_the_dose(ingest, long):
    long["tables"][0]["post_dose"] = {"when": ["post", "peak"]}
    header = LONG_HEADER.strip() + ",when\n"
    rows = "a,0,GLU,90,mg/dL,pre\na,0,GLU,99,mg/dL,post\na,1,GLU,91,mg/dL,peak\na,1,GLU,92,mg/dL,peak\n"
    cohort = ingest(header + rows, long)
    assert cohort.observations.value.tolist() == [90, 99]
    assert cohort.observations.post_dose.tolist() == [False, True]
    assert reject(ingest) == {"duplicate_conflict": 2}


def test_statics_of_chosen_rows(ingest, long):
    long["statics"] = [{"name": "sex", "levels": ["f", "m"]}]
    long["tables"][0]["statics"] = [
        {"static": "sex", "column": "value", "levels": {"F": "f"}, "when": {"test": ["SEX"]}}
    ]
    cohort = ingest(LONG_HEADER + "a,0,GLU,90,mg/dL\na,,SEX,F,\na,,SEX,X,\n", long)
    assert cohort.statics.tolist() == [[0]] and reject(ingest) == {"level_unknown": 1}
    assert ingest.items["statics"].out_of_scope == 1 and ingest.report.totals.accepted == 2
