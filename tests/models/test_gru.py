"""The recurrent baseline: what it is told of the last visit, and that its forecasts cannot explode."""

import pytest
import torch
from toys import MAX_STEP, assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.models import Gru
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rk4


def gru(cohort, **more):
    torch.manual_seed(0)
    return Gru(cohort.schema, Scaling.fit(cohort), Rk4(MAX_STEP), hidden=8, **more).eval()


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(12)


def history(cohort):
    return rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0]


def test_it_knows_of_the_last_visit_what_the_neural_ode_knows(cohort):
    model, other = toy_model(cohort, "gru"), toy_model(cohort, "neural_ode")
    rows = history(cohort)
    early = (torch.arange(rows.dt.shape[1]) < rows.dt.shape[1] // 2).float().view(1, -1, 1)
    rows = rows._replace(mask=rows.mask * early)  # time passes and doses are given after the last visit
    known = []
    for one in (model, other):
        core = one.unpack(assimilated(one, cohort, rows))["core"]
        known.append(core[:, one.n_learned :])
    assert known[0].shape == (12, model.recent.size) and (known[0].amax(0) > 0).all()
    torch.testing.assert_close(known[0], known[1], rtol=1e-4, atol=1e-5)


def test_a_forecast_is_a_change_from_the_last_value(cohort):
    model = gru(cohort)
    torch.nn.init.zeros_(model.output[-1].weight)
    torch.nn.init.zeros_(model.output[-1].bias)
    state = assimilated(model, cohort, history(cohort))
    part = model.unpack(state)
    torch.testing.assert_close(model.head(part["core"])[0], part["last"])


def test_its_mean_stays_near_its_median_however_little_it_knows(cohort):
    model = gru(cohort, widest=0.5)
    with torch.no_grad():
        model.output[-1].bias.fill_(1e4)
    scale = model.head(torch.zeros(1, model.layout["core"][1]))[1]
    assert scale.max() <= 0.5
    width = scale * model.scaler.deviation
    centre = torch.zeros(1, 2)
    mean, median = model.scaler.expected(centre, scale), model.scaler.natural(centre)
    torch.testing.assert_close((mean / median)[0, 0], torch.exp(width[0, 0] ** 2 / 2))


def test_without_recent_it_is_a_plain_network(cohort):
    model = gru(cohort, recent=False)
    assert model.layout["core"] == (0, 8) and model.n_learned == 8
    assert torch.isfinite(assimilated(model, cohort, history(cohort))).all()


def test_a_width_below_the_least_is_refused(cohort):
    with pytest.raises(ConfigError, match="widest is 0"):
        gru(cohort, widest=0.0)
