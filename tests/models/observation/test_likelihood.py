"""The likelihood of every head: normalised, finite however far out, and the true one where that can be computed."""

import itertools
import math

import pytest
import torch

from neurotwin.heads import Head
from neurotwin.models import Prediction, joint_gaussian_nll
from neurotwin.models.observation.interval import log_interval
from neurotwin.models.observation.records import Records

INF = math.inf


def interval(low, high):
    return log_interval(torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32))


def reference(low, high):
    """Of a truncated normal, in double precision."""
    a, b = (torch.tensor(end, dtype=torch.float64) for end in (low, high))
    flip = a > 0
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
    log_a, log_b = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    value = log_b + torch.log(-torch.expm1(log_a - log_b))
    density = [torch.exp(-0.5 * end**2 - value) / math.sqrt(2 * math.pi) for end in (a, b)]
    slope = density[0] - density[1]
    pulled = [torch.where(torch.isinf(end), 0.0, end * one) for end, one in zip((a, b), density, strict=True)]
    return value, torch.where(flip, -slope, slope), slope**2 + pulled[1] - pulled[0]


def test_the_interval_of_a_normal_variable_and_its_moments():
    widths, centres = [0.05, 0.3, 1, 4, 30], [-12, -5, -1, -0.2, 0, 0.7, 3, 9]
    low = [c - w / 2 for w in widths for c in centres] + [-INF, -INF, -3.0, 0.5]
    high = [c + w / 2 for w in widths for c in centres] + [-4.0, 2.0, INF, INF]
    for found, expected in zip(interval(low, high), reference(low, high), strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=2e-4, atol=2e-4)


def test_a_narrow_interval_is_a_density_times_its_width():
    centre = torch.tensor([-30.0, -2.0, 0.0, 5.0])
    value, slope, curvature = log_interval(centre - 5e-4, centre + 5e-4)
    density = -0.5 * centre**2 - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(value, density + math.log(1e-3), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(slope, centre, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(curvature, torch.ones(4), rtol=0, atol=1e-4)


def test_values_and_gradients_are_finite_however_far_out():
    far = [1e2, 1e4, 1e6, 1e12]
    low = torch.tensor([*far, *(-x for x in far), -INF, -INF, 1e3, -1e4, -INF], requires_grad=True)
    high = torch.tensor([*(x * 1.01 for x in far), *(-x * 0.99 for x in far), -1e6, 1e6, INF, 1e4, INF])
    found = log_interval(low, high)
    sum(part.sum() for part in found).backward()
    assert all(torch.isfinite(part).all() for part in found) and torch.isfinite(low.grad).all()
    assert (found[0] <= 0).all() and ((found[2] >= 0) & (found[2] <= 1)).all()


HEADS = {
    "ordinal": Head("ordinal", low=0.0, high=30.0, step=1.0),
    "stage": Head("ordinal", low=1.0, high=4.0, step=1.0),
    "half": Head("ordinal", low=0.0, high=1.0, step=0.5),
    "bernoulli": Head("bernoulli", low=0.0, high=1.0, step=1.0),
    "count": Head("count", "log", 1.0, 0.0, INF, 1.0),
}


def values_of(head, most=4000):
    high = head.high if math.isfinite(head.high) else most
    return torch.arange(round((high - head.low) / head.step) + 1) * head.step + head.low


def nll(records, location, scale, value, censor=None):
    """Of single records: values ``[n]`` of one variable, one forecast."""
    n = len(value)
    prediction = Prediction(location.expand(n, 1, 1, -1), scale.expand(n, 1, 1), None)
    table = value.view(n, 1, 1)
    cells = records.cells(table)
    censor = torch.zeros_like(table) if censor is None else censor
    return joint_gaussian_nll(prediction, table, torch.ones_like(table), censor, cells, records.degrees)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    ("place", "scale", "spread"), [(0.3, 0.5, 0.0), (1.2, 0.05, 0.4), (-3.0, 2.0, 1.0), (2.5, 1, 3)]
)
def test_probabilities_sum_to_one(name, place, scale, spread):
    head = HEADS[name]
    if name == "count" and scale + spread > 1.5:
        scale, spread = 0.3, 0.2  # a log-normal so wide needs more than the thousands summed here
    location = torch.tensor([place - spread, place + spread])
    loss = nll(Records([head]), location, torch.tensor(float(scale)), values_of(head))
    assert float(torch.exp(-loss.double()).sum()) == pytest.approx(1, abs=1e-5)


def test_a_bounded_value_has_a_density_inside_and_mass_at_the_ends():
    records = Records([Head("bounded", low=0.0, high=1.0)])
    inner = torch.linspace(0, 1, 20_001)[1:-1]
    loss = nll(
        records, torch.tensor([0.1, 0.9]), torch.tensor(0.3), torch.cat([inner, torch.tensor([0.0, 1.0])])
    ).double()
    inside, ends = torch.exp(-loss[:-2]), torch.exp(-loss[-2:])
    total = (
        float(torch.trapezoid(inside, inner.double())) + float(inside[0] + inside[-1]) * 5e-5 / 2 + float(ends.sum())
    )
    assert ends.min() > 0.05 and total == pytest.approx(1, abs=1e-4)


def test_a_student_t_integrates_to_one_and_has_the_variance_that_is_told():
    records = Records([Head("student_t", degrees_of_freedom=5.0)])
    value = torch.linspace(-400, 400, 800_001, dtype=torch.float64)
    density = torch.exp(-nll(records, torch.tensor([0.4], dtype=torch.float64), torch.tensor(0.7).double(), value))
    assert float(torch.trapezoid(density, value)) == pytest.approx(1, abs=1e-5)
    assert float(torch.trapezoid(density * (value - 0.4) ** 2, value)) == pytest.approx(0.49, rel=1e-3)


def course(head, n_draws=6, n_rows=3, seed=0):
    torch.manual_seed(seed)
    location = torch.randn(1, n_rows, 1, n_draws, dtype=torch.float64) + 0.5
    return Prediction(location, torch.full((1, n_rows, 1), 0.6, dtype=torch.float64), None), Records([head]).double()


def joint(prediction, records, value):
    table = torch.tensor(value, dtype=torch.float64).view(1, -1, 1)
    one, zero = torch.ones_like(table), torch.zeros_like(table)
    return joint_gaussian_nll(prediction, table, one, zero, records.cells(table), records.degrees)


@pytest.mark.parametrize("name", ["bernoulli", "half", "stage"])
def test_all_courses_of_several_visits_sum_to_one(name):
    prediction, records = course(HEADS[name])
    total = sum(
        float(torch.exp(-joint(prediction, records, value)))
        for value in itertools.product(values_of(HEADS[name]).tolist(), repeat=3)
    )
    assert total == pytest.approx(1, abs=1e-6)


def test_the_probability_of_a_course_is_that_of_samples():
    """Moment by moment is an approximation from the second visit on; here it is within the sampling error of 1e-3."""
    prediction, records = course(HEADS["bernoulli"])
    flat = prediction.location.flatten(1, 2)[0]
    covariance = (flat - flat.mean(1, keepdim=True)) @ (flat - flat.mean(1, keepdim=True)).T / flat.shape[1]
    normal = torch.distributions.MultivariateNormal(flat.mean(1), covariance + 0.36 * torch.eye(3, dtype=torch.float64))
    torch.manual_seed(1)
    drawn = normal.sample((400_000,)) > 0.5
    for value in itertools.product([0.0, 1.0], repeat=3):
        sampled = float((drawn == (torch.tensor(value) > 0.5)).all(1).double().mean())
        assert float(torch.exp(-joint(prediction, records, value))) == pytest.approx(sampled, abs=5e-3)


def test_narrow_steps_are_the_joint_gaussian():
    """Values that are rounded to a fiftieth of the noise: the joint density times the widths of the cells."""
    prediction, records = course(Head("ordinal", low=-1.0, high=1.0, step=0.0125))
    value = torch.tensor([0.25, -0.5, 0.1], dtype=torch.float64).view(1, 3, 1)
    one, zero = torch.ones_like(value), torch.zeros_like(value)
    rounded = joint_gaussian_nll(prediction, value, one, zero, records.cells(value), records.degrees)
    exact = joint_gaussian_nll(prediction, value, one, zero)
    torch.testing.assert_close(rounded + 3 * math.log(0.0125), exact, rtol=1e-3, atol=1e-3)


def test_what_a_visit_tells_moves_the_probability_of_the_next():
    """Two visits whose latent values hang together: equal records are likelier than unequal ones."""
    location = torch.tensor([-1.0, 2.0], dtype=torch.float64).expand(1, 2, 1, 2)
    prediction = Prediction(location, torch.full((1, 2, 1), 0.3, dtype=torch.float64), None)
    records = Records([HEADS["bernoulli"]]).double()
    same, other = (joint(prediction, records, value) for value in ([1.0, 1.0], [1.0, 0.0]))
    assert float(other - same) > 1


def test_gradients_are_finite_for_forecasts_that_are_far_off():
    heads = [*HEADS.values(), Head("bounded", low=0.0, high=1.0), Head("student_t", degrees_of_freedom=3.0), Head()]
    records, n = Records(heads), 8
    for place, scale in [(0.0, 0.02), (80.0, 0.02), (-80.0, 0.02), (1e3, 1e-3), (0.0, 1e3)]:
        location = (torch.randn(2, 5, n, 4) + place).requires_grad_()
        width = torch.full((2, 5, n), scale, requires_grad=True)
        value = torch.tensor([30.0, 1.0, 0.5, 0.0, 3.0, 1.0, 5.0, 2.0]).expand(2, 5, n).clone()
        cells = records.cells(value)
        cells = tuple(torch.where(records.is_exact > 0, value, end) for end in cells)
        mask, censor = torch.ones_like(value), torch.zeros_like(value)
        censor[:, 1], censor[:, 2], mask[:, 3] = -1, 1, 0
        loss = joint_gaussian_nll(Prediction(location, width, None), value, mask, censor, cells, records.degrees)
        loss.sum().backward()
        assert torch.isfinite(loss).all() and torch.isfinite(location.grad).all() and torch.isfinite(width.grad).all()


@pytest.mark.parametrize("name", ["bernoulli", "ordinal", "count"])
def test_gradients_are_those_of_finite_differences(name):
    prediction, records = course(HEADS[name])
    value = values_of(HEADS[name], most=5)[[0, 1, -1]].tolist()

    def loss(location, scale):
        return joint(Prediction(location, scale, None), records, value)

    inputs = (prediction.location.requires_grad_(), prediction.scale.requires_grad_())
    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_single_draw_scores_all_values_at_once_as_one_by_one(seed):
    heads = [*HEADS.values(), Head("bounded", low=0.0, high=1.0), Head("student_t", degrees_of_freedom=3.0), Head()]
    records, random = Records(heads), torch.Generator().manual_seed(seed)
    shape = (3, 4, len(heads))
    location = torch.randn(*shape, 1, generator=random).requires_grad_()
    width = (0.2 + torch.rand(shape, generator=random)).requires_grad_()
    value, censor = torch.randint(0, 2, shape, generator=random).float(), torch.zeros(shape)
    mask = (torch.rand(shape, generator=random) < 0.8).float()
    censor[0, 0, -1] = 1.0
    # Two equal draws have nothing between them either, but are scored one by one.
    scored = []
    for draws in (1, 2):
        prediction = Prediction(location.expand(*shape, draws), width, None)
        loss = joint_gaussian_nll(prediction, value, mask, censor, records.cells(value), records.degrees)
        scored.append((loss, *torch.autograd.grad(loss.sum(), [location, width])))
    for alone, twice in zip(*scored, strict=True):
        torch.testing.assert_close(alone, twice, rtol=1e-4, atol=1e-5)
