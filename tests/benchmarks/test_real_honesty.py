"""The recipe on real patients learns nothing from those that it is tested on, nor from what comes after the cut."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks" / "real"))
from real_patients.folds import PAIRS, ask, without
from real_patients.intervals import Rows, Scaled
from real_patients.members import answers, inner_folds, pair_of
from real_patients.recipe import Choice, fit, fit_pairs
from real_patients.selection import choose, forecasts, shrunk
from real_patients.tasks import Task

from neurotwin.cohort import Cohort
from neurotwin.evaluation import PopulationMean
from neurotwin.evaluation.gradient_boosting import GradientBoosting
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable

TINY = Choice(steps=3, batch=8, memory=2, hidden=4)
TASK = Task("toy", Path("nowhere"), "x", 2.5)
TEST = 2


def walks(n=60, seed=0):
    """Cohort of two variables on seven days; x returns to y."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    x = [rng.normal(size=n)]
    for _ in range(6):
        x.append(y + 0.6 * (x[-1] - y) + rng.normal(0, 0.2, n))
    subject, day = np.tile(np.arange(n), 7), np.repeat(np.arange(7.0), n)
    observations = Observations.concatenate(
        Observations.of(subject, day, 0, np.concatenate(x)), Observations.of(subject, day, 1, np.tile(y, 7))
    )
    schema = Schema(
        name="walks",
        time_unit="d",
        variables=(Variable(name="x", unit="mm"), Variable(name="y", unit="mm")),
        treatments=(Treatment(name="drug", unit="mg", kind="bolus"),),
        statics=(Static(name="age", unit="a"),),
    )
    statics = rng.normal(50, 5, (n, 1))
    return Cohort.build(schema, [f"s{k}" for k in range(n)], statics, observations, Doses.of(), split_key="walks")


def later_altered(cohort, folds):
    """Every value after the cut of the subjects of some folds is another one."""
    seen = cohort.observations
    chosen = np.isin(cohort.fold[seen.subject], folds) & (seen.time > TASK.cut)
    return replace(cohort, observations=replace(seen, value=np.where(chosen, -7.0, seen.value)))


def run(cohort, choices):
    questions = [ask(TASK, cohort, fold) for fold in range(5)]
    members = {}
    for name, choice in choices.items():
        models = fit_pairs(TASK, cohort, PAIRS, choice, seed=0)
        members[name, 0] = {
            (pair, fold): answers(TASK, models[pair], questions[fold]) for pair in PAIRS for fold in pair
        }
    return questions, members


@pytest.fixture(scope="module")
def ran():
    return run(walks(), {"a": TINY, "b": replace(TINY, trust=3.0)})


def calibrated(questions, members):
    """What is said of the test fold, intervals and all."""
    part = shrunk(TASK, forecasts(TASK, members, questions, TEST, best=1), questions, TEST)
    rows = [
        Rows(part.inner[fold], questions[fold].horizon, questions[fold].level, questions[fold].subject)
        for fold in inner_folds(TEST)
    ]
    truth = np.concatenate([questions[fold].modelled_truth for fold in inner_folds(TEST)])
    fitted = Scaled.fit(Rows(*map(np.concatenate, zip(*rows, strict=True))), truth)
    asked = questions[TEST]
    return part.chosen, fitted(Rows(part.test, asked.horizon, asked.level, asked.subject))


def test_no_model_has_seen_the_folds_that_it_answers_for():
    cohort = walks()
    for pair in PAIRS:
        assert not np.isin(without(cohort, pair).fold, pair).any()
    assert {pair_of(TEST, fold) for fold in inner_folds(TEST)} == {pair for pair in PAIRS if TEST in pair}


def test_what_comes_after_the_cut_changes_no_answer(ran):
    """Training, scaling, choice of configuration, calibration and answer: all bit for bit the same."""
    chosen, said = calibrated(*ran)
    altered = run(later_altered(walks(), [TEST]), {"a": TINY, "b": replace(TINY, trust=3.0)})
    assert not np.array_equal(altered[0][TEST].truth, ran[0][TEST].truth)
    chosen_too, said_too = calibrated(*altered)
    assert chosen == chosen_too
    assert np.array_equal(said, said_too)


def test_the_same_test_can_fail(ran):
    """Altering what the models may learn from does change the answer."""
    altered = run(later_altered(walks(), inner_folds(TEST)), {"a": TINY, "b": replace(TINY, trust=3.0)})
    assert not np.array_equal(calibrated(*ran)[1], calibrated(*altered)[1])


def test_inner_folds_choose(ran):
    questions, members = ran
    perfect = {
        key: np.repeat(questions[key[1]].modelled_truth[:, None], 3, axis=1)
        if key[1] != TEST
        else np.full((len(questions[TEST]), 3), 99.0)
        for key in members["a", 0]
    }
    assert choose(TASK, {**members, ("perfect", 0): perfect}, questions, TEST)[0] == "perfect"


def test_permuted_labels_give_no_skill():
    """Later values shuffled among subjects: nothing can be learned of them but their distribution."""
    cohort, rng = walks(80), np.random.default_rng(3)
    seen = cohort.observations
    value = seen.value.copy()
    for day in (3.0, 4.0, 5.0, 6.0):
        rows = np.flatnonzero((seen.time == day) & (seen.variable == 0))
        value[rows] = value[rng.permutation(rows)]
    permuted = replace(cohort, observations=replace(seen, value=value))
    errors = {"boosting": [], "mean": []}
    for fold in range(5):
        train, question = permuted.take(permuted.fold != fold), ask(TASK, permuted, fold)
        fits = {
            "boosting": GradientBoosting.fit(train, variables=["x"], trees={"max_iter": 15, "learning_rate": 0.1}),
            "mean": PopulationMean.fit(train),
        }
        for name, fitted in fits.items():
            errors[name].append(np.abs(answers(TASK, fitted, question)[:, 1] - question.truth))
    boosting, mean = (np.concatenate(errors[name]).mean() for name in ("boosting", "mean"))
    assert boosting > 0.95 * mean


@pytest.mark.full
@pytest.mark.parametrize("permuted", [True, False])
def test_a_model_trained_again_on_permuted_courses_has_no_skill(permuted):
    """Everything after the cut belongs to somebody else: the neural ODE, trained anew by the recipe, is no better than
    the median of the others' later values. On the true courses it is."""
    cohort, rng = walks(150), np.random.default_rng(4)
    seen = cohort.observations
    if permuted:
        given = rng.permutation(len(cohort))
        later, value = seen.time > TASK.cut, seen.value.copy()
        for number in (0, 1):
            rows = np.flatnonzero(later & (seen.variable == number))
            whole = seen.value[rows].reshape(len(cohort), -1)
            value[rows] = whole[given].ravel()
        cohort = replace(cohort, observations=replace(seen, value=value))
    pairs = [(test, (test + 1) % 5) for test in range(5)]
    choice = Choice(steps=120, batch=32, memory=4, hidden=16, rate=1e-2, dropout=0.2)
    models = fit(TASK, [without(cohort, pair) for pair in pairs], choice, seed=0)
    questions = [ask(TASK, cohort, fold) for fold in range(5)]
    missed, constant = [], []
    for fold, model in enumerate(models):
        others = np.concatenate([one.truth for number, one in enumerate(questions) if number != fold])
        missed.append(np.abs(answers(TASK, model, questions[fold])[:, 1] - questions[fold].truth))
        constant.append(np.abs(np.median(others) - questions[fold].truth))
    ratio = np.concatenate(missed).mean() / np.concatenate(constant).mean()
    assert ratio > 0.98 if permuted else ratio < 0.6


def test_inner_folds_set_the_share_of_the_last_value(ran):
    """All of it where the models are useless on the inner folds, none where they are right."""
    questions, members = ran
    part = forecasts(TASK, members, questions, TEST, best=1)
    useless = {fold: said + 50.0 for fold, said in part.inner.items()}
    drawn = shrunk(TASK, part._replace(inner=useless), questions, TEST)
    assert drawn.share == 1.0
    assert drawn.test[:, 1] == pytest.approx(questions[TEST].level)
    right = {fold: np.repeat(questions[fold].modelled_truth[:, None], 3, axis=1) for fold in part.inner}
    assert shrunk(TASK, part._replace(inner=right), questions, TEST).share == 0.0
