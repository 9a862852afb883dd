"""Other people's solvers on the same problems. One patient at a time, restarted at each event; diffrax all at once.

Right-hand sides are written by hand on plain floats, as fast as a user of the solver would write them; the rule that a
state of the diabetes model stands still below 0 is left out, as these patients do not get there.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from problems import Problem, Segment

from neurotwin.simulators.t1d_parameters import PARAMETERS
from neurotwin.simulators.t1d_rest import rest_of

Field = Callable[..., list[float]]
Solve = Callable[[int], np.ndarray]
"""Number of patients, to their states ``[patient, output, state]``."""


def scalar_field(problem: Problem, patient: int) -> Field:
    """``f(t, state, control)`` of one patient, in plain Python."""
    one = problem.model.take(slice(patient, patient + 1))
    number = {name: float(np.ravel(getattr(one, name))[0]) for name in one.parameters}
    if problem.name == "geng_nsclc":
        return _geng(**number)
    rest = rest_of(one)
    derived = {key: float(np.ravel(getattr(rest, key))[0]) for key in rest._fields if key not in ("depots",)}
    return _t1d(number, derived)


def _geng(growth_rate: float, carrying_capacity: float, chemo_sensitivity: float, chemo_half_life: float, **_: float):
    rate, log = math.log(2.0) / chemo_half_life, math.log

    def field(t: float, state: Any, control: Any) -> list[float]:
        volume, drug = state
        # A solver may try a volume that is not positive; the solution stays above 0.
        growth = growth_rate * log(carrying_capacity / volume) if volume > 0 else 0.0
        return [volume * (growth - chemo_sensitivity * drug), -rate * drug]

    return field


def _t1d(p: dict[str, float], rest: dict[str, float]) -> Field:
    kmax, kmin, kabs, b, d = (
        p[key]
        for key in ("fastest_emptying", "slowest_emptying", "gut_absorption_rate", "slowing_share", "recovery_share")
    )
    weight, k1, k2, f = p["body_weight"], p["glucose_to_tissue"], p["glucose_from_tissue"], p["absorbed_fraction"]
    vi, m1, m2, ke1, ke2 = (
        p[key] for key in ("insulin_volume", "insulin_from_liver", "insulin_to_liver", "renal_rate", "renal_threshold")
    )
    kp1, kp2, kp3, fsnc = (
        rest["production"],
        p["production_glucose_effect"],
        p["production_insulin_effect"],
        p["independent_uptake"],
    )
    vm0, vmx, km0, p2u, ib = (
        rest["uptake"],
        p["uptake_sensitivity"],
        p["half_uptake"],
        p["action_rate"],
        p["fasting_insulin"],
    )
    ki, kd, ka1, ka2, ksc = (
        p[key]
        for key in (
            "production_delay_rate",
            "dissociation_rate",
            "slow_insulin_absorption",
            "fast_insulin_absorption",
            "sensor_rate",
        )
    )
    m4, m30, basal, tanh = rest["peripheral_clearance"], rest["hepatic_clearance"], rest["basal"], math.tanh

    def field(t: float, state: Any, control: Any) -> list[float]:
        q1, q2, q3, gp, gt, ip, x, i1, i2, il, s1, s2, gs, before, eaten, _ = state
        change, infusion, bolus, eating = control
        meal, stomach = before + 1000 * eaten, q1 + q2
        if meal > 0:
            slowing = tanh(2.5 * (stomach / meal - b) / (1 - b))
            kgut = kmin + (kmax - kmin) / 2 * (slowing - tanh(2.5 * (stomach / meal - d) / d) + 2)
        else:
            kgut = kmax
        given = basal * max(1 + change, 0.0) + (infusion / 60 + bolus) * 6000 / weight
        level = ip / vi
        exchange = k1 * gp - k2 * gt
        production = max(kp1 - kp2 * gp - kp3 * i2, 0.0)
        lost = fsnc + ke1 * max(gp - ke2, 0.0)
        return [
            1000 * eating - kmax * q1,
            kmax * q1 - kgut * q2,
            kgut * q2 - kabs * q3,
            production + f * kabs * q3 / weight - lost - exchange,
            exchange - (vm0 + vmx * x) * gt / (km0 + gt),
            m1 * il + ka1 * s1 + ka2 * s2 - (m2 + m4) * ip,
            p2u * (level - ib - x),
            ki * (level - i1),
            ki * (i1 - i2),
            m2 * ip - (m1 + m30) * il,
            given - (ka1 + kd) * s1,
            kd * s1 - ka2 * s2,
            ksc * (gp - gs),
            0.0,
            0.0,
            1.0,
        ]

    return field


def _one_by_one(problem: Problem, solve: Callable[..., np.ndarray]) -> Solve:
    """``solve(field, state, segment, tolerance)`` gives the states at the segment's outputs."""
    scale = _scale(problem)
    first = np.asarray(problem.model.initial_state(problem.n))
    jumps = [_jump_of(problem, patient) for patient in range(problem.n)]
    fields = [scalar_field(problem, patient) for patient in range(problem.n)]

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


def _jump_of(problem: Problem, patient: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """As the model's jump, on one patient and plain floats."""
    model = problem.model
    if problem.name == "geng_nsclc":
        alpha, beta = float(model.radio_alpha[patient]), float(model.radio_beta[patient])

        def kill(state: np.ndarray, amount: np.ndarray) -> np.ndarray:
            chemo, dose = amount
            return np.array([state[0] * math.exp(-(alpha * dose + beta * dose * dose)), state[1] + chemo])

        return kill

    def bite(state: np.ndarray, amount: np.ndarray) -> np.ndarray:
        if amount[3] > 0:
            state, opens = state.copy(), state[15] > 1.001
            state[13], state[14] = (state[0] + state[1], amount[3]) if opens else (state[13], state[14] + amount[3])
            state[15] = 0.0
        return state

    return bite


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
    columns = antimony_states(problem)
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


def antimony_states(problem: Problem) -> list[str]:
    """Names that are no words of Antimony's own, as ``volume`` is."""
    return [f"the_{item.name}" for item in problem.model.states]


def antimony_of(problem: Problem) -> tuple[str, set[str]]:
    """The model with its events in Antimony, and which of its parameters are a patient's."""
    simulator = problem.model
    states = antimony_states(problem)
    if problem.name == "geng_nsclc":
        names = {
            "growth_rate",
            "carrying_capacity",
            "chemo_sensitivity",
            "radio_alpha",
            "radio_beta",
            "chemo_half_life",
        }
        slopes = {
            "the_volume": "the_volume*(growth_rate*ln(carrying_capacity/the_volume)"
            " - chemo_sensitivity*the_concentration)",
            "the_concentration": "-ln(2)/chemo_half_life*the_concentration",
        }
        rules: list[str] = []
    else:
        names, slopes, rules = _antimony_t1d()
    lines = ["model course", "compartment body = 1;", f"species {', '.join(f'{name} in body' for name in states)};"]
    lines += [f"{name} = 1;" for name in sorted(names)] + [f"{name} = 0;" for name in states]
    held = [f"held_{item.name}" for item in simulator.treatments]
    lines += [f"{name} = 0;" for name in held]
    lines += rules + [f"{name}' = {slopes[name]};" for name in states]
    lines += _antimony_events(problem, held)
    return "\n".join([*lines, "end"]), names


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


def _antimony_t1d() -> tuple[set[str], dict[str, str], list[str]]:
    meal, stomach = "(the_stomach_at_meal + 1000*the_eaten)", "(the_stomach_solid + the_stomach_liquid)"
    rules = [
        f"kgut := piecewise(fastest_emptying, {meal} <= 0, slowest_emptying + (fastest_emptying - slowest_emptying)/2*("
        f"tanh(2.5*({stomach}/{meal} - slowing_share)/(1 - slowing_share)) - "
        f"tanh(2.5*({stomach}/{meal} - recovery_share)/recovery_share) + 2));",
        "given := basal*max(1 + held_basal_change, 0)"
        " + (held_insulin_infusion/60 + held_insulin_bolus)*6000/body_weight;",
        "level := the_plasma_insulin/insulin_volume;",
        "exchange := glucose_to_tissue*the_plasma_glucose - glucose_from_tissue*the_tissue_glucose;",
        "made := max(production - production_glucose_effect*the_plasma_glucose"
        " - production_insulin_effect*the_delayed_insulin_2, 0);",
        "lost := independent_uptake + renal_rate*max(the_plasma_glucose - renal_threshold, 0);",
    ]
    slopes = {
        "the_stomach_solid": "1000*held_meal - fastest_emptying*the_stomach_solid",
        "the_stomach_liquid": "fastest_emptying*the_stomach_solid - kgut*the_stomach_liquid",
        "the_gut": "kgut*the_stomach_liquid - gut_absorption_rate*the_gut",
        "the_plasma_glucose": "made + absorbed_fraction*gut_absorption_rate*the_gut/body_weight - lost - exchange",
        "the_tissue_glucose": "exchange - (uptake + uptake_sensitivity*the_insulin_action)*the_tissue_glucose"
        "/(half_uptake + the_tissue_glucose)",
        "the_plasma_insulin": "insulin_from_liver*the_liver_insulin + slow_insulin_absorption*the_depot_1"
        " + fast_insulin_absorption*the_depot_2 - (insulin_to_liver + peripheral_clearance)*the_plasma_insulin",
        "the_insulin_action": "action_rate*(level - fasting_insulin - the_insulin_action)",
        "the_delayed_insulin_1": "production_delay_rate*(level - the_delayed_insulin_1)",
        "the_delayed_insulin_2": "production_delay_rate*(the_delayed_insulin_1 - the_delayed_insulin_2)",
        "the_liver_insulin": "insulin_to_liver*the_plasma_insulin"
        " - (insulin_from_liver + hepatic_clearance)*the_liver_insulin",
        "the_depot_1": "given - (slow_insulin_absorption + dissociation_rate)*the_depot_1",
        "the_depot_2": "dissociation_rate*the_depot_1 - fast_insulin_absorption*the_depot_2",
        "the_subcutaneous_glucose": "sensor_rate*(the_plasma_glucose - the_subcutaneous_glucose)",
        "the_stomach_at_meal": "0",
        "the_eaten": "0",
        "the_since_bite": "1",
    }
    derived = {"production", "basal", "uptake", "peripheral_clearance", "hepatic_clearance"}
    text = " ".join([*rules, *slopes.values()])
    words = set("".join(letter if letter.isalnum() or letter == "_" else " " for letter in text).split())
    return (words & set(PARAMETERS)) | derived, slopes, rules


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
