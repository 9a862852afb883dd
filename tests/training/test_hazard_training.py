"""Training with hazards: the end of follow-up is learned from, weighted, and never seen by a forecast."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from event_cases import event_cohort, risky_model

from neurotwin.data import random_batch
from neurotwin.episodes import make_episodes
from neurotwin.errors import ConfigError
from neurotwin.evaluation import EvaluationReport, print_report
from neurotwin.follow_up import FollowUp
from neurotwin.landmarks import risks_of
from neurotwin.models import Hazards, NeuralOde
from neurotwin.recipes import load_run
from neurotwin.scaling import Scaling
from neurotwin.solvers import Midpoint
from neurotwin.train import main
from neurotwin.training import JointGaussian, SurrogatePredictor, SurrogateTraining
from neurotwin.verbs.evaluate import evaluate_run


@pytest.fixture(scope="module")
def lines():
    return event_cohort(150, seed=1)


def batch_of(cohort):
    return random_batch(
        cohort, np.arange(60), np.random.default_rng(0), max_step=1.0, min_visits=2, max_horizon=np.inf, events=True
    )


def gradients(model, batch, **loss):
    training = SurrogateTraining(model, JointGaussian(**loss), torch.optim.SGD)
    model.zero_grad()
    per_subject, _ = training._score(batch)
    per_subject.sum().backward()
    return per_subject.detach(), {name: item.grad for name, item in model.named_parameters()}


def test_the_weight_of_events_decides_whether_hazards_learn(lines):
    cohort, _ = lines
    model, batch = risky_model(cohort), batch_of(cohort)
    without, still = gradients(model, batch, events=0.0)
    once, moved = gradients(model, batch, events=1.0)
    assert not still["hazards.predictor.weight"].any() and moved["hazards.predictor.weight"].abs().sum() > 0
    assert torch.isfinite(once).all() and not torch.allclose(once, without)
    bare = batch._replace(events=None)
    torch.testing.assert_close(gradients(model, bare)[0], without)
    with pytest.raises(ConfigError, match=r"loss\.events"):
        JointGaussian(events=-1.0)


def test_ends_after_the_cut_change_no_prediction(lines):
    """Altered outcomes, all else equal: every answer is the same, bit by bit."""
    cohort, _ = lines
    altered = replace(cohort, follow_up=FollowUp.of(cohort.follow_up.time + 3.0, 1 - np.abs(cohort.follow_up.event)))
    predictor = SurrogatePredictor(risky_model(cohort))
    kept = np.flatnonzero(cohort.follow_up.time > 3.0)
    answers = []
    for one in (cohort, altered):
        episodes, _, _ = make_episodes(one.take(kept), 3.0, events=True)
        answers.append(predictor(risks_of(episodes, [0.5, 1.0, 2.0])))
    assert answers[0].incidence.shape == (3 * len(kept), 2)
    for name in ("incidence", "quantiles", "draws", "mean"):
        np.testing.assert_array_equal(getattr(answers[0], name), getattr(answers[1], name))


def test_risks_are_those_of_who_reached_the_cut(lines):
    cohort, _ = lines
    predictor = SurrogatePredictor(risky_model(cohort))
    episodes, _, _ = make_episodes(cohort, 2.5, events=True)
    found = predictor(risks_of(episodes, [1e-6, 1.0, 3.0])).incidence.reshape(-1, 3, 2)
    assert (np.abs(found[:, 0]) < 1e-5).all() and (np.diff(found, axis=1) > 0).all()
    # What was asked besides changes nothing.
    alone = predictor(risks_of(episodes, [3.0])).incidence
    np.testing.assert_allclose(found[:, 2], alone, rtol=1e-5, atol=1e-6)


def test_a_model_without_hazards_tells_no_risk(lines):
    cohort, _ = lines
    model = NeuralOde(cohort.schema, Scaling.fit(cohort), Midpoint(1.0), memory=2, hidden=6, draws=2).eval()
    episodes, _, _ = make_episodes(cohort, 3.0)
    assert SurrogatePredictor(model)(episodes).incidence is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run from the command line, its cohort and the truth."""
    folder = tmp_path_factory.mktemp("hazards")
    cohort, truth = event_cohort(500, seed=2)
    cohort.save(folder / "cohort")
    arguments = [
        f"data.cohort={folder / 'cohort'}",
        f"paths.output_dir={folder / 'run'}",
        "+hazards@model.hazards=linear",
        "solver@model.solver=midpoint",
        "model.solver.max_step=1.0",
        *("model.memory=2", "model.hidden=12", "model.draws=4", "evaluation.cut=2.0", "evaluation.horizons=[1.0,2.0]"),
        *("data.batch_size=32", "trainer.max_epochs=14", "optimizer.lr=0.01", "trainer=cpu", "callbacks.progress=null"),
    ]
    assert main(arguments) == 0
    return folder / "run", cohort, truth


def test_trained_hazards_come_near_the_truth(trained):
    """Hazards follow the true value, in rank and in size; unweighted cuts would make them half as high again."""
    folder, cohort, truth = trained
    model, _ = load_run(folder)
    episodes, _, kept = make_episodes(cohort.part("test"), 2.0, events=True)
    rows = np.flatnonzero(cohort.fold == 4)[kept]
    found = SurrogatePredictor(model)(risks_of(episodes, [2.0])).incidence
    expected = type(truth)(truth.level[rows], truth.slope[rows], truth.base, truth.effect).incidence(2.0, 4.0)
    assert np.corrcoef(found[:, 0], expected[:, 0])[0, 1] > 0.8
    assert found.mean(0) == pytest.approx(expected.mean(0), abs=0.05)


def test_evaluate_prints_a_section_of_event_times(trained, capsys):
    pytest.importorskip("statsmodels", reason="the extra baselines is not installed")
    report = evaluate_run(trained[0], n_bootstrap=20)
    events = report.events
    assert events.predictors == ("neural_ode", "base_rate", "landmark_cox") and events.horizons == (1.0, 2.0)
    assert events.score("neural_ode", "relapse", 2.0).c_index.value > 0.6
    assert EvaluationReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    print_report(report)
    assert "risk of relapse" in capsys.readouterr().err


def test_hazards_are_refused_where_nothing_ends(arguments, tmp_path, capsys):
    assert main(arguments(tmp_path / "run", "+hazards@model.hazards=linear")) != 0
    assert "hazards without outcomes" in capsys.readouterr().err


def test_factories_take_hazards_as_a_partial(lines):
    cohort, _ = lines
    model = risky_model(cohort, hidden=4)
    assert isinstance(model.hazards, Hazards) and isinstance(partial(Hazards, hidden=4), partial)
