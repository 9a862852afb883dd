"""No forecast sees the future, no test patient is trained on, and a score that cannot be is refused."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.cancer import run
from benchmarks.cancer.cohorts import SCHEMA, make_cohort
from benchmarks.cancer.evaluation import evaluate, impossible
from benchmarks.cancer.forecasters import REFERENCES
from benchmarks.cancer.particles import ParticleFilter
from benchmarks.cancer.references import FixedParameters, Persist, PosteriorMean, population_theta
from benchmarks.cancer.scoring import errors_of
from benchmarks.cancer.surrogates import CarriedSurrogate
from benchmarks.cancer.task import Past, forecast_rows
from benchmarks.cancer.tracks import TRACKS, measure

from neurotwin.scaling import Scaling

DAY = 9
CLEAN = TRACKS["clean"]


@pytest.fixture(scope="module")
def surrogates(small_sets):
    """An untrained model of each kind that the benchmark has from the start."""
    import torch

    from neurotwin.models import Gru, NeuralOde
    from neurotwin.solvers import Midpoint

    scaling = Scaling.fit(make_cohort(small_sets, CLEAN, gamma=4.0, seed=3).part("train"))
    torch.manual_seed(0)
    return {
        "gru": Gru(SCHEMA, scaling, Midpoint(1.0), hidden=8),
        "neural_ode": NeuralOde(SCHEMA, scaling, Midpoint(1.0), memory=4, hidden=8, draws=2),
    }


def forecaster(name, kind, surrogates):
    makers = {
        "persist": Persist,
        "popmean": lambda: FixedParameters(population_theta(kind)),
        "bayes": lambda: PosteriorMean(kind, 6),
        "particle": lambda: ParticleFilter(kind, 0.05, seed=0, n=16),
    }
    return makers[name]() if name in makers else CarriedSurrogate(surrogates[name], kind)


@pytest.mark.parametrize("name", ["persist", "popmean", "bayes", "particle", "gru", "neural_ode"])
def test_the_future_changes_no_forecast(small_sets, surrogates, name):
    test = small_sets.sliding
    seen = measure(test.volume, test.last - 1, TRACKS["thin50"], gamma=4.0, seed=3, part="sliding")
    if name == "bayes":
        seen = measure(test.volume, test.last - 1, CLEAN, gamma=4.0, seed=3, part="sliding")
    random = np.random.default_rng(0)
    later, chemo, radio = seen.copy(), test.chemo.copy(), test.radio.copy()
    later[:, DAY + 1 :] *= random.uniform(0.5, 2.0, later[:, DAY + 1 :].shape)
    chemo[:, DAY:], radio[:, DAY:] = 1 - chemo[:, DAY:], 1 - radio[:, DAY:]
    asked = test.day <= DAY + 2
    test = replace(test, **{field: getattr(test, field)[asked] for field in ("patient", "day", "plan", "outcome")})
    other = replace(test, chemo=chemo, radio=radio, volume=test.volume * 7, outcome=test.outcome * 7)
    first = forecast_rows(test, seen, forecaster(name, test.patients.kind, surrogates))
    second = forecast_rows(other, later, forecaster(name, test.patients.kind, surrogates))
    early = test.day <= DAY
    np.testing.assert_array_equal(first[early], second[early])
    assert not np.array_equal(first[~early], second[~early])  # what was altered does matter afterwards


@pytest.mark.parametrize("name", ["gru", "neural_ode"])
def test_a_carried_state_answers_as_the_timeline_of_a_training_patient(small_sets, surrogates, name):
    import torch

    from neurotwin.episodes import make_episodes
    from neurotwin.solvers import Rows

    model, day = surrogates[name].eval(), 5
    cohort = make_cohort(small_sets, CLEAN, gamma=4.0, seed=3)
    factual, kind = small_sets.train, small_sets.train_patients.kind
    # A recurrent network steps once more for a dose that nothing follows: no dose on the day of the last question.
    given = factual.chemo + factual.radio
    long = np.flatnonzero((factual.last >= day + 7) & (given[:, day + 6] == 0))
    episodes, _, kept = make_episodes(cohort.take(long), np.full(len(long), float(day)), min_visits=1, max_horizon=6.0)
    history, plan = episodes.history(1.0), episodes.plan(1.0)
    tensors = [
        torch.as_tensor(one, dtype=torch.float32) for one in (history.start, episodes.static, episodes.static_mask)
    ]
    with torch.no_grad():
        blank = torch.zeros(len(episodes), model.state_size)
        state = model.assimilate(blank, torch.ones_like(tensors[0]), *tensors, Rows.of(history))
        said = model.forecast(state, Rows.of(plan)).natural_mean(model.scaler)[..., 0].numpy()
    expected = said[episodes.queries.subject, plan.query_row].reshape(len(kept), 6)
    who = long[kept]
    carried = CarriedSurrogate(model, kind[who])

    for now in range(day + 1):
        carried.observe(
            Past(now, kind[who], factual.volume[who, : now + 1], factual.chemo[who, :now], factual.radio[who, :now])
        )
    plans = np.stack([factual.chemo, factual.radio], axis=-1)[who, day : day + 6]
    np.testing.assert_allclose(carried.forecast(np.arange(len(who)), plans), expected, rtol=2e-4)


def test_no_test_patient_is_in_the_cohort(small_sets):
    cohort = make_cohort(small_sets, CLEAN, gamma=4.0, seed=3)
    assert len(cohort) == 80 and len(cohort.part("train")) == 60
    tested = np.concatenate(
        [one.volume.ravel() for one in (small_sets.one_step, small_sets.sliding, small_sets.randomised)]
    )
    assert not np.isin(cohort.observations.value, tested[tested > 0]).any()
    # The other sets have no part in it, nor the validation patients in the scaling.
    without = replace(small_sets, one_step=None, sliding=None, randomised=None)
    assert (make_cohort(without, CLEAN, gamma=4.0, seed=3).observations.value == cohort.observations.value).all()
    validation = replace(small_sets.validation, volume=small_sets.validation.volume * 3)
    changed = make_cohort(replace(without, validation=validation), CLEAN, gamma=4.0, seed=3)
    assert Scaling.fit(changed.part("train")) == Scaling.fit(cohort.part("train"))
    assert (changed.observations.value != cohort.observations.value).any()


def test_outcomes_of_other_rows_are_not_foreseen(small_sets):
    test = small_sets.sliding
    seen = measure(test.volume, test.last - 1, CLEAN, gamma=4.0, seed=3, part="sliding")
    forecast = forecast_rows(test, seen, PosteriorMean(test.patients.kind, 6))
    shuffled = replace(test, outcome=np.random.default_rng(0).permutation(test.outcome))
    constant = np.broadcast_to(test.outcome.mean(0), test.outcome.shape)
    assert (errors_of(test, forecast).score < 0.2 * errors_of(test, constant).score).all()
    assert (errors_of(shuffled, forecast).score >= errors_of(shuffled, constant).score).all()


def test_a_score_that_cannot_be_stops_the_run(small_sets, tmp_path, monkeypatch):
    class Prophet:
        def __init__(self, test):
            self.test = test

        def observe(self, past):
            self.day = past.day

        def forecast(self, patient, plan):
            return np.nan_to_num(self.test.outcome[self.test.day == self.day])  # one step is not scored

    monkeypatch.setattr(run, "WORK", tmp_path)
    monkeypatch.setitem(REFERENCES, "bayes", lambda test, track: [PosteriorMean(test.patients.kind, 6)])
    honest = evaluate(small_sets, REFERENCES["bayes"], CLEAN, gamma=4.0, seed=3).errors
    leaking = evaluate(small_sets, lambda test, track: [Prophet(test)], CLEAN, gamma=4.0, seed=3).errors
    assert not impossible(honest, honest)
    assert set(impossible(leaking, honest)) == {"one_step", "sliding", "randomised"}
    run.judge("honest", honest, small_sets, 4.0, 3, CLEAN)
    with pytest.raises(run.LeakError, match="prophet, gamma 4, seed 3, clean: below bayes"):
        run.judge("prophet", leaking, small_sets, 4.0, 3, CLEAN)
