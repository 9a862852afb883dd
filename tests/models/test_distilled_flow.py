"""The flow map: nothing changes at the start, how rows are cut makes no difference, and the teacher is kept."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.events import Doses, Queries
from neurotwin.models import DistilledFlow
from neurotwin.models.distilled_flow import PlanMemory
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows


def flow_of(cohort, teacher=None, seed=3, **sizes):
    teacher = teacher or toy_model(cohort)
    torch.manual_seed(seed)
    made = DistilledFlow(
        cohort.schema, Scaling.fit(cohort.part("train")), lambda *_: teacher, **{"hidden": 8, "rates": 3, **sizes}
    )
    torch.nn.init.normal_(made.flow.straight.weight, std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(12)


@pytest.fixture(scope="module")
def model(cohort):
    return flow_of(cohort)


@pytest.fixture(scope="module")
def state(model, cohort):
    return assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])


def plan(times, doses=None, n=12, max_step=1.0):
    queries = Queries.of(np.repeat(np.arange(n), len(times)), np.tile(times, n))
    rows, timeline = rows_of(toy_cohort(n), queries=queries, doses=doses, max_step=max_step)
    return rows, torch.as_tensor(timeline.query_row).reshape(n, -1)


def at(values, place):
    return values[torch.arange(len(place)).unsqueeze(1), place]


def given(n=12):
    """Two boluses and a period for each subject."""
    subject = np.arange(n)
    return Doses.concatenate(
        Doses.of(np.repeat(subject, 2), np.tile([1.0, 2.5], n), np.nan, 0, 3.0), Doses.of(subject, 0.5, 3.0, 1, 1.5)
    )


def test_the_state_is_the_teachers_to_the_bit(model, cohort, state):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    assert model.layout == model.teacher.layout
    assert torch.equal(assimilated(model.teacher, cohort, rows), state)


def test_at_the_start_a_forecast_is_the_teachers(model, state):
    rows, place = plan([0.0])
    with torch.no_grad():
        student, teacher = model.forecast(state, rows), model.teacher.forecast(state, rows)
    torch.testing.assert_close(at(student.location, place), at(teacher.location, place), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(at(student.scale, place), at(teacher.scale, place), rtol=1e-5, atol=1e-6)


def test_later_an_untrained_forecast_is_not(model, state):
    rows, place = plan([4.0])
    with torch.no_grad():
        student, teacher = model.forecast(state, rows), model.teacher.forecast(state, rows)
    assert (at(student.location, place) - at(teacher.location, place)).abs().max() > 1e-2


@pytest.mark.parametrize("max_step", [0.1, 50.0])
def test_how_rows_are_cut_makes_no_difference(model, state, max_step):
    times = [0.7, 2.5, 3.3, 6.0]
    with torch.no_grad():
        answers = []
        for step in (1.0, max_step):
            rows, place = plan(times, given(), max_step=step)
            answers.append(at(model.forecast(state, rows).location, place))
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-5)


def test_memories_are_the_integrals_that_they_are_said_to_be():
    torch.manual_seed(0)
    memory = PlanMemory(["bolus", "infusion"], 8.0, 3, 1)
    rows, place = plan([2.2, 6.0], given(1), n=1)
    with torch.no_grad():
        told = at(memory(rows, 1.0), place)[0]
    tau = (1 / memory.per_time).double()
    width, s = 2, torch.tensor([2.2, 6.0], dtype=torch.float64)
    with torch.no_grad():
        bolus = memory.of_bolus(torch.tensor([[3.0]]))[0].double().reshape(3, width)
        held = memory.of_held(torch.tensor([[1.5]]))[0].double().reshape(3, width)
    for row, time in enumerate(s.tolist()):
        fades = sum(torch.exp(-(time - when) / tau) for when in (1.0, 2.5) if when <= time)
        end = min(3.0, time)
        lasts = torch.exp(-(time - end) / tau) - torch.exp(-(time - 0.5) / tau)
        expected = torch.cat(
            [1 - torch.exp(-time / tau), (fades[:, None] * bolus).flatten(), (lasts[:, None] * held).flatten()]
        )
        torch.testing.assert_close(told[row].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_later_dose_changes_no_earlier_answer(model, state):
    late = Doses.of(np.arange(12), 5.0, np.nan, 0, 4.0)
    with torch.no_grad():
        (rows, place), (more, other) = plan([2.0, 6.0], given()), plan([2.0, 6.0], Doses.concatenate(given(), late))
        plain, dosed = at(model.forecast(state, rows).location, place), at(model.forecast(state, more).location, other)
    torch.testing.assert_close(plain[:, 0], dosed[:, 0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(plain[:, 1], dosed[:, 1], atol=1e-3)


def test_training_moves_the_flow_alone(model):
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all(name.startswith("flow.") for name in trained)
    assert not model.train().teacher.training and not model.eval().training


def test_a_long_plan_stays_a_number(model, state):
    """Half as long again as any that was seen: the bundle calls it degraded, but it must be told."""
    longest = 1.5 * model.flow.memory.horizon * model.scaler.time
    rows, place = plan([longest], given())
    with torch.no_grad():
        assert torch.isfinite(at(model.forecast(state, rows).location, place)).all()


@pytest.mark.parametrize("kind", ["gru", "neural_flow", "bayes_ode"])
def test_other_models_are_refused_by_name(cohort, kind):
    teacher = toy_model(cohort, kind)
    with pytest.raises(ConfigError, match=f"{type(teacher).__name__} cannot be distilled"):
        flow_of(cohort, teacher)


def test_sizes_are_looked_at(cohort):
    with pytest.raises(ValueError, match="rates"):
        flow_of(cohort, rates=1)


def test_one_draw_answers_as_a_mean(cohort):
    model = flow_of(cohort, toy_model(cohort, draws=1))
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    rows, _ = plan([1.0, 3.0], given())
    with torch.no_grad():
        told = model.forecast(state, Rows(*rows))
    assert told.location.shape[-1] == 1 and torch.equal(told.mean, told.location[..., 0])
    assert torch.equal(told.deviation, told.scale) and told.error is None
