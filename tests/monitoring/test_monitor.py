"""Sites where something changed are told so, with the right channel; sites where nothing did are left in peace."""

import json
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.monitor import changes
from benchmarks.monitor.streams import Pool, delays
from toy_bundles import make_cohort

from neurotwin.errors import CohortError, ConfigError
from neurotwin.monitoring import MonitorReport, Options, monitor
from neurotwin.monitoring.checks import check_all
from neurotwin.monitoring.features import Table, input_features
from neurotwin.monitoring.page import render_page
from neurotwin.monitoring.site import Site, check_channels
from neurotwin.monitoring.stream import watch
from neurotwin.verbs.monitoring import sample

QUICK = Options(n_bootstrap=20)


def changed(site, change):
    return Site(change(site.cohort), "2" * 64, "all", "other ward")


def loud(report):
    return {one.feature for one in report.checks if one.verdict == "alarm"}


def test_a_site_like_the_reference_is_ok(predictor, site, reference):
    report = monitor(predictor, site, reference, Options(window=100, by=["sex"], n_bootstrap=20))
    assert report.verdict in ("ok", "watch") and not loud(report) and not report.stream.flags
    assert report.check("volume.level").n == 400 and report.not_judged == {}
    assert {one.by for one in report.performance.subgroups} == {"sex"}
    assert MonitorReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report


@pytest.mark.parametrize(
    "change, feature",
    [
        (changes.shifted("volume", 1.0), "volume.level"),
        (changes.shifted("temperature", -1.0), "temperature.level"),
        (changes.spread("volume", 2.0), "volume.level"),
        (changes.missing("temperature", 0.3), "temperature.measured"),
        (changes.noisy("volume", 1.0), "volume.error"),
        (changes.dosed(2.0), "chemo.amount"),
    ],
)
def test_a_change_is_an_alarm_about_its_channel(predictor, site, reference, change, feature):
    report = monitor(predictor, changed(site, change), reference, QUICK)
    assert report.verdict == "alarm" and feature in loud(report)
    assert feature.split(".")[0] in {name.split(".")[0] for name in loud(report)}
    assert "Nothing to do" not in report.advice[0]


def test_a_unit_error_is_told_by_its_unit(predictor, site, reference):
    report = monitor(predictor, changed(site, changes.in_another_unit("volume", 1000.0, 1.0)), reference, QUICK)
    assert "mm3" in report.advice[0] and "cm3" in report.advice[0] and "mapping" in report.advice[0]


def test_what_is_real_but_small_is_watched_not_alarmed(reference):
    """With very many patients everything is significant."""
    marginal = reference.marginals["volume.level"]
    feature = next(f for f in input_features(make_cohort(5)).features if f.name == "volume.level")
    generator, half = np.random.default_rng(0), len(marginal.counts) // 2
    cells = generator.integers(0, 2 * half, 200_000)
    moved = np.where((cells < half) & (generator.random(len(cells)) < 0.17), cells + half, cells)
    values = np.r_[marginal.edges, marginal.edges[-1] + 1][moved]
    checks, _ = check_all(Table.of([(feature, values)]), reference, level=0.9, false_alarm=0.01)
    assert checks[0].adjusted < 0.01 and checks[0].distance < 0.1 and checks[0].verdict == "watch"
    assert "too small" in checks[0].told


def test_few_patients_are_not_judged(predictor, site, reference):
    report = monitor(predictor, Site(site.cohort.take(np.arange(15)), "3" * 64, "all", "few"), reference, QUICK)
    assert report.checks == () and report.verdict == "not judged" and len(report.not_judged) > 15
    assert "are needed" in report.not_judged["volume.level"]


def test_patients_without_a_future_are_judged_by_their_inputs_alone(predictor, site, reference):
    seen = site.cohort.observations
    early = replace(site.cohort, observations=seen.take(seen.time == 0))
    report = monitor(predictor, Site(early, "4" * 64, "all", "new"), reference, QUICK)
    assert report.performance is None and "visits.number" in loud(report)


def test_a_stream_tells_when(site, reference):
    before, after = (input_features(one) for one in (site.cohort, changes.shifted("volume", 1.0)(site.cohort)))
    table = Table(before.features, np.concatenate([before.values[:200], after.values[200:]]))
    found = watch(table, reference, level=0.9)
    assert found.flags[0].feature == "volume.level" and 200 < found.flags[0].patients <= 350
    assert found.looks[-1].patients == 400 and found.looks[0].distance["volume.level"] < 0.3
    assert watch(before, reference, level=0.9).flags == ()


@pytest.mark.parametrize("runs", [60, pytest.param(1000, marks=pytest.mark.full)])
def test_false_alarms_are_as_rare_as_said(site, reference, runs):
    """Fresh streams against fresh references, both drawn from one pool."""
    table = input_features(make_cohort(2500, seed=5))
    pool = Pool(table, len(table.features))
    flagged = sum(one[0] is not None for one in delays(pool, pool, streams=runs, length=500, seed=3))
    assert flagged <= (2 if runs < 100 else 17)  # 1 %, and the 99th percentile of chance


def test_an_order_is_a_number_that_is_there(predictor, site, reference):
    options = Options(window=100, order="age", n_bootstrap=20)
    assert monitor(predictor, site, reference, options).stream.order == "age"
    for bad in ("sex", "nothing"):
        with pytest.raises(ConfigError, match="--order"):
            monitor(predictor, site, reference, replace(options, order=bad))


@pytest.mark.parametrize("bad", [{"false_alarm": 0.0}, {"false_alarm": 0.5}, {"window": 5}, {"order": "age"}])
def test_options_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError):
        Options(**bad)


def test_another_units_cohort_is_refused(site, predictor):
    schema = site.cohort.schema
    other = schema.model_copy(
        update={"variables": (schema.variables[0].model_copy(update={"unit": "mm3"}), schema.variables[1])}
    )
    with pytest.raises(CohortError, match="other variables"):
        check_channels(other, predictor.schema, "ward")
    with pytest.raises(CohortError, match="times in h"):
        check_channels(schema.model_copy(update={"time_unit": "h"}), predictor.schema, "ward")


def test_the_page_stands_alone(predictor, site, reference):
    shifted = changed(site, changes.shifted("volume", 1.0))
    report = monitor(
        predictor, shifted, reference, Options(window=100, by=["sex"], n_bootstrap=20),
        patients=sample(shifted.cohort, 10),
    )  # fmt: skip
    assert report.abstentions.n == 10 and sum(report.abstentions.statuses.values()) == 10
    page = render_page(report)
    assert "<script" not in page and "https:" not in page and page.count("http://") == page.count("http://www.w3.org/")
    for part in (
        "volume.level",
        "alarm",
        "Patient by patient",
        "Intervals by horizon",
        "sex: f",
        "Answered with silence",
    ):
        assert part.replace(".", ".<wbr>") in page or part in page
