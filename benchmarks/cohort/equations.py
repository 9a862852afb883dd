"""The equations of both models as users of other people's solvers write them: on plain floats, and in Antimony.

Right-hand sides are written by hand, as fast as a user of the solver would write them; the rule that a state of the
diabetes model stands still below 0 is left out, as patients who are treated with sense do not get there.
"""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from neurotwin.simulators.t1d_parameters import PARAMETERS
from neurotwin.simulators.t1d_rest import rest_of

Field = Callable[..., list[float]]
Jump = Callable[[np.ndarray, np.ndarray], np.ndarray]


def field_of(model: str, number: Mapping[str, float]) -> Field:
    """``f(t, state, control)`` of one patient with these parameters, in plain Python."""
    return _geng(**number) if model == "geng_nsclc" else _t1d(number, rest_constants(number))


def rest_constants(number: Mapping[str, float]) -> dict[str, float]:
    """What follows from a diabetes patient's rest, but for the depots."""
    rest = rest_of(SimpleNamespace(**number))  # type: ignore[arg-type]
    return {key: float(getattr(rest, key)) for key in rest._fields if key != "depots"}


def _geng(growth_rate: float, carrying_capacity: float, chemo_sensitivity: float, chemo_half_life: float, **_: float):
    rate, log = math.log(2.0) / chemo_half_life, math.log

    def field(t: float, state: Any, control: Any) -> list[float]:
        volume, drug = state
        # A solver may try a volume that is not positive; the solution stays above 0.
        growth = growth_rate * log(carrying_capacity / volume) if volume > 0 else 0.0
        return [volume * (growth - chemo_sensitivity * drug), -rate * drug]

    return field


def _t1d(p: Mapping[str, float], rest: Mapping[str, float]) -> Field:
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


def jump_of(model: str, number: Mapping[str, float]) -> Jump:
    """As the model's jump, on one patient and plain floats."""
    if model == "geng_nsclc":
        alpha, beta = number["radio_alpha"], number["radio_beta"]

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


def antimony_states(simulator: Any) -> list[str]:
    """Names that are no words of Antimony's own, as ``volume`` is."""
    return [f"the_{item.name}" for item in simulator.states]


def antimony_lines(model: str, simulator: Any) -> tuple[list[str], set[str]]:
    """The equations in Antimony, but for its first and last line, and which of its parameters are a patient's. What is
    held of a treatment is the parameter ``held_NAME``."""
    states = antimony_states(simulator)
    if model == "geng_nsclc":
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
    lines = ["compartment body = 1;", f"species {', '.join(f'{name} in body' for name in states)};"]
    lines += [f"{name} = 1;" for name in sorted(names)] + [f"{name} = 0;" for name in states]
    lines += [f"held_{item.name} = 0;" for item in simulator.treatments]
    return lines + rules + [f"{name}' = {slopes[name]};" for name in states], names


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
