"""bayes_ode: exact where exactness is known, and what it owes training, forecasts and graphs."""

import math

import pytest
import torch
from toys import MAX_STEP, assimilated, rows_of, toy_cohort

from neurotwin.errors import ConfigError
from neurotwin.events import Queries
from neurotwin.models import BayesOde
from neurotwin.scaling import Scaling
from neurotwin.solvers import Euler, Heun, Rk4, Rows

LOG_2_PI = math.log(2 * math.pi)


def model_of(cohort, solver=None, **more):
    torch.manual_seed(1)
    given = {"patient": 3, "hidden": 8, "draws": 4, **more}
    return BayesOde(cohort.schema, Scaling.fit(cohort.part("train")), solver or Rk4(MAX_STEP), **given).eval()


def dense_rows(value, mask, dt, n_control):
    """Rows of subjects without doses, in double precision."""
    nothing, given = torch.zeros_like(dt), torch.zeros(*dt.shape, n_control, dtype=dt.dtype)
    return Rows(dt, given, given, value, mask, torch.zeros_like(mask), nothing, nothing)


def condition(mean, covariance, design, value, noise):
    """Posterior and log density of ``value = design x + e`` by dense linear algebra; ``noise`` the variances of e."""
    total = design @ covariance @ design.T + torch.diag(noise)
    gain = torch.linalg.solve(total, design @ covariance).T
    off = value - design @ mean
    log_density = -0.5 * (off @ torch.linalg.solve(total, off) + torch.logdet(total) + len(value) * LOG_2_PI)
    return mean + gain @ off, covariance - gain @ design @ covariance, log_density


@pytest.mark.parametrize("relative", [True, False])
def test_without_error_of_measurement_it_is_linear_regression_of_increments(relative):
    cohort = toy_cohort(12)
    model = model_of(cohort, Euler(1.0), relative=relative, least_noise=1e-7).double()
    model.value_noise.data.fill_(-8.0)
    generator = torch.Generator().manual_seed(3)
    steps = 0.05 * torch.randn(1, 9, 2, generator=generator, dtype=torch.float64)
    value, dt = steps.cumsum(1), torch.ones(1, 9, dtype=torch.float64)
    dt[:, 0] = 0.0
    rows = dense_rows(value, torch.ones_like(value), dt, 2)
    jump = torch.randn(1, 9, 2, generator=generator, dtype=torch.float64).abs()
    rows = rows._replace(jump=jump * (dt > 0).unsqueeze(-1))
    static, clock = torch.zeros(1, 6, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    with torch.no_grad():
        core = model.initial(static)
        before = model.unpacked(core)
        course = model.act(core, rows, clock, static, observe=True)
        after = model.unpacked(course.final)
        # The first visit tells of z by what the two have in common.
        first = before.covariance[0, :2, :2]
        loading = before.covariance[0, 2:, :2] @ torch.linalg.inv(first)
        mean = loading @ (value[0, 0] - before.y[0])
        covariance = torch.eye(3).double() - loading @ before.covariance[0, :2, 2:]
        off = value[0, 0] - before.y[0]
        surprise = 0.5 * (off @ torch.linalg.solve(first, off) + torch.logdet(first) + 2 * LOG_2_PI)
        stretch = (model.scaler.deviation * model.scaler.is_log * float(relative)).double()
        memory, t = torch.zeros(1, 4).double(), torch.zeros(1).double()
        rates = 1 / model.solver.max_step * torch.tensor([1.0, 1.0, 0.1, 0.1]).double()
        for row in range(1, 9):
            memory = memory + rows.jump[:, row].repeat(1, 2)
            scaled = t / model.scaler.time
            told = torch.cat([memory, torch.zeros(1, 2).double(), static, (scaled / (2 + scaled)).unsqueeze(-1)], -1)
            design, slope = (
                model.filter.field.linearised(value[:, row - 1], told, torch.zeros(1, 3).double())[item][0]
                / model.scaler.time
                for item in (1, 0)
            )
            change = value[0, row] - value[0, row - 1]
            growth = torch.where(stretch > 0, torch.expm1(stretch * change) / stretch.clamp(min=1e-9), change)
            noise = (torch.exp(5 * model.process_noise) + 1e-7).square() / model.scaler.time
            mean, covariance, found = condition(mean, covariance, design, growth - slope, noise)
            surprise = surprise - found - (stretch * change).sum()
            memory, t = memory * torch.exp(-rates), t + 1
    torch.testing.assert_close(after.z[0], mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(after.covariance[0, 2:, 2:], covariance, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(course.cost[0], surprise, rtol=1e-6, atol=1e-6)
    assert (mean.abs() > 0.01).any() and (covariance.diagonal() < 0.999).any()


@pytest.mark.parametrize("z", [-1.5, -0.5, 0.5, 1.5])
def test_growth_seen_after_days_and_with_error_has_nearly_the_posterior_of_quadrature(z):
    """dV/V = 0.15 z a day, measured every fourth day with an error of a twentieth: not Gaussian any more."""
    cohort = toy_cohort(12, treatments=False, statics=False)
    model = model_of(cohort, Euler(1.0), relative=True, least_noise=1e-7, use_clock=False).double()
    unit = float(model.scaler.deviation[0])
    daily, error = 0.15, 0.05
    with torch.no_grad():
        for item in (model.filter.field.last.weight, model.filter.field.last.bias, model.filter.field.direct.weight):
            item.zero_()
        model.filter.field.last.bias[2] = daily * model.scaler.time / unit
        model.start_loading.zero_()
        model.process_noise.fill_(-8.0)
        model.value_noise.fill_(math.log(error / unit) / 5.0)
        seen = torch.tensor([0, 4, 8])
        log_volume = seen * math.log1p(daily * z)
        value, mask = torch.zeros(1, 9, 2).double(), torch.zeros(1, 9, 2).double()
        value[0, seen, 0], mask[0, seen, 0] = log_volume.double() / unit, 1.0
        dt = torch.ones(1, 9).double()
        dt[:, 0] = 0.0
        core, clock, empty = (
            model.initial(torch.zeros(1, 0).double()),
            torch.zeros(1).double(),
            torch.zeros(1, 0).double(),
        )
        after = model.unpacked(model.act(core, dense_rows(value, mask, dt, 0), clock, empty, observe=True).final)
    grid = torch.linspace(-5, 5, 20_001).double()
    # Differences from the first measurement share its error.
    off = log_volume[1:].double() - seen[1:] * torch.log1p(daily * grid).unsqueeze(1)
    precision = torch.linalg.inv(error**2 * (torch.eye(2) + torch.ones(2, 2)).double())
    weight = torch.softmax(-0.5 * torch.einsum("gi,ij,gj->g", off, precision, off) - 0.5 * grid**2, 0)
    mean = (weight * grid).sum()
    sd = (weight * (grid - mean) ** 2).sum().sqrt()
    assert abs(after.z[0, 0] - mean) < 0.05 * sd
    assert 0.85 < after.covariance[0, 2, 2].sqrt() / sd < 1.2


def test_a_linear_system_has_the_posterior_of_dense_linear_algebra():
    """Irregular visits, missing channels, RK4: all values at once, as one jointly Gaussian vector."""
    cohort = toy_cohort(12, treatments=False, statics=False)
    model = model_of(cohort, Rk4(1.0), use_clock=False).double()
    field, generator = model.filter.field, torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in (field.last.weight, field.direct.weight):
            weight.zero_()
        field.direct.weight[:2, :2] = torch.tensor([[-0.6, 0.3], [0.2, -0.9]])
        field.last.bias.copy_(torch.randn(8, generator=generator))
        model.value_noise.fill_(-0.3)
    length, n_rows = torch.rand(12, generator=generator).double(), 12
    value = torch.randn(1, n_rows, 2, generator=generator).double()
    mask = (torch.rand(1, n_rows, 2, generator=generator) < 0.6).double()
    with torch.no_grad():
        empty, clock = torch.zeros(1, 0).double(), torch.zeros(1).double()
        core = model.initial(empty)
        before = model.unpacked(core)
        course = model.act(core, dense_rows(value * mask, mask, length.unsqueeze(0), 0), clock, empty, observe=True)
        after = model.unpacked(course.final)
        # x = (y0, z, noise of each row); each state is an affine function of it.
        noise = model.noises()
        size = 5 + 2 * n_rows
        mean, covariance = torch.zeros(size).double(), torch.zeros(size, size).double()
        mean[:2], covariance[:5, :5] = before.y[0], before.covariance[0]
        state, constant = torch.zeros(2, size).double(), torch.zeros(2).double()
        state[:, :2] = torch.eye(2)
        drift = field.last.bias.unflatten(0, (4, 2)).double()
        generator_of = torch.zeros(6, 6).double()
        generator_of[:2] = torch.cat([field.direct.weight[:2, :2], drift[1:].T, drift[:1].T], dim=1)
        designs, offsets, seen, noises = [], [], [], []
        for row in range(n_rows):
            step = generator_of * length[row] / model.scaler.time
            powers = [torch.eye(6).double()]
            for order in range(1, 5):  # what RK4 makes of the exponential
                powers.append(powers[-1] @ step / order)
            move = sum(powers)[:2]
            state, constant = move[:, :2] @ state, move[:, :2] @ constant + move[:, 5]
            state[:, 2:5] += move[:, 2:5]
            scale = torch.sqrt(noise.process * length[row] / model.scaler.time)
            place = slice(5 + 2 * row, 7 + 2 * row)
            covariance[place, place] = torch.eye(2)
            state[:, place] = torch.diag(scale)
            chosen = mask[0, row] > 0
            designs.append(state[chosen])
            offsets.append(constant[chosen])
            seen.append(value[0, row][chosen])
            noises.append(noise.value[chosen])
        design = torch.cat(designs)
        mean, covariance, found = condition(
            mean, covariance, design, torch.cat(seen) - torch.cat(offsets), torch.cat(noises)
        )
        last = torch.cat([state, torch.eye(5, size).double()[2:5]])
        where = last @ mean + torch.cat([constant, torch.zeros(3).double()])
    torch.testing.assert_close(torch.cat([after.y[0], after.z[0]]), where, rtol=0, atol=1e-8)
    torch.testing.assert_close(after.covariance[0], last @ covariance @ last.T, rtol=0, atol=1e-8)
    torch.testing.assert_close(course.cost[0], -found, rtol=0, atol=1e-8)


@pytest.fixture(scope="module")
def assimilated_toys():
    cohort = toy_cohort(12)
    model = model_of(cohort, draws=16)
    return cohort, model, assimilated(
        model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0]
    )  # fmt: skip


def asked(cohort, model, state, times):
    subjects = torch.arange(len(cohort)).repeat_interleave(len(times)).numpy()
    rows, _ = rows_of(cohort, queries=Queries.of(subjects, times * len(cohort)))
    with torch.no_grad():
        return model.forecast(state, rows)


def test_draws_have_the_posterior_covariance(assimilated_toys):
    cohort, model, state = assimilated_toys
    location = asked(cohort, model, state, [0.0]).location[:, 0]
    posterior = model.unpacked(model.unpack(state)["core"]).covariance[:, :2, :2]
    off = location - location.mean(-1, keepdim=True)
    torch.testing.assert_close(off @ off.transpose(1, 2) / 16, posterior, rtol=1e-3, atol=1e-7)


def test_noise_around_a_draw_grows_with_the_horizon(assimilated_toys):
    cohort, model, state = assimilated_toys
    scale = asked(cohort, model, state, [0.0, 4.0]).scale
    torch.testing.assert_close(scale[:, 0], torch.sqrt(model.noises().value).expand(12, -1), rtol=1e-5, atol=0)
    assert (scale[:, -1] > 1.2 * scale[:, 0]).all()


def test_without_draws_all_doubt_is_noise(assimilated_toys):
    cohort, many, state = assimilated_toys
    single = model_of(cohort, draws=1)
    single.load_state_dict({**many.state_dict(), "noise": single.noise})
    one, several = asked(cohort, single, state, [0.0]), asked(cohort, many, state, [0.0])
    torch.testing.assert_close(one.deviation, several.deviation, rtol=1e-3, atol=1e-5)


def test_the_past_costs_its_log_evidence_by_weight(assimilated_toys):
    cohort, model, _ = assimilated_toys
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)

    def cost(rows, **more):
        with torch.no_grad():
            blank, static = torch.zeros(12, model.state_size), torch.zeros(12, 3)
            asked = model_of(cohort, draws=16, **more)
            return asked.follow(blank, torch.ones(12), torch.zeros(12), static, static, rows)[1]

    torch.testing.assert_close(cost(rows, evidence=2.0), 2 * cost(rows))
    assert cost(rows, evidence=0.0) is None
    # A limit that the forecast lies on the right side of costs less than the same value, exactly seen.
    below, above = (cost(rows._replace(censor=side * rows.mask)) for side in (-1.0, 1.0))
    assert (below <= cost(rows)).all() and (above <= cost(rows)).all() and (below < above).any()


def test_the_step_error_is_told_by_a_solver_that_has_one():
    cohort = toy_cohort(12)
    model = model_of(cohort, Heun(MAX_STEP))
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations)[0])
    error = asked(cohort, model, state, [3.0]).error
    assert error.shape == (12, error.shape[1], 2) and (error[:, -1] > 0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("patient", 0), ("hidden", 2.5), ("evidence", -1.0), ("robust", -1.0), ("least_noise", 0.0), ("compartments", 0)],
)
def test_a_number_out_of_range_is_refused(name, value):
    with pytest.raises(ConfigError, match=rf"{name} is .*model\.{name}"):
        model_of(toy_cohort(12), **{name: value})
