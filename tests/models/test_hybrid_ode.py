"""A mechanism with personal parameters: what it infers, what it leaves alone, what it refuses, and its graphs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from simulator_cases import configured

from neurotwin.cohort import Cohort
from neurotwin.errors import ConfigError
from neurotwin.events import Doses, Observations
from neurotwin.models import HybridOde
from neurotwin.models.mechanism.links import Coordinates, Links
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.simulators.engine import solve
from neurotwin.simulators.epileptor import Epileptor
from neurotwin.simulators.geng_nsclc import GengNsclc
from neurotwin.simulators.geng_nsclc_daily import GengNsclcDaily
from neurotwin.simulators.geng_nsclc_map import roll_out
from neurotwin.simulators.mazzocco_glioma import MazzoccoGlioma
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.t1d_uvapadova import T1dUvaPadova
from neurotwin.simulators.vancomycin import Vancomycin
from neurotwin.solvers import Euler, Heun, Rk4, Rows

CASES = {
    "geng_nsclc": (
        GengNsclc,
        {"free": ["growth_rate", "chemo_sensitivity", "radio_alpha"], "start": ["initial_volume"]},
        "randomised_chemo_rt",
        2.0,
    ),
    "vancomycin": (Vancomycin, {"free": ["clearance", "central_volume"]}, "vancomycin_randomised", 4.0),
    "mazzocco_glioma": (
        MazzoccoGlioma,
        {"free": ["growth_rate", "drug_efficacy"], "start": ["initial_proliferative", "initial_quiescent"]},
        "tmz_randomised",
        0.25,
    ),
}


@pytest.fixture(scope="module")
def cohorts():
    """Small cohorts by simulator, made once."""
    made = {}

    def of(name):
        if name not in made:
            protocol = configured("protocol", CASES[name][2])
            whole = simulate(CASES[name][0](), configured("population", "published"), protocol, n_subjects=12, seed=3)
            # Courses of a few dozen rows are enough.
            short = 40 * CASES[name][3]
            made[name] = replace(
                whole,
                observations=whole.observations.take(whole.observations.time < short),
                doses=whole.doses.take(whole.doses.time < short),
            )
        return made[name]

    return of


def model_of(cohort, name, *, solver=None, seed=0, **more):
    mechanism, given, _, step = CASES[name]
    torch.manual_seed(seed)
    scaling = Scaling.fit(cohort)
    given = {"mechanism": mechanism(), "residual": 4, "draws": 4, "hidden": 8, "memory": 4, **given, **more}
    return HybridOde(cohort.schema, scaling, solver or Rk4(step), **given).eval()


def rows_of(cohort, step, *, observations=None, queries=None):
    from neurotwin.events import Queries
    from neurotwin.timeline import build_timeline

    n = len(cohort)
    timeline = build_timeline(
        start=np.zeros(n),
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=len(cohort.schema.variables),
        n_treatments=len(cohort.schema.treatments),
        observations=Observations.of([], [], [], []) if observations is None else observations,
        doses=cohort.doses,
        queries=Queries.of() if queries is None else queries,
        max_step=step,
    )
    return Rows.of(timeline)


def assimilated(model, cohort, rows, *, state=None):
    n = len(cohort)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    before = torch.zeros(n, model.state_size) if state is None else state
    with torch.no_grad():
        return model.assimilate(before, torch.full((n,), float(state is None)), torch.zeros(n), static, mask, rows)


@pytest.mark.parametrize("posterior", ["recursive", "encoder"])
@pytest.mark.parametrize("name", list(CASES))
def test_streaming_padding_and_shapes(cohorts, name, posterior):
    cohort = cohorts(name)
    model = model_of(cohort, name, posterior=posterior)
    rows = rows_of(cohort, CASES[name][3], observations=cohort.observations)
    whole = assimilated(model, cohort, rows)
    assert torch.isfinite(whole).all()
    half = rows.dt.shape[1] // 2
    first = assimilated(model, cohort, Rows(*(field[:, :half] for field in rows)))
    streamed = assimilated(model, cohort, Rows(*(field[:, half:] for field in rows)), state=first)
    torch.testing.assert_close(streamed, whole, rtol=1e-5, atol=1e-5)
    padded = Rows(*(torch.cat([field[:, :2], torch.zeros_like(field[:, :1]), field[:, 2:]], dim=1) for field in rows))
    assert torch.equal(assimilated(model, cohort, padded), whole)
    with torch.no_grad():
        said = model.forecast(whole, rows_of(cohort, CASES[name][3]))
    assert torch.isfinite(said.location).all() and (said.scale > 0).all()
    assert said.location.shape[-1] == 4 and said.location.std(-1).max() > 0
    belief = model.parameters_of(whole)
    assert belief.median.shape == (12, len(CASES[name][1]["free"])) and (belief.sd > 0).all()


@pytest.mark.parametrize("posterior", ["recursive", "encoder"])
def test_gradients_reach_every_parameter(cohorts, posterior):
    cohort = cohorts("geng_nsclc")
    model = model_of(cohort, "geng_nsclc", posterior=posterior).train()
    with torch.no_grad():
        model.mechanism.residual[-1].weight.normal_(0, 0.1)
    rows = rows_of(cohort, 2.0, observations=cohort.observations)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    state, cost = model.follow(torch.zeros(12, model.state_size), torch.ones(12), torch.zeros(12), static, mask, rows)
    said = model.forecast(state, rows_of(cohort, 2.0))
    (said.location.square().sum() + said.scale.sum() + cost.sum() + said.cost.sum()).backward()
    idle = [name for name, item in model.named_parameters() if item.grad is None or not item.grad.isfinite().all()]
    assert idle == []
    assert [name for name, item in model.named_parameters() if not item.grad.any()] == []


def tumours(n, *, noise, seed=0):
    """Lung tumours with known rates, seen daily, treated at random; the schema without an offset."""
    rng = np.random.default_rng(seed)
    truth = {
        "growth_rate": np.abs(rng.normal(0.006, 0.003, n)),
        "chemo_sensitivity": rng.normal(0.028, 0.008, n),
        "radio_alpha": rng.uniform(0.02, 0.12, n),
    }
    patients = GengNsclcDaily(**truth, radio_beta=0.0, initial_volume=np.exp(rng.normal(2, 1, n)))
    chemo, radio = (rng.random((n, 40)) < 0.3).astype(float), (rng.random((n, 40)) < 0.3).astype(float)
    volume, _ = roll_out(patients, chemo, radio, noise * rng.standard_normal((n, 40)))
    schema = Schema(
        name="daily",
        time_unit="d",
        variables=(GengNsclc.variables[0].model_copy(update={"offset": 0.0}),),
        treatments=GengNsclcDaily.treatments,
    )
    who, day = (item.ravel() for item in np.meshgrid(np.arange(n), np.arange(40), indexing="ij"))
    tables = []
    for index, flags in enumerate((chemo, radio)):
        given = np.nonzero(flags[:, :39])
        tables.append(Doses.of(given[0], given[1], np.nan, index, 1.0))
    seen = Observations.of(who, day, 0, volume.ravel())
    ids = [f"p{number}" for number in range(n)]
    cohort = Cohort.build(
        schema, ids, np.zeros((n, 0)), seen, Doses.concatenate(*tables), split_key="daily", provenance={}, truth=truth
    )
    return cohort, np.stack(list(truth.values()), axis=1), patients, (chemo, radio, volume)


def daily_model(cohort, **more):
    names = ["growth_rate", "chemo_sensitivity", "radio_alpha"]
    given = {
        "free": names,
        "start": ["initial_volume"],
        "links": dict.fromkeys(names, "identity"),
        "residual": 0,
        "relative": True,
    } | more
    mechanism = GengNsclcDaily(radio_beta=0.0, radio_alpha=0.06)
    return HybridOde(cohort.schema, Scaling.fit(cohort), Euler(1.0), mechanism=mechanism, **given).eval()


def test_one_euler_step_is_the_benchmarks_day():
    _, _, patients, (chemo, radio, volume) = tumours(5, noise=0.0)
    state = patients.initial_state(5)
    for day in range(39):
        state = patients.jump(state, np.stack([chemo[:, day], radio[:, day]], axis=1))
        slope = patients.vector_field(np.full(5, float(day)), state, np.zeros((5, 2)))
        state = np.stack([state[:, 0] * np.exp(slope[:, 0] / state[:, 0]), *(state + slope).T[1:]], axis=1)
        np.testing.assert_allclose(state[:, 0], volume[:, day + 1], rtol=1e-12)


def test_known_parameters_are_found_where_the_mechanism_is_true():
    cohort, truth, *_ = tumours(40, noise=0.01)
    model = daily_model(cohort)
    with torch.no_grad():
        model.state_noise.log_walk.fill_(math.log(0.01 * math.sqrt(model.scaler.time)) / 4)
        model.state_noise.log_assay.fill_(math.log(1e-4) / 4)
    state = assimilated(model, cohort, rows_of(cohort, 1.0, observations=cohort.observations))
    belief = model.parameters_of(state)
    found = belief.median.numpy()
    for column, least in enumerate((0.8, 0.85, 0.95)):
        assert np.corrcoef(truth[:, column], found[:, column])[0, 1] > least
    off = (model.mechanism.moving_links.of(torch.as_tensor(truth, dtype=torch.float32)) - belief.phi) / belief.sd
    # A belief that knows what it does not know: its standardised errors are standard.
    assert 0.8 < float(off.square().mean().sqrt()) < 1.25
    assert (belief.sd < 0.9 * belief.prior_sd).all()


def test_the_exact_recursion_is_bayesian_regression_of_increments():
    """With noiseless volumes, increments of a rate-linear mechanism are a regression: the same posterior, at once."""
    cohort, _, _, (chemo, radio, volume) = tumours(3, noise=0.01, seed=1)
    model = daily_model(cohort, robust=0.0)
    walk = 0.01
    with torch.no_grad():
        model.state_noise.log_walk.fill_(math.log(walk * math.sqrt(model.scaler.time)) / 4)
        model.state_noise.log_assay.fill_(math.log(1e-4) / 4)
    state = assimilated(model, cohort, rows_of(cohort, 1.0, observations=cohort.observations))
    belief = model.parameters_of(state)
    default = np.array([GengNsclc().growth_rate, 0.028, 0.06])
    for one in range(3):
        level, rows, seen = 0.0, [], []
        for day in range(39):
            level = 0.5 * level + 5.0 * chemo[one, day]
            size = volume[one, day]
            rows.append(default * [math.log(GengNsclc().carrying_capacity / size), -level, -2.0 * radio[one, day]])
            seen.append(volume[one, day + 1] / size - 1)
        design, growth = np.array(rows), np.array(seen)
        precision = design.T @ design / walk**2 + np.eye(3) / 0.25
        expected = np.linalg.solve(precision, design.T @ (growth - design.sum(axis=1)) / walk**2)
        sd = np.sqrt(np.diag(np.linalg.inv(precision)))
        np.testing.assert_allclose(belief.sd[one].numpy(), sd, rtol=0.1)
        assert (np.abs(belief.phi[one].numpy() - expected) < 0.4 * sd).all()


def test_what_only_doses_drive_follows_the_doses(cohorts):
    cohort = cohorts("geng_nsclc")
    model = model_of(cohort, "geng_nsclc")
    assert model.mechanism.structure.uncertain.tolist() == [True, False]
    rows = rows_of(cohort, 2.0, observations=cohort.observations)
    blind = rows._replace(mask=torch.zeros_like(rows.mask), value=torch.zeros_like(rows.value))
    concentration = [assimilated(model, cohort, item)[:, 1] for item in (rows, blind)]
    assert torch.equal(*concentration) and concentration[0].any()
    glioma = model_of(cohorts("mazzocco_glioma"), "mazzocco_glioma").mechanism.structure.uncertain
    names = [state.name for state in MazzoccoGlioma.states]
    assert [name for name, free in zip(names, glioma, strict=True) if free] == ["proliferative", "quiescent", "damaged"]


@pytest.mark.parametrize("posterior", ["recursive", "encoder"])
def test_the_observed_state_goes_on_from_what_was_seen(cohorts, posterior):
    cohort = cohorts("geng_nsclc")
    model = model_of(cohort, "geng_nsclc", posterior=posterior)
    if posterior == "encoder":
        with torch.no_grad():
            model.posterior.gain.bias.fill_(20.0)
    else:
        with torch.no_grad():
            model.state_noise.log_assay.fill_(-3.0)
    rows = rows_of(cohort, 2.0, observations=cohort.observations)
    state = assimilated(model, cohort, rows)
    shown, _ = model.head(model.unpack(state)["core"])
    assert (shown - model.unpack(state)["last"]).abs().median() < 0.02


def test_without_residual_or_spread_it_is_the_mechanism(cohorts):
    cohort = cohorts("vancomycin")
    model = model_of(cohort, "vancomycin", solver=Rk4(0.25))
    rows = rows_of(cohort, 0.25)
    state = assimilated(model, cohort, Rows(*(field[:, :1] * 0 for field in rows)))
    with torch.no_grad():
        course = model.act(
            model.unpack(state)["core"],
            model.scaler.rows(rows),
            torch.zeros(12),
            model.unpack(state)["static"],
            observe=False,
        )
    from neurotwin.timeline import build_timeline

    timeline = build_timeline(
        start=np.zeros(12), static=np.zeros((12, 0)), static_mask=np.zeros((12, 0)), n_variables=1, n_treatments=1,
        observations=Observations.of([], [], [], []), doses=cohort.doses, queries=_none(), max_step=0.25,
    )  # fmt: skip
    truth = solve(Vancomycin(), timeline).final
    found = model.mechanism.coordinates.natural(course.final[:, :2]).numpy()
    np.testing.assert_allclose(found, truth, rtol=1e-3, atol=0.05)


def _none():
    from neurotwin.events import Queries

    return Queries.of()


def test_the_residual_is_reported_and_penalised(cohorts):
    cohort = cohorts("geng_nsclc")
    model = model_of(cohort, "geng_nsclc")
    rows = rows_of(cohort, 2.0)
    state = assimilated(model, cohort, rows_of(cohort, 2.0, observations=cohort.observations))
    with torch.no_grad():
        assert not model.residual_share(state, rows).any() and not model.forecast(state, rows).cost.any()
        model.mechanism.residual[-1].bias.fill_(0.5)
        share, cost = model.residual_share(state, rows), model.forecast(state, rows).cost
        told = model.measures(state, rows)
    assert 0 < share[0] < 1 and share[1] == 0 and cost.sum() > 0
    assert told == {"residual_share_volume": share[0]}


def test_draws_are_the_same_for_every_plan(cohorts):
    cohort = cohorts("geng_nsclc")
    model = model_of(cohort, "geng_nsclc")
    state = assimilated(model, cohort, rows_of(cohort, 2.0, observations=cohort.observations))
    rows = rows_of(cohort, 2.0)
    with torch.no_grad():
        twice = model.forecast(torch.cat([state, state]), Rows(*(torch.cat([field, field]) for field in rows)))
        nothing = model.forecast(state, rows._replace(jump=0 * rows.jump))
        given = model.forecast(state, rows)
    torch.testing.assert_close(twice.location[:12], twice.location[12:])
    assert (given.location - nothing.location).abs().max() > 0.01


@pytest.mark.parametrize(
    ("mechanism", "more", "told"),
    [
        (Vancomycin(), {"free": ["clearance"]}, "counts time in h, the cohort in d"),
        (Epileptor(), {"free": ["x0"]}, "window"),
        (MazzoccoGlioma(), {"free": ["growth_rate"]}, "counts time in mo"),
        (T1dUvaPadova(), {"free": ["growth_rate"]}, "counts time|no parameter"),
        (GengNsclc(), {"free": []}, "different names"),
        (GengNsclc(), {"free": ["speed"]}, "no parameter 'speed'"),
        (GengNsclc(), {"free": ["growth_rate"], "links": {"pace": "log"}}, "a link for 'pace'"),
        (GengNsclc(), {"free": ["growth_rate"], "links": {"growth_rate": "cube"}}, "link 'cube'"),
        (GengNsclc(), {"free": ["initial_concentration"]}, "which no factor changes"),
        (GengNsclc(), {"free": ["growth_rate"], "variables": {"tumour_volume": "size"}}, "no variable 'size'"),
        (GengNsclc(), {"free": ["growth_rate"], "treatments": {"surgery": "chemotherapy"}}, "no treatment 'surgery'"),
        (GengNsclcDaily(), {"free": ["growth_rate"]}, "is in mg/m3 bolus"),
        (GengNsclc(), {"free": ["growth_rate"], "posterior": "guess"}, "posterior is 'guess'"),
        (GengNsclc(), {"free": ["growth_rate"], "penalty": -1.0}, "penalty is -1"),
    ],
)
def test_what_does_not_fit_is_refused(cohorts, mechanism, more, told):
    cohort = cohorts("geng_nsclc")
    with pytest.raises(ConfigError, match=told):
        HybridOde(cohort.schema, Scaling.fit(cohort), Rk4(1.0), mechanism=mechanism, **more)


@pytest.mark.parametrize("kind", ["log", "softplus", "identity"])
def test_links_go_back_and_do_not_overflow(kind):
    links = Links(["a"], [2.0], [kind])
    phi = torch.linspace(-0.9, 2, 7).unsqueeze(-1)
    torch.testing.assert_close(links.of(links.natural(phi)), phi, rtol=1e-4, atol=1e-5)
    assert float(links.natural(torch.zeros(1))) == pytest.approx(2.0)
    assert torch.isfinite(links.natural(torch.tensor([[1e30], [-1e30]]))).all()


def test_coordinates_go_back():
    coordinates = Coordinates([True, False], [1.0, 50.0])
    state = torch.tensor([[1e-6, -20.0], [3.0, 0.0]])
    torch.testing.assert_close(coordinates.natural(coordinates.of(state)), state)


def test_a_solver_with_an_error_estimate_tells_it(cohorts):
    cohort = cohorts("vancomycin")
    model = model_of(cohort, "vancomycin", solver=Heun(2.0))
    state = assimilated(model, cohort, rows_of(cohort, 2.0, observations=cohort.observations))
    with torch.no_grad():
        error = model.forecast(state, rows_of(cohort, 2.0)).error
    assert error.shape[-1] == 1 and (error >= 0).all() and error.max() > 0
