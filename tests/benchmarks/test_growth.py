"""How cost grows: the fit finds a known power, and a tiny run gives rows, fits, goals and figures."""

import math

import pytest

pytest.importorskip("torchdiffeq")
pytest.importorskip("matplotlib")

from benchmarks.growth import curves, run
from benchmarks.growth.curves import fit, fits_of
from benchmarks.growth.plots import draw, exponent
from benchmarks.growth.steps import Steps, size_of

VALUES = [2**k for k in range(9)]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_power_is_found(power):
    found = fit(VALUES, [3.0 * value**power for value in VALUES])
    assert found.exponent == pytest.approx(power) and found.error == pytest.approx(0, abs=1e-12)
    assert (found.begin, found.points) == (16, 5)


def test_only_the_upper_half_counts():
    costs = [100.0 if value < 16 else value**1.5 for value in VALUES]
    assert fit(VALUES, costs).exponent == pytest.approx(1.5)


def test_the_error_is_that_of_a_slope_by_least_squares():
    noise = [0.1, -0.2, 0.15, 0.05, -0.1]
    found = fit(VALUES, [1.0] * 4 + [value * math.exp(e) for value, e in zip(VALUES[4:], noise, strict=True)])
    scipy = pytest.importorskip("scipy.stats")
    upper = [math.log(value) for value in VALUES[4:]]
    known = scipy.linregress(upper, [x + e for x, e in zip(upper, noise, strict=True)])
    assert found.exponent == pytest.approx(known.slope) and found.error == pytest.approx(known.stderr)


@pytest.mark.parametrize("costs", [[1.0, 2.0, 4.0], [1.0, 2.0, None, None, None, 0.0, 7.0, 8.0, 0.0]])
def test_too_few_points_have_no_power(costs):
    assert fit(VALUES[: len(costs)], costs) is None


class Tiny(Steps):
    """Steps of next to no size."""

    axes = quick = {"batch": (2, 4, 8, 16, 32)}

    def ready(self, route, against, value):
        return self.small(route)


def test_a_tiny_run(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "peak_of", lambda part, route, against, value: 0.5 * value)
    monkeypatch.setattr(curves, "SPAN", 0.0)
    rows = run.measure([Tiny()], 1, quick=False)
    assert len(rows) == 15 and all(row["cpu_ms"] > 0 for row in rows)
    fits = fits_of(rows)
    assert [one["memory"] for one in fits] == pytest.approx([1.0] * 3)
    assert {(one["from"], one["to"]) for one in fits} == {(8, 32)}
    goals = {one["name"]: one for one in run.goals_of(fits)}
    assert goals["training step: exponent of memory in batch"]["measured"] == pytest.approx(1.0)
    assert goals["cohort: exponent of time in patients"]["measured"] is None
    for name in ("one", "two"):
        draw(rows, fits, tmp_path / f"{name}.svg")
    first, second = ((tmp_path / f"{name}.svg").read_text() for name in ("one", "two"))
    assert first == second and "<date>" not in first and len(first) < 100_000
    assert f"neurotwin fused: {exponent(fits, 'batch', 'neurotwin fused', 'memory')}" in first


def test_the_fastest_growth_of_ours_counts():
    told = {"what": "cohort", "against": "patients", "memory": None}
    fits = [told | {"route": route, "time": time} for route, time in (("a", 0.9), ("b", 1.4), ("torch eager", 3.0))]
    goals = {one["name"]: one for one in run.goals_of(fits)}
    found = goals["cohort: exponent of time in patients"]
    assert (found["measured"], found["cause"]) == (1.4, "by b; not explained")


def test_a_size_is_varied_alone():
    base = size_of("rows", 49)
    assert tuple(base) == (256, 50, 4, 64)
    assert tuple(size_of("width", 7)) == (256, 50, 4, 7) and tuple(size_of("state", 7)) == (256, 50, 7, 64)
