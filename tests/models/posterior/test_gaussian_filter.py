"""The parts of the filter: charts, fields, memories, and Gaussian updates in single precision."""

import pytest
import torch

from neurotwin.models.posterior.chart import Chart
from neurotwin.models.posterior.exposure import Exposure
from neurotwin.models.posterior.gaussian_filter import conditioned, lower_factor, transported
from neurotwin.models.posterior.patient_field import PatientField

DOUBLE = torch.float64


def covariance_of(n, seed=0, dtype=DOUBLE, batch=3):
    square = torch.randn(batch, n, 2 * n, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return square @ square.transpose(1, 2)


def test_a_chart_and_its_inverse():
    chart = Chart(torch.tensor([[1.7, 0.0, 0.4]], dtype=DOUBLE))
    change = torch.linspace(-8, 8, 161, dtype=DOUBLE).unsqueeze(-1).expand(-1, 3).clone().requires_grad_()
    local, log_growth = chart.local(change)
    torch.testing.assert_close(chart.change(local), change)
    slope = torch.autograd.grad(local.sum(), change, retain_graph=True)[0]
    bent = torch.tensor([True, False, True])
    torch.testing.assert_close(slope[:, bent], torch.exp(log_growth)[:, bent])
    torch.testing.assert_close(slope[:, bent], chart.growth(local)[:, bent])
    assert (slope > 0).all() and (slope[:, 1] == 1).all() and (chart.growth(local)[:, 1] == 1).all()
    # Between its limits it is the relative change.
    torch.testing.assert_close(chart.local(torch.full((1, 3), 0.3, dtype=DOUBLE))[0][0, 0], torch.tensor(0.51).exp()
                               .double().sub(1).div(1.7), rtol=1e-6, atol=0)  # fmt: skip


def test_without_a_stretch_a_chart_is_the_scale_itself():
    change = torch.randn(4, 2)
    assert torch.equal(Chart(None).local(change)[0], change) and torch.equal(Chart(None).change(change), change)


def test_the_derivatives_of_the_field_are_those_of_autograd():
    torch.manual_seed(0)
    field = PatientField(n_obs=2, n_patient=3, n_known=4, hidden=7).double()
    y, known, z = (torch.randn(5, size, dtype=DOUBLE) for size in (2, 4, 3))
    slope, loading, by_y = field.linearised(y, known, z)
    torch.testing.assert_close(slope, field.slope(y, known, z))
    for given, found, place in ((z, loading, 2), (y, by_y, 0)):
        moved = given.clone().requires_grad_()
        told = [y, known, z]
        told[place] = moved
        for channel in range(2):
            expected = torch.autograd.grad(field.slope(*told)[:, channel].sum(), moved)[0]
            torch.testing.assert_close(found[:, channel], expected)


def test_a_memory_follows_its_equation():
    exposure = Exposure(n_control=2, compartments=2, fastest=2.0, slowest=0.5).double()
    memory, control = torch.rand(3, 4, dtype=DOUBLE), torch.rand(3, 2, dtype=DOUBLE)
    dosed = exposure.dosed(memory, control)
    torch.testing.assert_close(dosed - memory, control.repeat(1, 2))
    whole = exposure.after(dosed, control, torch.full((3,), 1.5, dtype=DOUBLE))
    halves = exposure.after(exposure.after(dosed, control, torch.full((3,), 0.7, dtype=DOUBLE)), control,
                            torch.full((3,), 0.8, dtype=DOUBLE))  # fmt: skip
    torch.testing.assert_close(whole, halves)
    short = exposure.after(dosed, control, torch.full((3,), 1e-7, dtype=DOUBLE))
    rate = torch.tensor([2.0, 2.0, 0.5, 0.5], dtype=DOUBLE)
    torch.testing.assert_close((short - dosed) / 1e-7, rate * (control.repeat(1, 2) - dosed), rtol=1e-5, atol=1e-6)
    assert torch.equal(exposure.after(dosed, control, torch.zeros(3, dtype=DOUBLE)), dosed)


def test_a_transported_covariance():
    before, flow, noise = covariance_of(5), torch.randn(3, 2, 5, dtype=DOUBLE), torch.rand(3, 2, dtype=DOUBLE)
    whole = torch.cat([flow, torch.eye(5, dtype=DOUBLE)[2:].expand(3, -1, -1)], dim=1)
    expected = whole @ before @ whole.transpose(1, 2)
    expected[:, [0, 1], [0, 1]] += noise
    torch.testing.assert_close(transported(before, flow, torch.diag_embed(noise)), expected)


def test_one_value_after_the_other_is_all_values_at_once():
    before, off = covariance_of(5), torch.randn(3, 2, dtype=DOUBLE)
    noise = torch.tensor([0.3, 0.8], dtype=DOUBLE)
    done = conditioned(before, off, torch.ones_like(off), noise, torch.zeros_like(off))
    total = before[:, :2, :2] + torch.diag(noise)
    gain = torch.linalg.solve(total, before[:, :2]).transpose(1, 2)
    torch.testing.assert_close(done.shift, (gain @ off.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(done.covariance, before - gain @ before[:, :2])
    density = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=DOUBLE), total).log_prob(off)
    torch.testing.assert_close(done.surprise, -density)


def test_what_was_not_seen_teaches_nothing():
    before, off = covariance_of(4), torch.randn(3, 2, dtype=DOUBLE)
    done = conditioned(before, off, torch.zeros_like(off), torch.ones(2, dtype=DOUBLE), torch.zeros_like(off))
    assert torch.equal(done.covariance, before) and not done.shift.any() and not done.surprise.any()


def test_nearly_exact_values_leave_a_covariance_in_single_precision():
    """Values a thousand times as exact as single precision resolves beside what was known before."""
    covariance = covariance_of(4, dtype=torch.float32)
    noise, off = torch.full((1,), 1e-10), torch.zeros(3, 1)
    flow = torch.tensor([[1.0, 0.01, 0.02, -0.03]]).expand(3, 1, 4)
    for _ in range(200):
        covariance = conditioned(covariance, off, torch.ones_like(off), noise, off).covariance
        assert (covariance[:, 0, 0] > 0).all() and (covariance[:, 0, 0] < 1.1e-10).all()
        covariance = transported(covariance, flow, torch.full((3, 1, 1), 1e-6))
    assert (torch.linalg.eigvalsh(covariance.double()) > 0).all()


def test_the_factor_of_a_covariance():
    covariance = covariance_of(6)
    torch.testing.assert_close(lower_factor(covariance), torch.linalg.cholesky(covariance))


@pytest.mark.parametrize("rank", [0, 2])
def test_the_factor_of_what_is_partly_certain(rank):
    thin = torch.randn(3, 4, max(rank, 1), generator=torch.Generator().manual_seed(1)) * float(rank > 0)
    covariance = (thin @ thin.transpose(1, 2)).requires_grad_()
    factor = lower_factor(covariance)
    torch.testing.assert_close(factor @ factor.transpose(1, 2), covariance, rtol=1e-4, atol=1e-5)
    factor.sum().backward()
    assert torch.isfinite(covariance.grad).all()


def test_a_wild_value_surprises_by_its_logarithm():
    covariance, noise = covariance_of(3, batch=4), torch.tensor([0.3], dtype=DOUBLE)
    width = torch.sqrt(covariance[:, 0, 0] + noise)
    none, seen = torch.zeros(4, 1, dtype=DOUBLE), torch.ones(4, 1, dtype=DOUBLE)

    def found(deviations, robust):
        return conditioned(covariance, (deviations * width).unsqueeze(1), seen, noise, none, robust)

    for deviations in (0.5, 2.9):
        torch.testing.assert_close(found(deviations, 3.0).surprise, found(deviations, 0.0).surprise)
    step = found(30.0, 3.0).surprise - found(3.0, 3.0).surprise
    torch.testing.assert_close(step, torch.full((4,), 10.0, dtype=DOUBLE).log())
    # What is believed afterwards is the same.
    assert torch.equal(found(30.0, 3.0).shift, found(30.0, 0.0).shift)
    assert torch.equal(found(30.0, 3.0).covariance, found(30.0, 0.0).covariance)
