"""What every surrogate owes the runtime: its layout, streaming, queries that change nothing, padding, doses, draws."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of

from neurotwin.events import Doses, Observations, Queries
from neurotwin.models import Gru, GruOdeBayes, NeuralFlow, NeuralMixed
from neurotwin.solvers import Rows

READ_AT_ONCE = (Gru, GruOdeBayes, NeuralFlow, NeuralMixed)
"""Models that read the locations of all rows in one matrix product."""


def plan_of(cohort, times, doses=None):
    queries = Queries.of(np.repeat(np.arange(len(cohort)), len(times)), np.tile(times, len(cohort)))
    rows, timeline = rows_of(cohort, queries=queries, doses=doses)
    return rows, torch.as_tensor(queries.subject, dtype=torch.int64), torch.as_tensor(timeline.query_row)


def answers(model, state, plan):
    rows, subject, row = plan
    with torch.no_grad():
        prediction = model.forecast(state, rows)
    return prediction.location[subject, row], prediction.scale[subject, row]


def in_rows(rows, chosen):
    return Rows(*(field[:, chosen] for field in rows))


def with_one_more_row(rows, where):
    """The same rows with a row of nothing."""
    return Rows(
        *(torch.cat([field[:, :where], torch.zeros_like(field[:, :1]), field[:, where:]], dim=1) for field in rows)
    )


def test_the_packed_state_is_laid_out_without_gaps(model):
    edges = list(model.layout.values())
    assert edges[0][0] == 0 and edges[-1][1] == model.state_size
    assert all(left[1] == right[0] for left, right in zip(edges, edges[1:], strict=False))


def test_shapes_of_a_forecast(model, cohort):
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    assert state.shape == (12, model.state_size) and torch.isfinite(state).all()
    rows, *_ = plan_of(cohort, [0.5, 3.7])
    with torch.no_grad():
        prediction = model.forecast(state, rows)
    shape = (12, rows.dt.shape[1], 2)
    assert prediction.location.shape == (*shape, model.n_draws) and prediction.scale.shape == shape
    assert (prediction.scale > 0).all()
    # A model that steps without a solver has no step error to tell.
    assert (prediction.error is not None) == model.has_error
    assert prediction.quantiles(model.scaler).shape == (*shape, 9) and prediction.draws(model.scaler).shape == (
        *shape,
        model.n_draws,
    )


def test_the_state_remembers_the_last_values_and_counts_visits(model, cohort):
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    part, seen = model.unpack(state), cohort.observations
    for subject in range(len(cohort)):
        mine = seen.take(seen.subject == subject)
        assert part["visits"][subject].item() == len(np.unique(mine.time))
        last = [mine.value[mine.variable == index][-1] for index in (0, 1)]
        expected = model.scaler.value(torch.tensor(last, dtype=torch.float32), torch.ones(2))
        torch.testing.assert_close(part["last"][subject], expected)


def test_streaming_equals_the_batch(model, cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    at_once = assimilated(model, cohort, rows)
    half = rows.dt.shape[1] // 2
    first = assimilated(model, cohort, in_rows(rows, slice(0, half)))
    streamed = assimilated(model, cohort, in_rows(rows, slice(half, None)), state=first, fresh=False)
    torch.testing.assert_close(streamed, at_once, rtol=1e-5, atol=1e-5)


def test_one_more_query_changes_no_other_answer(model, cohort):
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    few, many = plan_of(cohort, [1.5, 3.0, 4.0]), plan_of(cohort, [0.25, 1.5, 1.6, 3.0, 3.5, 4.0])
    kept = [1, 3, 5]
    (location, scale), (asked_location, asked_scale) = answers(model, state, few), answers(model, state, many)
    location, asked_location = location.unflatten(0, (12, 3)), asked_location.unflatten(0, (12, 6))[:, kept]
    # What is read off all rows in one matrix product has a rounding that may depend on their number.
    if isinstance(model, READ_AT_ONCE):
        torch.testing.assert_close(location, asked_location, rtol=1e-6, atol=1e-6)
    else:
        assert torch.equal(location, asked_location)
    torch.testing.assert_close(
        scale.unflatten(0, (12, 3)), asked_scale.unflatten(0, (12, 6))[:, kept], rtol=1e-6, atol=0
    )


def test_padding_changes_no_bit(model, cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    plain = assimilated(model, cohort, rows)
    for where in (0, 2, rows.dt.shape[1]):
        padded = assimilated(model, cohort, with_one_more_row(rows, where))
        if isinstance(model, NeuralMixed):  # sums over all rows at once: their rounding may depend on their number
            torch.testing.assert_close(padded, plain, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(padded, plain)


def test_events_change_the_state(model, cohort):
    """The counterpart of the tests that nothing changes: an observation does."""
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    core = slice(*model.layout["core"])
    blind = rows._replace(mask=torch.zeros_like(rows.mask), value=torch.zeros_like(rows.value))
    assert not torch.allclose(
        assimilated(model, cohort, rows)[:, core], assimilated(model, cohort, blind)[:, core], atol=1e-3
    )


def test_a_dose_of_nothing_changes_nothing_and_a_dose_something(model, cohort):
    if not cohort.schema.treatments:
        pytest.skip("no treatments in this schema")
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations)[0])
    everyone = np.arange(len(cohort))
    given = {
        amount: plan_of(cohort, [1.0, 2.0, 3.0], Doses.of(everyone, 1.5, np.nan, 0, amount)) for amount in (0.0, 4.0)
    }
    location = {amount: answers(model, state, plan)[0] for amount, plan in given.items()}
    rows = given[0.0][0]
    undosed = answers(model, state, (rows._replace(jump=torch.zeros_like(rows.jump)), *given[0.0][1:]))[0]
    assert torch.equal(location[0.0], undosed)
    before, after = (location[4.0] - undosed).abs().unflatten(0, (12, 3)).amax(dim=(0, 2, 3))[[0, 1]]
    assert before == 0 and after > 1e-4


def test_draws_are_antithetic(model, cohort):
    if model.n_draws == 1:
        assert not model.noise.any()
        return
    half = model.n_draws // 2
    assert torch.equal(model.noise[:half], -model.noise[half:])
    assert (model.noise.mean(0).abs() < 1e-7).all()
    # Columns of the core that are known have no spread; all others have variance 1.
    spread = model.noise.square().mean(0)
    assert (spread[:2] > 0.9).all() and ((spread - spread.round()).abs() < 1e-5).all() and spread.max() < 1.1
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    part = model.unpack(state)
    drawn = model.drawn(part)
    if model.learns_spread:
        torch.testing.assert_close(drawn.mean(1), part["core"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(drawn[:, :half] + drawn[:, half:], 2 * drawn.mean(1, keepdim=True).expand(-1, half, -1))
    # At the plan's start nothing has flowed yet: the courses begin where the draws are.
    location, _ = answers(model, state, plan_of(cohort, [0.0]))
    torch.testing.assert_close(location, model.head(drawn)[0].movedim(1, -1), rtol=1e-5, atol=1e-5)
    assert (location.std(-1) > 0).all()


def test_gradients_reach_every_parameter(model, cohort):
    observations = cohort.observations
    early, late = observations.take(observations.time < 3), observations.take(observations.time >= 3)
    history, _ = rows_of(cohort, observations=early, doses=cohort.doses.take(cohort.doses.time < 3))
    queries = Queries.of(late.subject, late.time)
    plan, _ = rows_of(cohort, queries=queries, doses=cohort.doses)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    model.zero_grad()
    state = model.assimilate(torch.zeros(12, model.state_size), torch.ones(12), torch.zeros(12), static, mask, history)
    prediction = model.forecast(state, plan)
    (prediction.location.square().sum() + prediction.scale.sum()).backward()
    unused = [
        name for name, item in model.named_parameters() if item.numel() and (item.grad is None or not item.grad.any())
    ]
    model.zero_grad()
    # Without treatments or covariates some weights have nothing to act on; with both, none may be idle.
    assert unused == [] or not (cohort.schema.treatments and cohort.schema.statics)
    assert not any(name.startswith(("learn", "visit", "gain", "output", "noise_scale", "spread")) for name in unused)


def test_subjects_do_not_touch_each_other(model, cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    together = assimilated(model, cohort, rows)
    one = np.array([5])
    alone = assimilated(model, cohort.take(one), Rows(*(field[5:6] for field in rows)))
    torch.testing.assert_close(alone[0], together[5], rtol=1e-5, atol=1e-6)


def test_an_odd_number_of_draws_is_refused(cohort):
    from toys import toy_model

    with pytest.raises(ValueError, match="even"):
        toy_model(cohort, draws=3)


def test_observations_of_one_instant_are_one_visit(model, cohort):
    twice = Observations.of([0, 0], [1.0, 1.0], [0, 1], [10.0, 80.0])
    state = assimilated(model, cohort, rows_of(cohort, observations=twice)[0])
    assert model.unpack(state)["visits"][:, 0].tolist() == [1.0] + [0.0] * 11
