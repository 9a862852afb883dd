"""What is `NeuralOde`'s own: amounts at an instant are jumps, what is held over a period is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import SolverError
from neurotwin.events import Doses, Queries

N = 5


def held_only(cohort):
    """The same people in a schema whose first treatment, a bolus, is an infusion; what is given runs for a while."""
    first, *others = cohort.schema.treatments
    schema = cohort.schema.model_copy(update={"treatments": (first.model_copy(update={"kind": "infusion"}), *others)})
    given = cohort.doses
    return replace(
        cohort, schema=schema, doses=replace(given, end=np.where(given.is_bolus, given.time + 0.5, given.end))
    )


@pytest.mark.parametrize("name", ["neural_ode", "neural_flow"])
def test_a_schema_without_boluses_needs_no_jumps(name):
    cohort = held_only(toy_cohort(N))
    model = toy_model(cohort, name)
    assert not model.has_boluses and not hasattr(model, "impulse")
    past, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses, max_step=0.5)
    state = assimilated(model, cohort, past)
    queries = Queries.of(np.arange(N), 9.0)

    def answer(amount):
        doses = Doses.of(np.arange(N), 8.2, 8.8, 0, amount)
        rows, timeline = rows_of(cohort, queries=queries, doses=doses, max_step=0.5)
        return model.forecast(state, rows).location[torch.arange(N), torch.as_tensor(timeline.query_row)]

    assert torch.isfinite(answer(1.0)).all() and (answer(1.0) - answer(3.0)).abs().max() > 1e-6


def test_a_bolus_of_what_is_only_ever_held_is_refused():
    cohort = held_only(toy_cohort(N))
    rows, _ = rows_of(cohort, doses=Doses.of(np.arange(N), 1.0, np.nan, 0, 2.0), max_step=0.5)
    model = toy_model(cohort, "neural_ode")
    state = torch.zeros(N, model.state_size)
    with pytest.raises(SolverError, match="no jump is given"):
        model.forecast(state, rows)


def test_a_schema_with_a_bolus_has_jumps():
    assert toy_model(toy_cohort(N), "neural_ode").has_boluses
