"""Conformal calibration: coverage within its exact limits, factors that behave, and calibration.json."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neurotwin.calibration import Calibration
from neurotwin.episodes import Episodes, Forecast, Targets
from neurotwin.errors import BundleError, CohortError, ConfigError
from neurotwin.evaluation import calibrated, fit_calibration, with_measured_coverage
from neurotwin.evaluation.calibration import describe_basis
from neurotwin.evaluation.weights import equal_weights, weighted_quantile
from neurotwin.events import Doses, Observations, Queries
from neurotwin.schema import Schema, Variable

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
Z = stats.norm.ppf(LEVELS)
SCHEMA = Schema(
    name="toy",
    time_unit="d",
    variables=(Variable(name="x", unit="mm"), Variable(name="y", unit="mg/dL", transform="log", plausible=(0, 1e9))),
)


def question(subject, time, n):
    """Episodes with the cut at 0 and nothing seen."""
    none = np.zeros((n, 0))
    return Episodes(
        SCHEMA,
        none,
        none,
        np.zeros(n),
        np.zeros(n),
        Observations.of([], [], [], []),
        Doses.of(),
        Queries.of(subject, time),
    )


def situation(n, rng, *, per_patient=1, too_narrow=1.0, correlated=0.0):
    """Patients with standard normal errors around a forecast whose spread is too small by a factor."""
    subject = np.repeat(np.arange(n), per_patient)
    time = np.tile(np.arange(1.0, per_patient + 1), n)
    shared = rng.normal(size=(n, 2))[subject]
    error = np.sqrt(1 - correlated) * rng.normal(size=(len(subject), 2)) + np.sqrt(correlated) * shared
    centre, scale = rng.normal(size=(len(subject), 2)), np.exp(rng.normal(0, 0.5, (len(subject), 2)))
    quantiles = centre[:, :, None] + scale[:, :, None] / too_narrow * Z
    truth = centre + scale * error
    quantiles[:, 1], truth[:, 1] = np.exp(quantiles[:, 1]), np.exp(truth[:, 1])
    rows = np.arange(len(subject))
    targets = Targets(
        np.tile(rows, 2),
        np.repeat([0, 1], len(rows)).astype(np.int16),
        truth.T.reshape(-1),
        np.zeros(2 * len(rows), np.int8),
    )
    return Forecast(LEVELS, quantiles), targets, question(subject, time, n)


@pytest.mark.parametrize("seed", range(12))
def test_coverage_is_within_the_exact_limits(seed):
    """Of m new patients with one value each, the number covered is beta-binomial (Vovk 2012, ACML)."""
    rng, level, n, m = np.random.default_rng(seed), 0.9, 60, 500
    calibration = fit_calibration(*situation(n, rng, too_narrow=2), level=level, horizons=[np.inf])
    measured = with_measured_coverage(calibration, *situation(m, rng, too_narrow=2))
    k = np.ceil(level * (n + 1))
    low, high = stats.betabinom(m, k, n + 1 - k).ppf([1e-5, 1 - 1e-5])
    assert (measured.n_test == m).all()
    assert ((low <= measured.coverage * m) & (measured.coverage * m <= high)).all()


def test_patients_are_the_units():
    """With strongly correlated values per patient the coverage still holds on average over new patients."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(60):
        calibration = fit_calibration(*situation(25, rng, per_patient=8, correlated=0.8), horizons=[np.inf])
        covered.append(with_measured_coverage(calibration, *situation(60, rng, per_patient=8, correlated=0.8)).coverage)
    assert 0.895 < np.mean(covered) < 0.95


def test_a_patient_with_many_values_has_one_vote():
    value, subject = np.r_[np.full(90, 9.0), np.arange(9.0)], np.r_[np.zeros(90, int), np.arange(1, 10)]
    assert weighted_quantile(value, equal_weights(subject), 0.9) == 8
    assert weighted_quantile(value, np.ones(99), 0.5) == 9
    assert weighted_quantile(value, np.ones(99), [1.0, 1.1]).tolist() == [9, np.inf]


def test_factor_is_one_when_calibrated_already():
    calibration = fit_calibration(*situation(4000, np.random.default_rng(1)), horizons=[np.inf])
    assert calibration.factor == pytest.approx(1, abs=0.06)


def test_factor_undoes_what_is_too_narrow():
    exact = fit_calibration(*situation(300, np.random.default_rng(5)), horizons=[np.inf])
    narrow = fit_calibration(*situation(300, np.random.default_rng(5), too_narrow=3), horizons=[np.inf])
    assert narrow.factor == pytest.approx(3 * exact.factor)


def test_factor_rises_with_the_level():
    data = situation(200, np.random.default_rng(2))
    levels = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    fixed = replace(data[0], levels=levels, quantiles=data[0].quantiles[:, :, [0, 0, 0, 2, 4, 4, 4]])
    factors = [fit_calibration(fixed, *data[1:], level=level, horizons=[np.inf]).factor for level in (0.5, 0.8, 0.9)]
    assert (factors[0] < factors[1]).all()
    assert (factors[1] < factors[2]).all()


def test_factor_by_hand():
    """Nine patients at level 0.9 need all of them: the factor is the largest score."""
    forecast = Forecast(LEVELS, np.tile([-2.0, -1, 0, 1, 4], (9, 2, 1)))
    truth = np.array([-5.0, 1, 1, 1, 1, 1, 1, 1, 8])
    rows = np.arange(9)
    targets = Targets(rows, np.zeros(9, np.int16), truth, np.zeros(9, np.int8))
    calibration = fit_calibration(forecast, targets, question(rows, np.ones(9), 9), horizons=[np.inf], min_patients=9)
    assert calibration.factor[0, 0] == 2.5  # 5 below the median where the interval reaches 2
    applied = calibration.apply(forecast, np.ones(9), natural_schema())
    assert applied.quantiles[0, 0].tolist() == [-5, -2.5, 0, 2.5, 10]
    eight = Targets(*(getattr(targets, name)[:8] for name in ("query", "variable", "value", "censor")))
    with pytest.raises(CohortError, match="8 calibration patients.*9 or more"):
        fit_calibration(forecast, eight, question(rows, np.ones(9), 9), horizons=[np.inf], min_patients=9)


def natural_schema():
    """The toy schema with its second variable measured on the natural scale."""
    first, second = SCHEMA.variables
    return SCHEMA.model_copy(update={"variables": (first, second.model_copy(update={"transform": "identity"}))})


def test_small_bins_fall_back_and_say_so():
    rng = np.random.default_rng(3)
    forecast, targets, episodes = situation(40, rng, per_patient=3)
    late = episodes.queries.time[targets.query] == 3
    few = late & (episodes.queries.subject[targets.query] > 10)
    sparse = (targets.variable == 1) & (episodes.queries.subject[targets.query] > 10)
    kept = ~few & ~sparse
    targets = Targets(*(column[kept] for column in (targets.query, targets.variable, targets.value, targets.censor)))
    calibration = fit_calibration(forecast, targets, episodes, horizons=[2, np.inf])
    assert calibration.basis.tolist() == [[0, 2], [1, 2]]
    assert calibration.n_patients.tolist() == [[40, 40], [40, 40]]
    assert calibration.factor[0, 1] == calibration.factor[1, 1]
    assert describe_basis(calibration) == "1 from bin, 1 from channel, 2 from all"


def test_failed_censored_and_far_values_are_left_out():
    forecast, targets, episodes = situation(50, np.random.default_rng(4), per_patient=2)
    wild = targets.value.copy()
    wild[0], wild[2], wild[5] = 1e6, 1e6, 1e6  # query 0 fails, row 2 is censored, row 5 lies beyond the horizon
    censor = targets.censor.copy()
    censor[2] = 1
    ok = np.ones(100, bool)
    ok[0] = False
    forecast, targets = replace(forecast, ok=ok), replace(targets, censor=censor)
    tidy = fit_calibration(forecast, targets, episodes, horizons=[1])
    same = fit_calibration(forecast, replace(targets, value=wild), episodes, horizons=[1])
    assert np.array_equal(tidy.factor, same.factor)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 20), st.lists(st.floats(0.1, 50), min_size=5, max_size=5))
def test_applied_quantiles_keep_their_order_and_median(factor, points):
    quantiles = np.sort(points)[None, None].repeat(2, axis=1)
    forecast = Forecast(LEVELS, quantiles, draws=quantiles)
    calibration = whole(np.full((1, 2), factor))
    applied = calibration.apply(forecast, [3.0], SCHEMA)
    assert (np.diff(applied.quantiles, axis=2) >= -1e-9 * np.abs(applied.quantiles[:, :, 1:])).all()
    assert np.array_equal(applied.median, forecast.median)
    assert applied.draws is forecast.draws
    assert applied.ok is None


def whole(factor, horizons=(np.inf,)):
    """A calibration with given factors."""
    shape = factor.shape
    return Calibration(
        0.9,
        "d",
        np.array(horizons),
        ("x", "y"),
        ("mm", "mg/dL"),
        factor,
        np.full(shape, 30),
        np.zeros(shape, np.int8),
        np.full(shape, np.nan),
        np.zeros(shape, np.int64),
        "toy",
    )


def test_factors_follow_the_horizon_and_end_with_it():
    calibration = whole(np.array([[1.0, 1.0], [2.0, 3.0]]), (10, 20))
    forecast = Forecast(LEVELS, np.tile(np.exp([-2.0, -1, 0, 1, 2]), (4, 2, 1)))
    applied = calibration.apply(forecast, [10, 10.5, 20, 21], SCHEMA)
    assert calibration.bins([0, 10, 10.5, 20, 21]).tolist() == [0, 0, 1, 1, -1]
    assert applied.quantiles[0] == pytest.approx(forecast.quantiles[0])
    assert applied.quantiles[2, 1] == pytest.approx(np.exp([-6.0, -3, 0, 3, 6]))
    assert applied.quantiles[2, 0] == pytest.approx(1 + 2 * (forecast.quantiles[0, 0] - 1))
    assert applied.ok.tolist() == [True, True, True, False]
    assert np.isnan(applied.quantiles[3, 0]).tolist() == [True, True, False, True, True]


def test_calibrated_predictor_counts_from_the_cut():
    calibration = whole(np.array([[1.0, 1.0], [2.0, 2.0]]), (1, 5))
    episodes = replace(question([0, 0], [101.0, 103.0], 1), cut=np.array([100.0]))
    forecast = Forecast(LEVELS, np.tile([1.0, 2, 3, 4, 5], (2, 2, 1)))
    applied = calibrated(lambda asked: forecast, calibration)(episodes)
    assert applied.quantiles[:, 0, 0] == pytest.approx([1, -1])


def test_applied_intervals_cover_what_was_calibrated():
    rng = np.random.default_rng(8)
    forecast, targets, episodes = situation(99, rng, too_narrow=4)
    calibration = fit_calibration(forecast, targets, episodes, level=0.9, horizons=[np.inf])
    applied = calibrated(lambda asked: forecast, calibration)(episodes)
    for variable in range(2):
        rows = targets.variable == variable
        ends = applied.quantiles[targets.query[rows], variable][:, [0, -1]]
        inside = (ends[:, 0] <= targets.value[rows] * (1 + 1e-12)) & (targets.value[rows] <= ends[:, 1] * (1 + 1e-12))
        assert inside.sum() >= 89


def test_json_round_trip_and_content():
    calibration = fit_calibration(*situation(40, np.random.default_rng(0)), horizons=[5, np.inf], description="40 toys")
    content = json.loads(json.dumps(calibration.to_dict(), allow_nan=False))
    again = Calibration.from_dict(content)
    assert again.to_dict() == content
    assert np.array_equal(again.factor, calibration.factor)
    assert content["horizons"] == [5.0, None]
    assert content["channels"]["x"]["coverage"] == [None, None]
    assert content["channels"]["y"]["basis"] == ["bin", "channel"]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda c: c.update(kind="other"), "another kind"),
        (lambda c: c.pop("level"), "KeyError"),
        (lambda c: c.update(level="high"), "ValueError"),
        (lambda c: c.update(level=2), "out of range"),
        (lambda c: c.update(horizons=[None, 5]), "ValueError"),
        (lambda c: c.update(horizons=[5, 5]), "ConfigError"),
        (lambda c: c["channels"]["x"].update(factor=[1.0]), "calibration"),
        (lambda c: c.update(channels={}), "sizes"),
        (lambda c: c["channels"]["x"].update(factor=[-1.0, 1.0]), "out of range"),
        (lambda c: c["channels"]["x"].update(basis=["guess", "bin"]), "ValueError"),
        (lambda c: c.update(channels=3), "TypeError"),
        (lambda c: c.update(channels=[]), "AttributeError"),
    ],
)
def test_a_broken_file_is_refused(break_it, words):
    content = copy.deepcopy(whole(np.ones((2, 2)), (5, np.inf)).to_dict())
    break_it(content)
    with pytest.raises(BundleError, match=words):
        Calibration.from_dict(content)
    with pytest.raises(BundleError):
        Calibration.from_dict(None)


def test_another_schema_is_refused():
    other = SCHEMA.model_copy(update={"variables": (SCHEMA.variables[0].model_copy(update={"unit": "cm"}),)})
    with pytest.raises(BundleError, match="no factor for x in cm"):
        whole(np.ones((1, 2))).apply(Forecast(LEVELS, np.ones((1, 1, 5))), [1.0], other)


def test_wrong_arguments_are_named():
    data = situation(30, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"no quantiles for an interval at level 0.8.*0.1 and 0.9"):
        fit_calibration(*data, level=0.8, horizons=[np.inf])
    with pytest.raises(ConfigError, match="min_patients 3.*9 or more"):
        fit_calibration(*data, horizons=[np.inf], min_patients=3)
    with pytest.raises(ConfigError, match="horizons do not rise"):
        fit_calibration(*data, horizons=[])
    flat = Forecast(LEVELS, np.repeat(data[0].median[:, :, None], 5, axis=2))
    with pytest.raises(CohortError, match="intervals of x have no width"):
        fit_calibration(flat, *data[1:], horizons=[np.inf])
