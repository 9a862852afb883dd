"""Tau on a network against reference values, what its Laplacian conserves, its drugs and its connectomes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm
from simulator_cases import golden, reference, states_at, worst

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.simulators import connectomes
from neurotwin.simulators.connectomes import LaplacianFile, Synthetic, combinatorial_laplacian
from neurotwin.simulators.tau_network import RATE_SD, TauNetwork

REFERENCE = "brain_tau_network_diffusion"


def normalised_laplacian(weights):
    """Symmetric-normalised: it does not conserve the total."""
    degree = np.sqrt(weights.sum(axis=1))
    return np.eye(len(weights)) - weights / np.outer(degree, degree)


@pytest.fixture(scope="module")
def measured():
    """Link strengths of a measured connectome, and a seeding in its regions 36 and 37."""
    seeding = np.zeros((2, 80))
    seeding[0, 36] = seeding[1, 37] = 1.0
    with np.load(reference(f"{REFERENCE}/laplacian.npz")) as content:
        return content["W"], seeding


def diffusion(measured, rate=0.15, laplacian=normalised_laplacian):
    weights, seeding = measured
    return TauNetwork(
        production_rate=0.0,
        spreading_rate=rate,
        seed_left=0.5,
        seed_right=0.5,
        seeding=seeding,
        laplacian=laplacian(weights),
    )


def diffusion_error(model, **more):
    table = np.loadtxt(reference(f"{REFERENCE}/ndm_expm.csv"), delimiter=",", skiprows=1)
    states, solution = states_at(model, table[:, 0], **more)
    assert not solution.status.any()
    return max(worst(states[0, :, region], table[:, region + 1]) for region in range(80))


@pytest.mark.parametrize("method", ["rk4", "dop853"])
def test_diffusion_matches_the_reference(measured, method):
    assert diffusion_error(diffusion(measured), method=method) < 1e-8


def test_the_diffusion_reference_notices_a_wrong_rate_and_another_laplacian(measured):
    assert diffusion_error(diffusion(measured, rate=0.15 * 1.0001), method="dop853") > 1e-6
    assert diffusion_error(diffusion(measured, laplacian=combinatorial_laplacian), method="dop853") > 1e-2


def production_error(measured, **change):
    theirs = golden("tau_network.json")
    model = replace(diffusion(measured), production_rate=0.35, seed_left=0.1, seed_right=0.1)
    states, solution = states_at(replace(model, **change), np.array(theirs["time"], dtype=float), method="dop853")
    assert not solution.status.any()
    return worst(states[0][:, theirs["region"]], theirs["burden"])


def test_diffusion_and_production_match_the_reference(measured):
    """Printed to eight digits."""
    assert production_error(measured) < 5e-8
    assert production_error(measured, production_rate=0.35 * 1.0001) > 1e-5
    assert production_error(measured, spreading_rate=0.15 * 1.0001) > 1e-6
    assert production_error(measured, seed_left=0.1001) > 1e-6


def test_only_the_combinatorial_laplacian_conserves_the_total(measured):
    """The normalised one turns a total of 1.00 into 1.14 within 40 years."""
    weights, _ = measured
    for laplacian, total in ((normalised_laplacian(weights), 1.13956), (combinatorial_laplacian(weights), 1.0)):
        model = replace(diffusion(measured), laplacian=laplacian)
        states, _ = states_at(model, [0.0, 40.0], method="dop853")
        assert states[0].sum(axis=1) == pytest.approx([1.0, total], abs=1e-5)


def test_burdens_pass_one_only_with_the_normalised_laplacian(measured):
    weights, _ = measured
    grown = replace(diffusion(measured), production_rate=0.35)
    time = np.arange(0.0, 41.0, 4.0)
    passed, _ = states_at(grown, time)
    kept, _ = states_at(replace(grown, laplacian=combinatorial_laplacian(weights)), time)
    assert passed.max() > 1.1
    assert kept.min() >= 0 and kept.max() <= 1


# --- the synthetic connectome -----------------------------------------------------------------------------------------


def test_diffusion_is_the_matrix_exponential():
    model = TauNetwork(production_rate=0.0, spreading_rate=0.4)
    time = np.array([1.0, 10.0, 40.0])
    states, _ = states_at(model, time, max_step=40.0)
    begin = model.initial_state(1)[0]
    for row, t in enumerate(time):
        np.testing.assert_allclose(states[0, row], expm(-0.4 * t * model.laplacian) @ begin, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(states[0].sum(axis=1), begin.sum(), rtol=1e-12)


def test_production_alone_is_logistic():
    model = TauNetwork(spreading_rate=0.0)
    states, _ = states_at(model, [12.0])
    grown = 0.1 * np.exp(0.35 * 12) / (1 + 0.1 * (np.exp(0.35 * 12) - 1))
    seeded = connectomes.SYNTHETIC_REGIONS.index("entorhinal_left")
    assert states[0, 0, seeded] == pytest.approx(grown, rel=1e-8)
    assert states[0, 0].sum() == pytest.approx(2 * grown, rel=1e-8)


def test_stages_follow_each_other():
    """Half of the final burden is reached in the order of the Braak stages, years apart, on both sides alike."""
    time = np.linspace(0.0, 40.0, 161)
    model = TauNetwork()
    states, solution = states_at(model, time)
    assert not solution.status.any() and states.min() >= 0 and states.max() <= 1
    half = [np.interp(0.5, stage, time) for stage in model.observe(states[0]).T[1:]]
    assert half[0] + 2 < half[1] and half[1] + 2 < half[2] < 35
    np.testing.assert_allclose(states[0, :, :40], states[0, :, 40:], rtol=1e-12)


def test_the_synthetic_connectome():
    weights = connectomes.synthetic_weights()
    assert np.array_equal(weights, weights.T) and weights.max() == 1 and (weights >= 0).all()
    assert not np.diag(weights).any() and len(set(connectomes.SYNTHETIC_REGIONS)) == 80
    values = np.linalg.eigvalsh(Synthetic("laplacian").array())
    assert abs(values[0]) < 1e-12 < 0.05 < values[1]  # one connected network
    stages = Synthetic("stages").array()
    assert stages.sum(axis=0).max() == 1 and stages.sum(axis=1).tolist() == [4, 24, 44]
    with pytest.raises(SimulationError, match="part is 'weights'"):
        Synthetic("weights")


def test_what_is_observed():
    state = np.random.default_rng(0).uniform(0, 1, (3, 80))
    seen = TauNetwork().observe(state)
    stages = Synthetic("stages").array()
    np.testing.assert_allclose(seen[:, 0], state.mean(axis=1))
    for row in range(3):
        np.testing.assert_allclose(seen[:, row + 1], state[:, stages[row] > 0].mean(axis=1))


# --- treatments and subjects ------------------------------------------------------------------------------------------


def setting(which, *levels):
    n = len(levels)
    return Doses.of(np.zeros(n), np.zeros(n), np.full(n, 50.0), np.full(n, which), np.array(levels))


@pytest.mark.parametrize(("which", "name"), [(0, "production_rate"), (1, "spreading_rate")])
def test_an_inhibitor_at_its_constant_halves_the_rate_and_overlaps_add_up(which, name):
    time = np.array([5.0, 15.0])
    model = TauNetwork()
    for levels in ((1.0,), (0.4, 0.6)):
        treated, _ = states_at(model, time, setting(which, *levels))
        expected, _ = states_at(replace(model, **{name: getattr(model, name) / 2}), time)
        np.testing.assert_allclose(treated, expected, rtol=1e-12)


def test_subjects_with_networks_of_their_own():
    """One Laplacian, seeding and table of stages per subject does what each alone does."""
    scale = np.array([0.5, 2.0])
    alone = [TauNetwork(laplacian=factor * TauNetwork().laplacian, seed_left=0.2) for factor in scale]
    model = TauNetwork()
    several = replace(
        model,
        seed_left=np.full(2, 0.2),
        laplacian=scale[:, None, None] * model.laplacian,
        seeding=np.stack([model.seeding] * 2),
        stages=np.stack([model.stages] * 2),
    )
    time = np.array([4.0, 12.0])
    states, _ = states_at(several, time, n=2)
    for subject, one in enumerate(alone):
        theirs, _ = states_at(one, time)
        np.testing.assert_allclose(states[subject], theirs[0], rtol=1e-12)
        np.testing.assert_allclose(several.observe(states[:, 1])[subject], one.observe(theirs[0, 1:])[0], rtol=1e-12)


def test_moments_of_the_population():
    people = TauNetwork().proposed_population(20_000, np.random.default_rng(1)).parameters
    for name in ("spreading_rate", "production_rate"):
        logs = np.log(people[name] / getattr(TauNetwork(), name))
        assert abs(logs.mean()) < 0.01 and logs.std() == pytest.approx(RATE_SD, rel=0.03)
    left, right = (np.log(people[name] / (1 - people[name])) for name in ("seed_left", "seed_right"))
    assert np.median(people["seed_left"]) == pytest.approx(0.1, rel=0.05)
    assert left.std() == pytest.approx(np.hypot(0.6, 0.4), rel=0.03)
    assert np.corrcoef(left, right)[0, 1] == pytest.approx(0.36 / 0.52, abs=0.03)
    without = TauNetwork(seed_right=0.0).proposed_population(5, np.random.default_rng(1)).parameters
    assert not without["seed_right"].any()


# --- a connectome of one's own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "npy", "npz"])
def test_a_connectome_from_a_file(tmp_path, kind):
    weights = np.round(100 * connectomes.synthetic_weights(), 3)
    path = tmp_path / f"network.{kind}"
    {
        "csv": lambda: np.savetxt(path, weights, delimiter=","),
        "npy": lambda: np.save(path, weights + 7 * np.eye(80)),
        "npz": lambda: np.savez(path, W=weights),
    }[kind]()
    model = TauNetwork(laplacian=LaplacianFile(str(path)))
    np.testing.assert_allclose(model.laplacian, combinatorial_laplacian(weights / weights.max()), rtol=1e-12)


def test_connectomes_that_are_none_are_refused(tmp_path):
    path = tmp_path / "network.npy"
    for table, words in (
        (np.ones((3, 4)), "shape is"),
        (-np.ones((3, 3)), "strength of a link"),
        (np.eye(3), "strength of every link is 0"),
        (np.triu(np.ones((3, 3))), "asymmetry is 1"),
    ):
        np.save(path, table)
        with pytest.raises(SimulationError, match=words):
            LaplacianFile(str(path)).array()
    with pytest.raises(SimulationError, match="network.csv"):
        LaplacianFile(str(tmp_path / "network.csv")).array()
    np.save(path, np.ones((3, 3)))
    with pytest.raises(SimulationError, match=r"laplacian has shape \(3, 3\)"):
        TauNetwork(laplacian=LaplacianFile(str(path)))


def test_bad_input_is_refused():
    with pytest.raises(SimulationError, match=r"production_rate = -1 /a.*0 to 10 /a"):
        TauNetwork(production_rate=-1.0)
    with pytest.raises(SimulationError, match="stages has an empty row"):
        TauNetwork(stages=np.zeros((3, 80)))
