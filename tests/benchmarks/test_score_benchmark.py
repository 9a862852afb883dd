"""The measure of scoring: every step is timed, and the plan on paper follows from the figures."""

import pytest
from benchmarks.score import run, scale
from benchmarks.score.measuring import STEPS, measure, memory_of
from toy_bundles import BUNDLES, make_cohort

from neurotwin.score import make_job


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """60 subjects under the small network."""
    folder = tmp_path_factory.mktemp("score") / "cohort"
    make_cohort(60).save(folder)
    return make_job(BUNDLES / "toy_gru@0.1.0", folder, part_size=40)


def test_every_step_is_timed(job):
    row = measure(job, 2)
    steps = [row[f"{name}_us"] for name in (*STEPS, "other")]
    assert row["patients"] == 60 and all(step > 0 for step in steps)
    assert row["bare_us"] > 0 and row["share"] == pytest.approx(row["bare_us"] / row["scored_us"])
    assert row["per_second"] == pytest.approx(1e6 / row["scored_us"])
    goal = run.goals_of([{"question": "x", **row}])[0]
    assert goal["measured"] == row["share"] and bool(goal["cause"]) == (row["share"] < run.ASKED)


def test_memory_is_that_of_the_worker(job):
    assert 30 < memory_of(job) < 1000


def test_the_plan_follows_from_the_figures():
    row = {"scored_us": 360.0, "per_second": 2778.0, "bytes_in": 500.0, "bytes_out": 40.0, "memory_mib": 128.0,
           "patients": 10, "events": 20.0}  # fmt: skip
    small, _, large = scale.plan_rows(row)
    assert small["hours"] == pytest.approx(10 / 16) and large["hours"] == pytest.approx(10 / 1024)
    assert large["memory_gb"] == 128 and small["read_mb_s"] == pytest.approx(50e9 / (10 / 16 * 3600) / 1e6)
    assert small["losses"] == large["losses"] == pytest.approx(10 / 720)
    assert "10.0 core hours: 0.40 US dollars" in scale.plan_facts(row)
