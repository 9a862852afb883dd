"""Other people's solvers on one patient's schedule, restarted at each event: the equations of benchmarks/cohort."""

from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.cohort.equations import antimony_lines, antimony_states, field_of, jump_of, rest_constants
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule

Walk = Callable[[Array, Schedule, int], Array]
TOLERANCE = 1e-5
"""Relative, and absolute in units of a state's largest value: courses to three digits more than the noise leaves."""
SCALE = {
    "geng_nsclc": np.array([1e-3, 5.0]),
    "t1d_uvapadova": np.array([1e4, 1e4, 1e4, 300.0, 150.0, 5.0, 100.0, 100.0, 100.0, 5.0, 100.0, 100.0, 300.0, 1e4,
                               100.0, 1e3]),
}  # fmt: skip


def lsoda(model: str, mechanism: Any) -> Walk:
    """scipy.integrate.odeint on a right-hand side in plain Python."""
    from scipy.integrate import odeint

    scale = SCALE[model]

    def walk(theta: Array, plan: Schedule, rows: int) -> Array:
        number = mechanism.named(theta, plan.context)
        field, jump, state = field_of(model, number), jump_of(model, number), mechanism.first_state(number)
        found, clock = [], 0.0
        for row in range(rows):
            state = jump(state, plan.jump[row])
            if plan.dt[row] > 0:
                ends, held = [clock, clock + plan.dt[row]], (plan.control[row].tolist(),)
                options = {"rtol": TOLERANCE, "atol": TOLERANCE * scale, "tfirst": True}
                state = odeint(field, state, ends, args=held, **options)[1]
                clock = ends[1]
            if plan.output[row]:
                found.append(mechanism.seen(state, number))
        return np.array(found)

    return walk


def cvode(model: str, mechanism: Any, simulator: Any) -> Walk:
    """libroadrunner: CVODE on a right-hand side that LLVM has compiled, once for all patients."""
    import antimony
    import roadrunner

    lines, names = antimony_lines(model, simulator)
    if antimony.loadAntimonyString("\n".join(["model course", *lines, "end"])) < 0:
        raise RuntimeError(antimony.getLastError())
    machine = roadrunner.RoadRunner(antimony.getSBMLString(antimony.getMainModuleName()))
    integrator, inside = machine.integrator, machine.model
    integrator.relative_tolerance, integrator.maximum_num_steps = TOLERANCE, 100_000
    species, order = inside.getFloatingSpeciesIds(), inside.getGlobalParameterIds()
    columns = antimony_states(simulator)
    place = [columns.index(name) for name in species]
    back = [species.index(name) for name in columns]
    integrator.absolute_tolerance = (TOLERANCE * SCALE[model])[place].tolist()
    own = [index for index, name in enumerate(order) if name in names]
    held = [order.index(f"held_{item.name}") for item in simulator.treatments]

    def walk(theta: Array, plan: Schedule, rows: int) -> Array:
        number = mechanism.named(theta, plan.context)
        jump, state = jump_of(model, number), mechanism.first_state(number)
        told = number | (rest_constants(number) if model == "t1d_uvapadova" else {})
        machine.reset()
        inside.setGlobalParameterValues(own, [told[order[index]] for index in own])
        control, found, clock = None, [], 0.0
        inside.setFloatingSpeciesConcentrations(state[place])
        for row in range(rows):
            changed = bool(plan.jump[row].any())
            if changed:
                state = jump(inside.getFloatingSpeciesConcentrations()[back], plan.jump[row])
                inside.setFloatingSpeciesConcentrations(state[place])
            if control is None or (plan.control[row] != control).any():
                control = plan.control[row]
                inside.setGlobalParameterValues(held, control.tolist())
                changed = True
            if changed:
                integrator.restart(clock)
            if plan.dt[row] > 0:
                integrator.integrate(clock, plan.dt[row])
                clock += plan.dt[row]
            if plan.output[row]:
                found.append(mechanism.seen(inside.getFloatingSpeciesConcentrations()[back], number))
        return np.array(found)

    return walk
