"""An ensemble answers with the draws of all its members, from one packed state."""

import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.events import Queries
from neurotwin.models import Ensemble
from neurotwin.scaling import Scaling
from neurotwin.solvers import Heun, Rk4, Rows

N = 12


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


def ensemble_of(cohort, *members):
    return Ensemble(members, Scaling.fit(cohort.part("train"))).eval()


@pytest.fixture(scope="module")
def members(cohort):
    return [
        toy_model(cohort, seed=0),
        toy_model(cohort, seed=1, memory=5),
        toy_model(cohort, "population_ode", seed=2),
    ]


@pytest.fixture(scope="module")
def ensemble(cohort, members):
    return ensemble_of(cohort, *members)


def past(cohort):
    return rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0]


def plan(cohort):
    return rows_of(cohort, doses=cohort.doses, queries=Queries.of(list(range(N)) * 2, [1.0] * N + [6.0] * N))[0]


def test_the_packed_state_holds_those_of_all_members(ensemble, members, cohort):
    part = ensemble.unpack(assimilated(ensemble, cohort, past(cohort)))
    for member, core in zip(members, part["core"].split(ensemble.sizes, dim=-1), strict=True):
        alone = member.unpack(assimilated(member, cohort, past(cohort)))
        assert torch.equal(alone["core"], core)
        assert all(torch.equal(alone[name], part[name]) for name in ("static", "clock", "last", "seen", "visits"))


def test_its_draws_are_those_of_its_members(ensemble, members, cohort):
    with torch.no_grad():
        together = ensemble.forecast(assimilated(ensemble, cohort, past(cohort)), plan(cohort))
        alone = [member.forecast(assimilated(member, cohort, past(cohort)), plan(cohort)) for member in members]
    assert together.location.shape[-1] == ensemble.n_draws == 12
    assert torch.equal(together.location, torch.cat([item.location for item in alone], dim=-1))
    torch.testing.assert_close(together.scale**2, sum(item.scale**2 for item in alone) / 3)
    # Members that disagree make it less sure than they are on average.
    assert (together.deviation**2 - sum(item.deviation**2 for item in alone) / 3).min() > -1e-6


def test_streaming_equals_the_batch_and_padding_changes_no_bit(ensemble, cohort):
    rows = past(cohort)
    whole, half = assimilated(ensemble, cohort, rows), rows.dt.shape[1] // 2
    first = assimilated(ensemble, cohort, Rows(*(field[:, :half] for field in rows)))
    rest = Rows(*(field[:, half:] for field in rows))
    torch.testing.assert_close(assimilated(ensemble, cohort, rest, state=first, fresh=False), whole)
    padded = Rows(*(torch.cat([field, torch.zeros_like(field[:, :1])], dim=1) for field in rows))
    assert torch.equal(assimilated(ensemble, cohort, padded), whole)


def test_the_step_error_is_told_where_all_members_tell_one(cohort):
    heun = [toy_model(cohort, solver=Heun(1.0), seed=seed) for seed in (0, 1)]
    telling, silent = ensemble_of(cohort, *heun), ensemble_of(cohort, heun[0], toy_model(cohort, solver=Rk4(1.0)))
    for model, told in ((telling, True), (silent, False)):
        with torch.no_grad():
            answer = model.forecast(assimilated(model, cohort, past(cohort)), plan(cohort))
        assert model.has_error is told and (answer.error is not None) is told


def test_one_member_that_replays_makes_all_replay(cohort):
    assert not ensemble_of(cohort, *(toy_model(cohort, "gru", seed=seed) for seed in (0, 1))).recursive


def test_members_that_do_not_fit_are_refused(cohort):
    first, others = toy_model(cohort), toy_cohort(60, seed=3)
    with pytest.raises(ConfigError, match="1 member; at ensemble; expected at least 2"):
        ensemble_of(cohort, first)
    for wrong, what in (
        (toy_model(cohort, draws=8), "draws"),
        (toy_model(cohort, solver=Rk4(2.0)), "max_step"),
        (toy_model(others), "scaling"),
        (toy_model(toy_cohort(12, statics=False)), "schema"),
    ):
        with pytest.raises(ConfigError, match=f"member 2 has another {what} than the first"):
            ensemble_of(cohort, first, wrong)


@pytest.mark.full
def test_it_exports_at_parity(cohort, tmp_path):
    from toys import source_of

    from neurotwin.export import export_bundle
    from neurotwin.export.parity import TOLERANCE

    larger = toy_cohort(50)
    scaling = Scaling.fit(larger.part("train"))
    model = Ensemble([toy_model(larger, seed=seed) for seed in (0, 1)], scaling).eval()
    done = export_bundle(source_of(model, larger, tmp_path), tmp_path / "toy@0.1.0", timelines=100)
    assert max(done.parity.values()) <= TOLERANCE
