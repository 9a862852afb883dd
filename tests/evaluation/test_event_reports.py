"""Event times evaluated: oracles win, permuted labels tell nothing, baselines are fitted, reports go to JSON."""

from dataclasses import replace

import numpy as np
import pytest
from event_cases import event_cohort
from rich.console import Console

from neurotwin.errors import ConfigError, InputError
from neurotwin.evaluation.cuts import landmark_cuts
from neurotwin.evaluation.event_baselines import BaseRate, LandmarkCox, landmark
from neurotwin.evaluation.event_table import print_events
from neurotwin.evaluation.events import evaluate_events, event_section, risk_predictors
from neurotwin.evaluation.results import EventReport
from neurotwin.follow_up import CENSORED, FollowUp

CUT, HORIZONS = 1.0, [1.0, 3.0]


@pytest.fixture(scope="module")
def lines():
    return event_cohort(600, seed=4)


def oracle(cohort, truth):
    """Who knows the true hazards of each subject, found by its covariate."""
    rows = {float(age): number for number, age in enumerate(cohort.statics[:, 0])}

    def risks(episodes):
        own = np.array([rows[float(age)] for age in episodes.static[:, 0]])
        subject, cut = episodes.queries.subject, episodes.cut
        after = np.unique((episodes.queries.time - cut[subject]).round(9))
        table = np.stack([truth.incidence(float(cut[0]), float(cut[0] + one)) for one in after], axis=1)
        which = np.searchsorted(after, (episodes.queries.time - cut[subject]).round(9))
        return table[own[subject], which]

    return risks


def found(cohort, truth, **more):
    train, test = cohort.part("train"), cohort.part("test")
    cuts = np.full(len(train), CUT)
    predictors = {
        "oracle": oracle(cohort, truth),
        "base_rate": BaseRate.fit(train, cuts),
        "landmark_cox": LandmarkCox.fit(train, cuts),
    }
    how = {"cut": CUT, "horizons": HORIZONS, "baselines": ["base_rate", "landmark_cox"], "n_bootstrap": 200, **more}
    return evaluate_events(predictors, test, **how)


def test_who_knows_the_hazards_wins(lines):
    pytest.importorskip("statsmodels")
    report = found(*lines)
    oracle, cox, base = (report.score(name, "relapse", 3.0) for name in ("oracle", "landmark_cox", "base_rate"))
    assert oracle.c_index.value > 0.7 and base.c_index.value == 0.5
    assert 0.6 < cox.c_index.value <= oracle.c_index.value + 0.03
    assert oracle.brier.value < base.brier.value and cox.brier.value < base.brier.value
    assert oracle.predicted.value == pytest.approx(oracle.observed.value, abs=0.06)
    assert [group[0] for group in oracle.groups] == sorted(group[0] for group in oracle.groups)
    other = report.score("oracle", "death", 3.0)  # its hazard depends on nothing
    assert other.c_index.low < 0.5 < other.c_index.high or abs(other.c_index.value - 0.5) < 0.12
    difference = next(
        one for one in report.differences if (one.baseline, one.outcome, one.horizon) == ("base_rate", "relapse", 3.0)
    )
    assert difference.brier.high < 0 < difference.c_index.low
    whole = {one.predictor: one.value.value for one in report.integrated if one.outcome == "relapse"}
    assert whole["oracle"] < whole["base_rate"]
    assert EventReport.model_validate(report.model_dump(mode="json")) == report


def test_permuted_ends_give_no_skill(lines):
    """Label permutation: whoever is foretold a risk, someone else has the outcome."""
    cohort, truth = lines
    reached = np.flatnonzero(cohort.follow_up.time > 5.0)
    rng = np.random.default_rng(0)
    ends = FollowUp.of(5.0 + rng.uniform(0.1, 3, len(reached)), rng.integers(-1, 2, len(reached)))
    part = replace(cohort.take(reached), follow_up=ends)
    report = evaluate_events(
        {"oracle": oracle(cohort, truth)}, part, cut=5.0, horizons=[2.0], n_bootstrap=200, min_visits=2
    )
    for outcome in ("relapse", "death"):
        one = report.score("oracle", outcome, 2.0)
        assert one.c_index.low < 0.5 < one.c_index.high and abs(one.c_index.value - 0.5) < 0.06


def test_landmarks_are_those_who_are_still_free(lines):
    cohort, _ = lines
    episodes, ends, rows = landmark(cohort, np.full(len(cohort), 2.0), min_visits=2)
    assert (ends.time > 0).all() and (episodes.cut == 2.0).all() and (cohort.follow_up.time[rows] > 2.0).all()
    cuts = landmark_cuts(cohort, "random")
    usable = np.isfinite(cuts)
    assert (cuts[usable] < cohort.follow_up.time[usable]).all() and (cuts[usable] >= 1.0).all()
    assert landmark_cuts(cohort, "random").tolist() == cuts.tolist() != landmark_cuts(cohort, "random", seed=1).tolist()
    # The choice hangs on id and seed alone.
    np.testing.assert_array_equal(landmark_cuts(cohort.take(np.arange(5, 50)), "random"), cuts[5:50])


def test_a_section_needs_outcomes_and_leaves_out_what_cannot_be_fitted(lines):
    pytest.importorskip("statsmodels")
    cohort, truth = lines
    train, test = cohort.part("train"), cohort.part("test")
    bare = replace(cohort, schema=cohort.schema.model_copy(update={"outcomes": ()}), follow_up=None)
    assert event_section({}, bare, bare, cut=CUT) is None
    silent = risk_predictors({"silent": lambda episodes: type("Answer", (), {"incidence": None})})
    told = {**silent, "oracle": oracle(cohort, truth)}
    report = event_section(told, train, test, cut=CUT, n_bootstrap=20)
    assert report.predictors == ("oracle", "base_rate", "landmark_cox") and len(report.horizons) == 3
    one_kind = replace(train, follow_up=FollowUp.of(train.follow_up.time, np.minimum(train.follow_up.event, 0)))
    report = event_section({}, one_kind, test, cut=CUT, horizons=HORIZONS, n_bootstrap=20)
    assert report.predictors == ("base_rate",) and "never happened" in report.left_out["landmark_cox"]
    console = Console(record=True, width=150)
    print_events(report, "a", console)
    text = console.export_text()
    assert "risk of relapse" in text and "landmark_cox left out" in text and "free of all outcomes at 1 a" in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"horizons": [2.0, 1.0]}, "horizons"),
        ({"horizons": []}, "horizons"),
        ({"baselines": ["x"]}, "no predictor named x"),
    ],
)
def test_what_cannot_be_asked_is_refused(lines, more, message):
    with pytest.raises(ConfigError, match=message):
        found(*lines, **more)


def test_risks_that_are_none_are_refused(lines):
    cohort, _ = lines
    for risk, message in ((0.9, "no probabilities"), (np.nan, "no probabilities")):
        with pytest.raises(InputError, match=message):
            evaluate_events(
                {"bad": lambda asked, risk=risk: np.full((len(asked.queries), 2), risk)},
                cohort.part("test"),
                cut=CUT,
                horizons=HORIZONS,
            )
    with pytest.raises(InputError, match="shape"):
        evaluate_events({"bad": lambda asked: np.zeros((3, 2))}, cohort.part("test"), cut=CUT, horizons=HORIZONS)


def test_unknown_ends_are_not_scored(lines):
    cohort, truth = lines
    time = np.where(np.arange(len(cohort)) % 2, np.nan, cohort.follow_up.time)
    event = np.where(np.isnan(time), CENSORED, cohort.follow_up.event)
    half = replace(cohort, follow_up=FollowUp.of(time, event))
    report = evaluate_events({"oracle": oracle(cohort, truth)}, half, cut=CUT, horizons=[1.0], n_bootstrap=5)
    assert report.n_subjects == int((half.follow_up.time > CUT).sum())
