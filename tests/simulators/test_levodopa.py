"""Levodopa against reference values made by another solver, its closed form, its doses and its population."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators.levodopa import BETWEEN_SUBJECTS, VARIED, Levodopa
from neurotwin.simulators.linear import expm1_matrix, propagate_linear

COLUMNS = ("plasma", "tissue", "brain", "effect_site")


def oral(amount, interval, count):
    time = interval * np.arange(count)
    return Doses.of(np.zeros(count), time, np.full(count, np.nan), np.zeros(count), amount)


DOSES = {"100mg_q4h": oral(100.0, 4.0, 6), "200mg_q6h": oral(200.0, 6.0, 4)}


def errors(model, case, method="auto", **more):
    """Largest error per column, in units of the column's largest value."""
    theirs = golden("levodopa.json")[case]
    states, solution = states_at(model, np.array(theirs["time"]), DOSES[case], method=method, **more)
    assert not solution.status.any()
    seen = model.observe(states[0])
    mine = dict(zip(COLUMNS, states[0, :, 1:].T, strict=True))
    mine |= {"levodopa_concentration": seen[:, 0], "motor_response": seen[:, 1]}
    return {name: worst(value, theirs[name]) for name, value in mine.items()}


@pytest.mark.parametrize("case", DOSES)
@pytest.mark.parametrize(
    ("method", "tolerance"), [("closed_form", 1e-9), ("rk4", 1e-6), ("dop853", 1e-9), ("lsoda", 1e-7)]
)
def test_the_course_matches_the_reference(case, method, tolerance):
    """The second regimen was printed to eight digits."""
    assert max(errors(Levodopa(), case, method).values()) < max(tolerance, 5e-8 if case == "200mg_q6h" else 0)


@pytest.mark.parametrize("name", Levodopa.parameters)
def test_the_reference_notices_a_wrong_parameter(name):
    wrong = Levodopa(**{name: getattr(Levodopa(), name) * 1.0001})
    assert max(errors(wrong, "100mg_q4h").values()) > 1e-6


def test_the_whole_course_matches_the_reference():
    table = np.genfromtxt(reference("brain_parkinson_levodopa_suksai2026/100mg_q4h.csv"), delimiter=",", names=True)
    states, _ = states_at(Levodopa(), table["t_h"], DOSES["100mg_q4h"])
    seen = Levodopa().observe(states[0])
    for mine, name in zip(
        (*states[0, :, 1:].T, *seen.T),
        ("central_mg", "periph_mg", "brain_mg", "Ce_mg_L", "Cp_mg_L", "TRS_like"),
        strict=True,
    ):
        assert worst(mine, table[name]) < 1e-8, name
    # The reference shows the depot after a dose, a query at the same instant the depot before it.
    between = np.mod(table["t_h"], 4.0) > 1e-6
    assert worst(states[0, between, 0], table["depot_mg"][between]) < 1e-8


@pytest.mark.parametrize("case", DOSES)
def test_the_greatest_concentration_and_response(case):
    states, _ = states_at(Levodopa(), np.linspace(0, 24, 481), DOSES[case])
    greatest = Levodopa().observe(states[0]).max(axis=0)
    np.testing.assert_allclose(greatest, golden("levodopa.json")["greatest"][case], rtol=2e-5)


def test_drug_is_in_the_body_or_eliminated():
    time = np.linspace(0, 24, 1201)
    states, _ = states_at(Levodopa(), time, oral(100.0, 25.0, 1))
    eliminated = 0.35 * np.trapezoid(states[0, :, 1], time)
    assert states[0, -1, :4].sum() + eliminated == pytest.approx(100.0, rel=1e-4)
    assert (states >= 0).all()


def test_an_infusion_reaches_the_steady_state():
    infusion = Doses.of([0], [0.0], [400.0], [1], [35.0])
    states, _ = states_at(Levodopa(), [399.0], infusion)
    assert states[0, 0, 1] == pytest.approx(35.0 / 0.35, rel=1e-9)
    assert states[0, 0, 4] == pytest.approx(35.0 / (0.35 * 20.0), rel=1e-9)


def test_doses_add_up():
    """The equations are linear: tablets and overlapping infusions together are the sum of each alone."""
    time = np.array([1.0, 3.0, 5.0, 9.0])
    parts = [([0], [0.5], [np.nan], [0], [150.0]), ([0], [0.0], [6.0], [1], [20.0]), ([0], [2.0], [4.0], [1], [30.0])]
    alone = sum(states_at(Levodopa(), time, Doses.of(*part))[0] for part in parts)
    together, _ = states_at(Levodopa(), time, Doses.of(*(sum(column, []) for column in zip(*parts, strict=True))))
    np.testing.assert_allclose(together, alone, rtol=1e-11, atol=1e-12)


def test_the_response_after_a_long_pause_is_the_baseline():
    model = Levodopa(hill_coefficient=2.3)
    states, _ = states_at(model, [500.0, 5000.0], oral(100.0, 6000.0, 1))
    np.testing.assert_allclose(model.observe(states[0])[:, 1], 30.0, rtol=1e-9)
    assert model.observe(np.array([[0.0, 0.0, 0.0, 0.0, -1e-18]]))[0, 1] == 30.0


def test_the_exponential_of_matrices():
    """Against scipy, for rates that are equal (no basis of eigenvectors), slow, fast, and over long times."""
    rng = np.random.default_rng(0)
    rates = np.exp(rng.uniform(-6, 3, (20, 5, 5)))
    rates[0] = np.eye(5, k=1)  # all eigenvalues equal
    matrices = rates - np.einsum("bij,jk->bik", np.eye(5) * rates.sum(axis=1)[:, None, :], np.eye(5))
    for span in (1e-6, 0.01, 1.0, 24.0):
        theirs = np.stack([expm(matrix * span) for matrix in matrices])
        np.testing.assert_allclose(expm1_matrix(matrices * span) + np.eye(5), theirs, rtol=1e-11, atol=1e-13)
    tiny = expm1_matrix(1e-12 * matrices[1:])
    np.testing.assert_allclose(
        tiny, 1e-12 * matrices[1:], rtol=1e-6
    )  # where exp(M) - 1 would have lost all but four digits


def test_linear_equations_with_a_source_on_tensors():
    matrix = torch.tensor([[-2.0, 0.0], [2.0, -2.0]], dtype=torch.float64, requires_grad=True)
    state, source = torch.ones((3, 2), dtype=torch.float64), torch.full((3, 2), 0.5, dtype=torch.float64)
    span = torch.tensor([0.0, 0.7, 3.0], dtype=torch.float64)
    end = propagate_linear(matrix, source, span, state)
    flat = matrix.detach().numpy()
    steady = -np.linalg.solve(flat, [0.5, 0.5])
    for row, dt in enumerate(span.numpy()):
        np.testing.assert_allclose(end[row].detach(), steady + expm(flat * dt) @ (1 - steady), rtol=1e-13)
    assert torch.equal(end[0], state[0])
    assert torch.autograd.gradcheck(lambda m: propagate_linear(m, source, span, state), (matrix,))


def test_moments_of_the_population():
    people = Levodopa().proposed_population(20_000, np.random.default_rng(1))
    for name in VARIED:
        logs = np.log(people.parameters[name] / getattr(Levodopa(), name))
        assert abs(logs.mean()) < 0.01
        assert logs.std() == pytest.approx(np.sqrt(np.log1p(BETWEEN_SUBJECTS**2)), rel=0.03)
    assert "hill_coefficient" not in people.parameters


def test_bad_input_is_refused():
    with pytest.raises(SimulationError, match="hill_coefficient = 0.5 1.*1 to 20"):
        Levodopa(hill_coefficient=0.5)
    with pytest.raises(SimulationError, match="oral_levodopa = 1200 mg.*0 to 1000 mg at any one time"):
        states_at(Levodopa(), [1.0], Doses.of([0, 0], 0.0, np.nan, 0, 600.0))
