"""The statistics of a trial, against statsmodels, scipy, textbooks and theory."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff
from trial_cases import pool_of, time_pool

from neurotwin.errors import ConfigError
from neurotwin.trials import effects, replicates, survival
from neurotwin.trials.analysis import BASELINE, BOTH, LOG_RANK, SCORE, UNADJUSTED, Sample, analyse, true_effect
from neurotwin.trials.external import external_control
from neurotwin.trials.groups import Grouped, Split
from neurotwin.trials.pharmacovigilance import table
from neurotwin.trials.randomisation import Randomisation
from neurotwin.trials.subgroup_effects import subgroup_effects

SIMPLE = Randomisation("simple")
TIME = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0])
EVENT = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23.0])
"""Remission in weeks under 6-MP and placebo: Freireich et al., Blood 21:699 (1963)."""


def freireich():
    time = np.concatenate([PLACEBO, TIME])
    event = np.concatenate([np.ones(21, dtype=bool), EVENT])
    return time, event, np.repeat([False, True], 21)


def test_the_curve_and_the_tests_are_those_of_the_textbook():
    curve = survival.kaplan_meier(TIME, EVENT, 0.95)
    assert dict(zip(curve.time, curve.survival.round(4), strict=True))[10.0] == 0.7529
    assert curve.median == 23.0 and curve.events == 9
    assert np.allclose(curve.survival, SurvfuncRight(TIME, EVENT).surv_prob)
    assert ((curve.low <= curve.survival) & (curve.survival <= curve.high)).all()
    time, event, treated = freireich()
    # Chi-squared 16.79; Cox with Efron's ties: log hazard ratio -1.572 (se 0.412).
    assert survival.log_rank(time, event, treated) == pytest.approx(stats.chi2.sf(16.793, 1), rel=1e-3)
    ratio = survival.hazard_ratio(time, event, treated, 0.95)
    assert np.log(ratio.estimate) == pytest.approx(-1.572, abs=2e-3) and ratio.se == pytest.approx(0.412, abs=2e-3)


def test_strata_are_those_of_statsmodels_and_empty_ones_are_left_out():
    time, event, treated = freireich()
    stratum = np.arange(42) % 3
    expected = survdiff(time, event, treated, strata=stratum)[1]
    assert survival.log_rank(time, event, treated, stratum) == pytest.approx(expected)
    alone = np.append(stratum, 7)
    more = (np.append(time, 5.0), np.append(event, True), np.append(treated, True))
    assert survival.log_rank(*more, alone) == pytest.approx(expected)
    assert survival.log_rank(time, np.zeros(42, dtype=bool), treated) == 1.0


def test_restricted_mean_is_the_area_and_its_error_that_of_the_bootstrap():
    mean, se = survival.restricted_mean(TIME, np.ones(21, dtype=bool), 20.0)
    assert mean == pytest.approx(np.minimum(TIME, 20.0).mean())
    assert se == pytest.approx(np.minimum(TIME, 20.0).std() / np.sqrt(21))
    rng = np.random.default_rng(0)
    index = rng.integers(0, 21, (2000, 21))
    spread = np.std([survival.restricted_mean(TIME[one], EVENT[one], 20.0)[0] for one in index])
    assert survival.restricted_mean(TIME, EVENT, 20.0)[1] == pytest.approx(spread, rel=0.12)


def test_proportions():
    # Newcombe 1998, table II (a): 56/70 - 48/80 gives 0.0524 to 0.3339 by method 10.
    value = np.repeat([1.0, 0.0, 1.0, 0.0], [56, 14, 48, 32])
    gap = effects.risk_difference(value, np.repeat([True, True, False, False], [56, 14, 48, 32]), 0.95)
    assert (round(gap.low, 4), round(gap.high, 4)) == (0.0524, 0.3339)
    assert effects.exact_share(0, 10, 0.95) == pytest.approx((0.0, 0.0, 1 - 0.025**0.1))
    low, high = effects.binomial_limits(1000, 0.05, 0.99)
    assert 0.03 < low < 0.05 < high < 0.07


def test_pharmacovigilance():
    treated = np.repeat([False, True], 100)
    rash = np.zeros(200, dtype=bool)
    rash[:4], rash[100:120] = True, True
    nausea = np.zeros(200, dtype=bool)
    nausea[:30], nausea[100:130] = True, True
    found = table({"rash": rash, "nausea": nausea}, treated, 0.95)
    assert found["rash"]["risk_ratio"]["estimate"] == pytest.approx(5.0)
    assert found["rash"]["reporting_ratio"] == pytest.approx((20 / 50) / (4 / 34))
    assert found["rash"]["signal"] is True and found["nausea"]["signal"] is False
    assert found["rash"]["fisher_p"] == pytest.approx(stats.fisher_exact([[20, 80], [4, 96]]).pvalue)
    never = table({"never": np.zeros(200, dtype=bool)}, treated, 0.95)["never"]
    assert never["risk_ratio"]["estimate"] is None and never["treated"]["high"] == pytest.approx(1 - 0.025**0.01)


def test_adjustment_is_least_squares_and_leaves_out_what_is_missing():
    pool = pool_of(200)
    treated = np.arange(200) % 2 == 0
    value = np.where(treated, pool.treated.value, pool.control.value)
    value[3] = np.nan
    found = effects.adjusted_difference(value, treated, pool.covariates(BOTH), 0.95)
    kept = np.isfinite(value)
    design = np.column_stack([np.ones(199), treated[kept], pool.covariates(BOTH)[kept]])
    assert found.estimate == pytest.approx(np.linalg.lstsq(design, value[kept], rcond=None)[0][1])
    assert found.n == 199 and found.low < found.estimate < found.high
    constant = effects.adjusted_difference(value, treated, np.ones((200, 1)), 0.95)
    assert constant.estimate == pytest.approx(effects.mean_difference(value, treated, 0.95).estimate)


def rejected(pool, plan, count, seed=1):
    return replicates.type_one_error(pool, plan, 60, count, seed, 0.95)["analyses"]


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.full)])
@pytest.mark.parametrize("kind", ["means", "times", "times, stratified"])
def test_type_one_error_is_within_binomial_limits(kind, count):
    pool = pool_of() if kind == "means" else time_pool()
    plan = Randomisation(strata=[Split("sex")]) if "stratified" in kind else SIMPLE
    found = rejected(pool, plan, count)
    assert set(found) == ({UNADJUSTED, BASELINE, SCORE, BOTH} if kind == "means" else {LOG_RANK})
    assert all(row["within"] for row in found.values()), found


def test_trials_that_cannot_be_allocated_are_told():
    with pytest.raises(ConfigError, match="hardly any trial of 8"):
        list(replicates.replicates(pool_of(50), Randomisation("simple", (1, 100_000)), 8, 10, 1))


def test_the_limits_would_notice_a_wrong_test(monkeypatch):
    monkeypatch.setattr(replicates, "p_value", lambda *args, **more: 0.5 * np.random.default_rng().random())
    assert not rejected(pool_of(), SIMPLE, 400)[UNADJUSTED]["within"]


@pytest.mark.parametrize(("pool", "name"), [(pool_of(), UNADJUSTED), (pool_of(), SCORE), (time_pool(), LOG_RANK)])
def test_power_is_that_of_the_formula(pool, name):
    row = replicates.rejections(pool, SIMPLE, 100, 250, 2, 0.95, analyses=[name])[name]
    theory = replicates.theory(pool, name, 100, 0.5, 0.95)
    assert 0.3 < theory < 0.99 and abs(row["share"] - theory) < 0.09


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_the_formula_of_the_variance_is_one_less_r_squared(r):
    pool = pool_of(200_000, r)
    ratio = (
        replicates.asymptotic_variance(pool, SCORE, 0.5)[0] / replicates.asymptotic_variance(pool, UNADJUSTED, 0.5)[0]
    )
    assert ratio == pytest.approx(1 - r**2, abs=0.01)


def test_twins_as_covariate_narrow_the_effect_and_leave_it_where_it_is():
    found = replicates.precision(pool_of(r=0.8), SIMPLE, 100, 250, 3, 0.95)["analyses"]
    assert found[SCORE]["variance_ratio_low"] < 1 - 0.64 < found[SCORE]["variance_ratio_high"]
    assert abs(found[SCORE]["bias"]) < 4 * found[SCORE]["bias_se"]
    assert found[SCORE]["coverage_limits"][0] <= found[SCORE]["coverage"] <= found[SCORE]["coverage_limits"][1]


def test_an_external_control_is_as_wrong_as_its_twins():
    pool = pool_of(r=0.8)
    right = external_control(pool, SIMPLE, 100, 100, 1, 0.95)["analyses"]
    assert abs(right["external control"]["bias"]) < 4 * right["external control"]["bias_se"]
    off = replace(pool, score=pool.score + 1.0)
    wrong = external_control(off, SIMPLE, 100, 100, 1, 0.95)["analyses"]
    assert wrong["external control"]["bias"] == pytest.approx(-1.0, abs=0.1)
    assert wrong["external control"]["coverage"] < 0.1 < 0.85 < wrong["randomised"]["coverage"]


def test_subgroups_and_their_interaction():
    pool, member = pool_of(4000, effect=0.0), np.repeat([0, 1], 2000)
    treated = np.arange(400) % 2 == 0
    rows = np.random.default_rng(0).permutation(4000)[:400]
    same = subgroup_effects(pool, pool, Sample(rows, treated), Grouped("half", ("a", "b"), member), 0.95)
    assert same["interaction_p"] > 0.001
    other = replace(pool, treated=pool.treated._replace(value=pool.control.value + 1.5 * member))
    found = subgroup_effects(other, other, Sample(rows, treated), Grouped("half", ("a", "b"), member), 0.95)
    assert found["interaction_p"] < 1e-6
    assert [row["truth"] for row in found["rows"]] == pytest.approx([0.0, 1.5])
    assert all(row["effect"]["low"] < row["truth"] < row["effect"]["high"] for row in found["rows"])
    times = subgroup_effects(
        time_pool(), time_pool(), Sample(rows % 1000, treated), Grouped("half", ("a", "b"), member[::4]), 0.95
    )
    assert times["measure"] == "hazard ratio" and times["interaction_p"] > 0.001


def test_the_truth_is_that_of_everybody():
    assert true_effect(pool_of(), 1.0)["difference"] == pytest.approx(0.5)
    found = true_effect(time_pool(1500), 3.0)
    assert found["hazard_ratio"] == pytest.approx(0.6, abs=0.04)
    expected = (1 - np.exp(-1.8)) / 0.6 - (1 - np.exp(-3.0))
    assert found["restricted_mean"] == pytest.approx(expected, abs=0.04)


def test_a_trial_without_a_single_event_is_told():
    pool = time_pool(100)
    quiet = pool.control._replace(event=np.zeros(100, dtype=bool))
    found = analyse(
        replace(pool, control=quiet, treated=quiet),
        Sample(np.arange(100), np.arange(100) % 2 == 0), 0.95, 3.0, stratified=True,
    )  # fmt: skip
    assert found["hazard_ratio"] is None and found["log_rank_p"] == 1.0 and found["interval_width"] is None
