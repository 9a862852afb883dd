"""Other people's solvers on the same problems. One patient at a time, restarted at each event; diffrax all at once."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from equations import Field, antimony_lines, antimony_states, field_of, jump_of
from problems import Problem, Segment

from neurotwin.simulators.t1d_rest import rest_of

Solve = Callable[[int], np.ndarray]
"""Number of patients, to their states ``[patient, output, state]``."""


def _numbers(problem: Problem, patient: int) -> dict[str, float]:
    """Parameters of one patient."""
    one = problem.model.take(slice(patient, patient + 1))
    return {name: float(np.ravel(getattr(one, name))[0]) for name in one.parameters}


def _one_by_one(problem: Problem, solve: Callable[..., np.ndarray]) -> Solve:
    """``solve(field, state, segment, tolerance)`` gives the states at the segment's outputs."""
    scale = _scale(problem)
    first = np.asarray(problem.model.initial_state(problem.n))
    numbers = [_numbers(problem, patient) for patient in range(problem.n)]
    jumps = [jump_of(problem.name, number) for number in numbers]
    fields = [field_of(problem.name, number) for number in numbers]

    def run(n: int) -> np.ndarray:
        found = np.empty((n, len(problem.times), first.shape[1]))
        for patient in range(n):
            state, done = first[patient], 0
            for segment in problem.segments:
                state = jumps[patient](state, segment.amount)
                if not len(segment.output):
                    continue
                part = solve(fields[patient], state, segment, scale)
                count = np.count_nonzero(segment.asked)
                found[patient, done : done + count] = part[segment.asked]
                state, done = part[-1], done + count
        return found

    return run


def _scale(problem: Problem) -> np.ndarray:
    """``[state]`` by which absolute tolerances are scaled: the largest value of the first patient."""
    largest = np.abs(problem.first(1).states(method="rk4")).max(axis=(0, 1))
    return np.where(largest > 0, largest, 1.0)


def odeint(problem: Problem, tolerance: float) -> Solve:
    """scipy.integrate.odeint: LSODA, the fastest door to it that scipy has."""
    from scipy.integrate import odeint

    def solve(field: Field, state: np.ndarray, segment: Segment, scale: np.ndarray) -> np.ndarray:
        times = np.concatenate([[segment.begin], segment.output])
        options = {"rtol": tolerance, "atol": tolerance * scale, "tfirst": True}
        return odeint(field, state, times, args=(segment.control.tolist(),), **options)[1:]

    return _one_by_one(problem, solve)


def solve_ivp(problem: Problem, tolerance: float) -> Solve:
    """scipy.integrate.solve_ivp with LSODA, the door that scipy recommends."""
    from scipy.integrate import solve_ivp

    def solve(field: Field, state: np.ndarray, segment: Segment, scale: np.ndarray) -> np.ndarray:
        options = {"method": "LSODA", "rtol": tolerance, "atol": tolerance * scale, "t_eval": segment.output}
        span = (segment.begin, segment.output[-1])
        return solve_ivp(field, span, state, args=(segment.control.tolist(),), **options).y.T

    return _one_by_one(problem, solve)


def roadrunner(problem: Problem, tolerance: float) -> Solve:
    """libroadrunner: CVODE on a right-hand side that LLVM has compiled, events inside the model."""
    import antimony
    import roadrunner

    text, names = antimony_of(problem)
    if antimony.loadAntimonyString(text) < 0:
        raise RuntimeError(antimony.getLastError())
    model = roadrunner.RoadRunner(antimony.getSBMLString(antimony.getMainModuleName()))
    model.integrator.relative_tolerance, model.integrator.absolute_tolerance = tolerance, tolerance
    model.integrator.maximum_num_steps = 100_000
    columns = antimony_states(problem.model)
    model.timeCourseSelections = columns
    order, states = model.model.getGlobalParameterIds(), model.model.getFloatingSpeciesIds()
    rest = rest_of(problem.model) if problem.name == "t1d_uvapadova" else None
    first = np.asarray(problem.model.initial_state(problem.n))

    own = [place for place, name in enumerate(order) if name in names]
    sources = [getattr(rest if hasattr(rest, order[place]) else problem.model, order[place]) for place in own]
    given = np.stack([np.broadcast_to(value, problem.n) for value in sources], axis=1).tolist()
    places = [columns.index(name) for name in states]

    def run(n: int) -> np.ndarray:
        found = []
        for patient in range(n):
            model.reset()
            model.model.setGlobalParameterValues(own, given[patient])
            model.model.setFloatingSpeciesConcentrations(first[patient][places])
            found.append(np.array(model.simulate(0, problem.horizon, len(problem.times) + 1))[1:])
        return np.array(found)

    return run


def antimony_of(problem: Problem) -> tuple[str, set[str]]:
    """The model with its events in Antimony, and which of its parameters are a patient's."""
    lines, names = antimony_lines(problem.name, problem.model)
    held = [f"held_{item.name}" for item in problem.model.treatments]
    return "\n".join(["model course", *lines, *_antimony_events(problem, held), "end"]), names


def _antimony_events(problem: Problem, held: list[str]) -> list[str]:
    found, control, bout = [], np.zeros(len(held)), -math.inf
    for number, segment in enumerate(problem.segments):
        changes = [f"{held[i]} = {float(segment.control[i])!r}" for i in np.flatnonzero(segment.control != control)]
        control = segment.control
        if problem.name == "geng_nsclc":
            chemo, dose = map(float, segment.amount)
            changes += [f"the_concentration = the_concentration + {chemo}"] if chemo else []
            changes += [f"the_volume = the_volume*exp(-(radio_alpha*{dose} + radio_beta*{dose}^2))"] if dose else []
        elif segment.amount[3] > 0:
            grams = float(segment.amount[3])
            if segment.begin - bout > 1.001:
                changes += ["the_stomach_at_meal = the_stomach_solid + the_stomach_liquid", f"the_eaten = {grams}"]
            else:
                changes += [f"the_eaten = the_eaten + {grams}"]
            changes += ["the_since_bite = 0"]
            bout = segment.begin
        if changes:
            # An instant later: what is asked at an event's time is the state before it.
            at = float(segment.begin) + 1e-9
            found.append(f"event_{number}: at (time >= {at!r}): {', '.join(changes)};")
    return found


def diffrax(problem: Problem, tolerance: float) -> Solve:
    """diffrax: Tsit5, all patients by vmap, row by row in one scan, double precision, compiled by XLA."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    model, table, scale = problem.model, problem.timeline, jnp.asarray(_scale(problem))
    per_patient = {key: getattr(model, key) for key in model.parameters if np.ndim(getattr(model, key))}
    rows = tuple(jnp.asarray(item) for item in (table.dt[0], table.jump[0], table.control[0]))
    method, steps = diffrax.Tsit5(), diffrax.PIDController(rtol=tolerance, atol=tolerance * scale)

    def one(values: dict[str, Any], first: Any) -> Any:
        patient = replace(model, **{key: value[None] for key, value in values.items()})

        def row(carry: Any, given: Any) -> Any:
            t, state = carry
            dt, amount, control = given
            state = patient.jump(state[None], amount[None])[0]
            term = diffrax.ODETerm(lambda t, y, _: patient.vector_field(t[None], y[None], control[None])[0])
            end = diffrax.diffeqsolve(term, method, t, t + dt, None, state, stepsize_controller=steps).ys[-1]
            return (t + dt, end), end

        return jax.lax.scan(row, (jnp.zeros(()), first), rows)[1]

    every = jax.jit(jax.vmap(one))
    chosen = table.query[0] > 0

    def run(n: int) -> np.ndarray:
        values = {key: jnp.asarray(value[:n]) for key, value in per_patient.items()}
        first = jnp.asarray(np.asarray(model.initial_state(problem.n))[:n])
        return np.asarray(every(values, first))[:, chosen]

    return run


PEERS = {
    "scipy odeint (LSODA)": odeint,
    "scipy solve_ivp (LSODA)": solve_ivp,
    "libroadrunner (CVODE)": roadrunner,
    "diffrax vmap (Tsit5)": diffrax,
}
