"""Neural CDE: what moves it is the path, and the path is causal."""

import numpy as np
import pytest
import torch
from toys import assimilated, rows_of, toy_cohort, toy_model

from neurotwin.events import Doses, Observations

N = 12
EVERYONE = np.arange(N)


@pytest.fixture(scope="module")
def cohort():
    return toy_cohort(N)


@pytest.fixture(scope="module")
def path_only(cohort):
    return toy_model(cohort, "neural_cde", intensity=False)


def core_after(model, cohort, observations, doses=None, until=4.0):
    """The core at a fixed time: the last row carries a dose of nothing there."""
    end = Doses.of(EVERYONE, until, np.nan, 0, 0.0)
    rows, _ = rows_of(cohort, observations=observations, doses=Doses.concatenate(*([doses] if doses else []), end))
    return model.unpack(assimilated(model, cohort, rows))["core"]


def seen(times, values):
    """Everybody's first variable at some times."""
    return Observations.of(
        np.repeat(EVERYONE, len(times)), np.tile(times, N), 0, np.tile(np.asarray(values, dtype=float), N)
    )


def test_a_value_measured_again_unchanged_moves_nothing(path_only, cohort):
    once = core_after(path_only, cohort, seen([1.0], [20.0]))
    again = core_after(path_only, cohort, seen([1.0, 2.0, 3.0], [20.0, 20.0, 20.0]))
    other = core_after(path_only, cohort, seen([1.0, 2.0, 3.0], [20.0, 24.0, 24.0]))
    torch.testing.assert_close(again, once, rtol=0, atol=1e-6)
    assert ((other - once).abs().amax(1) > 1e-3).all()


def test_with_intensity_the_sampling_of_a_constant_path_counts(cohort):
    model = toy_model(cohort, "neural_cde", intensity=True)
    once, again = (core_after(model, cohort, seen(times, [20.0] * len(times))) for times in ([1.0], [1.0, 2.0, 3.0]))
    assert ((again - once).abs().amax(1) > 1e-3).all()


def test_a_value_at_the_population_mean_is_not_the_same_as_none(path_only, cohort):
    mean = float(path_only.scaler.natural(torch.zeros(1, 2))[0, 0])
    none = core_after(path_only, cohort, Observations.of([], [], [], []))
    assert ((core_after(path_only, cohort, seen([1.0], [mean])) - none).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("intensity", [False, True])
def test_the_path_stands_exactly_where_the_events_led_it(cohort, intensity):
    model = toy_model(cohort, "neural_cde", intensity=intensity)
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    part = model.unpack(assimilated(model, cohort, rows))
    _, held, visits = part["core"].split(list(model.blocks), dim=-1)
    assert torch.equal(held, part["last"])
    expected = torch.log1p(rows.mask.sum(1)) if intensity else part["seen"]
    torch.testing.assert_close(visits, expected)


def test_one_move_along_a_line_is_two_moves_along_its_halves(path_only, cohort):
    """A reparametrised path has the same solution, up to the error of the steps."""
    state = torch.randn(N, sum(path_only.blocks), generator=torch.Generator().manual_seed(0))
    moves = 0.4 * torch.randn(N, path_only.n_path, generator=torch.Generator().manual_seed(1))
    t, static = torch.zeros(N), torch.zeros(N, path_only.n_static)
    with torch.no_grad():
        whole = path_only._moved(t, state, moves, static)
        halves = path_only._moved(t, path_only._moved(t, state, moves / 2, static), moves / 2, static)
    assert (whole - state).abs().max() > 0.1
    torch.testing.assert_close(halves, whole, rtol=0, atol=1e-4)


def test_hundreds_of_visits_do_not_blow_it_up(cohort):
    model = toy_model(cohort, "neural_cde")
    times = np.linspace(0, 40, 200).round(2)
    core = core_after(model, cohort, seen(times, np.where(np.arange(200) % 2, 5.0, 50.0)), until=41.0)
    assert torch.isfinite(core).all()
