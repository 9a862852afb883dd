"""What every simulator of conf/simulator owes, whichever it is: a new model inherits these tests."""

from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
import torch
from simulator_cases import ROOT, SIMULATORS, configured, doses_for, population_of, states_at

from neurotwin import compose, units
from neurotwin.errors import SimulationError
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.simulator import Simulator

pytestmark = pytest.mark.parametrize("name", SIMULATORS)
N = 5
NOT_SMOOTH: dict[str, str] = {
    "epileptor": "x1 = 0, x2 = -0.25, z = 0",
    "reynolds_sepsis": "none, but the sixth power about xdn: order four only from half the longest step on",
    "t1d_uvapadova": "0, the renal threshold, and steep emptying of the stomach in rows shorter than the longest step",
}
"""Models whose slope has kinks, where fixed steps lose their order as they pass one, and where they are."""


LABORIOUS = ("epileptor", "jansen_rit", "regazzoni_circulation")
"""Models that take tens of thousands of steps: one run each among the fast tests."""


def drawn(name, n=N, seed=0):
    """The model with the parameters of ``n`` patients."""
    simulator = configured("simulator", name)
    return replace(simulator, **population_of(simulator, n, seed).parameters)


def inputs(simulator, seed=1):
    """Time, a state on the way, controls and amounts."""
    rng = np.random.default_rng(seed)
    kinds = [item.kind for item in simulator.treatments]
    control = rng.uniform(0, 1, (N, len(kinds))) * [kind != "bolus" for kind in kinds]
    amount = rng.uniform(0, 1, (N, len(kinds))) * [kind == "bolus" for kind in kinds]
    state = np.asarray(simulator.initial_state(N)) * rng.uniform(0.8, 1.2, (N, len(simulator.states))) + 1e-3
    return rng.uniform(0, 10, N), state, control, amount


def test_every_parameter_is_described(name):
    simulator = configured("simulator", name)
    assert isinstance(simulator, Simulator)
    assert list(simulator.parameters) == [item.name for item in fields(simulator)]
    for key, parameter in simulator.parameters.items():
        assert parameter.source and f"{key}:" in type(simulator).__doc__, key
        units.parse(parameter.unit)
    for item in (*simulator.states, *simulator.variables, *simulator.treatments):
        units.parse(item.unit)
    assert simulator.schema.time_unit == simulator.time_unit and units.parse(simulator.time_unit)
    assert len(simulator.typical_statics) == len(simulator.statics)


def test_the_yaml_holds_the_defaults(name):
    simulator = configured("simulator", name)
    default = type(simulator)()
    for item in fields(simulator):
        assert item.default is not MISSING
        assert np.array_equal(getattr(simulator, item.name), getattr(default, item.name)), item.name


def test_the_sheet_names_every_parameter(name):
    sheet = (ROOT / "docs" / "simulators" / f"{name}.md").read_text()
    for key, value in vars(configured("simulator", name)).items():
        row = next((line for line in sheet.splitlines() if line.startswith(f"| `{key}` |")), "")
        assert row, f"{key} has no row in the sheet"
        if not type(configured("simulator", name)).parameters[key].shape:
            assert float(row.split("|")[2]) == pytest.approx(value, rel=1e-12), key


def test_shapes(name):
    simulator = drawn(name)
    t, state, control, amount = inputs(simulator)
    assert np.shape(simulator.initial_state(N)) == (N, len(simulator.states))
    assert np.shape(simulator.vector_field(t, state, control)) == state.shape
    assert np.shape(simulator.jump(state, amount)) == state.shape
    assert np.shape(simulator.observe(seen(simulator, state))) == (N, len(simulator.variables))


def seen(simulator, state):
    """What an observation looks at: a state, or a window of samples around it."""
    if simulator.window is None:
        return state
    share = np.linspace(0.9, 1.0, simulator.window.samples)
    return (torch.from_numpy(share) if torch.is_tensor(state) else share)[:, None] * state[:, None, :]


def test_inputs_are_left_as_they_are(name):
    simulator = drawn(name)
    given = inputs(simulator)
    before = [item.copy() for item in given]
    t, state, control, amount = given
    simulator.vector_field(t, state, control), simulator.jump(state, amount), simulator.observe(seen(simulator, state))
    assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))


def test_no_amount_changes_nothing(name):
    simulator = drawn(name)
    _, state, _, amount = inputs(simulator)
    assert np.array_equal(simulator.jump(state, 0 * amount), state)


def test_the_same_equations_run_on_tensors(name):
    simulator = drawn(name)
    arrays = inputs(simulator)
    per_subject = {key: getattr(simulator, key) for key in simulator.parameters if np.ndim(getattr(simulator, key))}
    leaves = {key: torch.tensor(value, requires_grad=True) for key, value in per_subject.items()}
    t, state, control, amount = map(torch.from_numpy, arrays)
    tensors = replace(simulator, **leaves)
    pairs = [
        (tensors.vector_field(t, state, control), simulator.vector_field(*arrays[:3])),
        (tensors.jump(state, amount), simulator.jump(arrays[1], arrays[3])),
        (tensors.observe(seen(tensors, state)), simulator.observe(seen(simulator, arrays[1]))),
        (tensors.initial_state(N), simulator.initial_state(N)),
    ]
    if simulator.has_closed_form:
        dt = np.linspace(0.0, 2.0, N)
        theirs = simulator.propagate(arrays[0], dt, *arrays[1:3])
        pairs.append((tensors.propagate(t, torch.from_numpy(dt), state, control), theirs))
    for mine, theirs in pairs:
        np.testing.assert_allclose(torch.as_tensor(mine).detach().numpy(), theirs, rtol=1e-12, atol=1e-300)
    sum(torch.as_tensor(mine).sum() for mine, _ in pairs).backward()
    assert all(leaf.grad is not None and torch.isfinite(leaf.grad).all() for leaf in leaves.values())


def test_a_graph_can_hold_the_equations(name):
    simulator = drawn(name)
    t, state, control, amount = (torch.from_numpy(item) for item in inputs(simulator))

    class Field(torch.nn.Module):
        def forward(self, t, state, control, amount, factor):
            kinds = simulator.parameters
            drawn_too = [key for key in kinds if np.ndim(getattr(simulator, key)) > len(kinds[key].shape)]
            scaled = {key: torch.as_tensor(getattr(simulator, key)) * factor for key in drawn_too}
            model = replace(simulator, **scaled)
            return model.vector_field(t, model.jump(state, amount), control), model.observe(seen(model, state))

    args = (t, state, control, amount, torch.full((N,), 1.01, dtype=torch.float64))
    program = torch.export.export(Field(), args, strict=False)
    for mine, theirs in zip(program.module()(*args), Field()(*args), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_one_subject_alone_and_in_a_batch(name):
    simulator = drawn(name)
    t, state, control, amount = inputs(simulator)
    for i in range(N):
        one, part = simulator.take(slice(i, i + 1)), slice(i, i + 1)
        alone = one.vector_field(t[part], state[part], control[part])
        np.testing.assert_allclose(alone, simulator.vector_field(t, state, control)[part], rtol=1e-14)
        np.testing.assert_allclose(one.jump(state[part], amount[part]), simulator.jump(state, amount)[part], rtol=1e-14)


def test_the_closed_form_is_the_solution_of_the_equations(name):
    simulator = drawn(name)
    if not simulator.has_closed_form:
        with pytest.raises(SimulationError, match="no closed form"):
            simulator.propagate(*(np.zeros((1, 1)),) * 4)
        return
    times, doses = np.array([0.3, 1.0, 2.5, 7.0]), doses_for(simulator, N)
    exact, _ = states_at(simulator, times, doses, n=N, method="closed_form")
    truth, _ = states_at(simulator, times, doses, n=N, method="dop853", rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(exact, truth, rtol=1e-9, atol=1e-11)


def test_fixed_steps_reach_the_truth_and_have_order_four(name):
    simulator = drawn(name)
    step = simulator.max_step
    times, doses = np.array([8.0, 20.0, 48.0]) * step, doses_for(simulator, N, unit=8 * step)
    truth, _ = states_at(simulator, times, doses, n=N, method="dop853", rtol=1e-12, atol=1e-14)
    scale = np.maximum(np.abs(truth).max(axis=(0, 1)), 1e-12)
    errors = []
    for max_step in (step, step / 2, step / 4):
        value, _ = states_at(simulator, times, doses, n=N, method="rk4", max_step=max_step)
        errors.append((np.abs(value - truth) / scale).max())
    assert errors[0] < 1e-4
    if name not in NOT_SMOOTH and errors[1] > 1e-9:
        order = np.log2(errors[0] / errors[1]), np.log2(errors[1] / errors[2])
        assert order[0] > 3.7 and (order[1] > 3.7 or errors[2] < 1e-10), order


def test_parameters_out_of_range_are_refused(name):
    simulator = configured("simulator", name)
    for key, parameter in simulator.parameters.items():
        for bad in (np.nan, np.inf, parameter.range[1] * 2 + 1, parameter.range[0] - 1, "much", None, True):
            with pytest.raises(SimulationError, match=key):
                replace(simulator, **{key: bad})
        middle = np.full((3, *parameter.shape), sum(parameter.range) / 2)
        with pytest.raises(SimulationError, match=f"{key} = .* of"):
            replace(simulator, **{key: np.concatenate([middle, np.full((1, *parameter.shape), np.nan)])})
        with pytest.raises(SimulationError, match="shape"):
            replace(simulator, **{key: middle[None, None]})
    first, second = [key for key, item in simulator.parameters.items() if not item.shape][:2]
    three, four = (np.full(n, getattr(simulator, key)) for n, key in ((3, first), (4, second)))
    with pytest.raises(SimulationError, match="one length"):
        replace(simulator, **{first: three, second: four})


def test_the_population_fits_the_model(name):
    simulator = configured("simulator", name)
    drawn_people = population_of(simulator, 300)
    replace(simulator, **drawn_people.parameters)  # within the ranges
    assert drawn_people.statics.shape == (300, len(simulator.statics))
    for index, static in enumerate(simulator.statics):
        column = drawn_people.statics[:, index]
        if static.levels:
            assert set(column) <= set(range(len(static.levels)))
        else:
            assert ((column >= static.plausible[0]) & (column <= static.plausible[1])).all(), static.name


def test_the_model_runs_with_its_own_population_and_protocol(name):
    parts = trial_of(name)
    cohort = simulate(*parts, n_subjects=2, seed=1)
    assert len(cohort) == 2 and np.isfinite(cohort.observations.value).all()
    assert set(cohort.observations.variable) == set(range(len(parts[0].variables)))
    if name not in LABORIOUS:
        alone(parts, cohort)


@pytest.mark.full
def test_a_laborious_model_too_has_the_same_subject_alone_and_among_others(name):
    if name in LABORIOUS:
        parts = trial_of(name)
        alone(parts, simulate(*parts, n_subjects=3, seed=1))


def trial_of(name):
    config = compose.compose("simulate", [f"simulator={name}"])
    return [compose.build(config[group], group) for group in ("simulator", "population", "protocol")]


def alone(parts, cohort):
    """The second subject is alone who it was among the others."""
    again = simulate(*parts, n_subjects=1, seed=1, first_subject=1)
    mine = cohort.observations.of_subjects(np.array([1]))
    np.testing.assert_allclose(again.observations.value, mine.value, rtol=1e-9)
