"""Acute inflammation: pathogen, activated phagocytes, tissue damage and an anti-inflammatory mediator.

Source: A. Reynolds, J. Rubin, G. Clermont, J. Day, Y. Vodovotz, G. B. Ermentrout, "A reduced mathematical model of the
acute inflammatory response: I. Derivation of model and analysis of anti-inflammation", Journal of Theoretical Biology
242:220-236 (2006); equations and constants as exported by BioModels, BIOMD0000000714.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Reynolds et al., J Theor Biol 242:220 (2006), BIOMD0000000714"

FATES = ("healthy", "aseptic_death", "septic_death")
# Settled courses of the proposed population: septic ones have a pathogen load above 2, aseptic ones none and damage
# above 15, healthy ones neither.
PATHOGEN_PERSISTS, DAMAGE_PERSISTS = 1.0, 8.0
# Population: range of the growth rate, range of the (log-uniform) inoculum, and a coefficient of variation.
GROWTH_RANGE, INOCULUM_RANGE, VARIATION = (0.2, 0.7), (0.1, 5.0), 0.2


@dataclass(frozen=True)
class ReynoldsSepsis(Simulator):
    """Infection that is cleared, or kills by itself (septic) or by inflammation that outlives it (aseptic).

    Time in hours. States: pathogen P (10^6 per mL), activated phagocytes N, damage D, anti-inflammatory mediator CA
    (the last three in units of their own). f(x) = x / (1 + (CA/c_inf)^2).

        P' = kpg P (1 - P/p_inf) - kpm sm P/(mu_m + kmp P) - kpn f(N) P - a P
        N' = snr R/(mu_nr + R) - mu_n N             R = f(knn N + knp P + knd D)
        D' = kdn f(N)^6/(xdn^6 + f(N)^6) - mu_d D
        CA' = sc + kcn f(N + kcnd D)/(1 + f(N + kcnd D)) - mu_c CA + i

    Treatments (proposals): a, the setting ``antibiotic``, is an extra rate of killing; i, the infusion
    ``anti_inflammatory``, adds to the mediator. Rates that overlap add up.

    P decays but never reaches 0. It grows again from any remnant only where P = 0 is unstable, kpg > kpm sm / mu_m
    (1.5 per hour with the default constants, beyond the proposed population).

    Args:
        pathogen_growth: kpg, 1/h.
        pathogen_capacity: p_inf, 10^6/mL.
        local_kill: kpm, mL/(10^6.h): killing by the local response.
        local_source: sm, 1/h: source of the local response.
        local_decay: mu_m, 1/h.
        local_consumption: kmp, mL/(10^6.h): the local response used up by pathogen.
        phagocyte_kill: kpn, 1/h per unit of N.
        activation_by_pathogen: knp, mL/(10^6.h).
        activation_by_phagocytes: knn, 1/h per unit of N.
        activation_by_damage: knd, 1/h per unit of D.
        resting_source: snr, units of N per hour.
        resting_decay: mu_nr, 1/h.
        phagocyte_decay: mu_n, 1/h.
        damage_by_phagocytes: kdn, units of D per hour.
        damage_threshold: xdn, the f(N) at which half of that damage is done.
        damage_repair: mu_d, 1/h.
        inhibition_scale: c_inf, the CA that halves what it inhibits.
        mediator_source: sc, units of CA per hour.
        mediator_production: kcn, units of CA per hour.
        mediator_by_damage: kcnd, units of N per unit of D.
        mediator_decay: mu_c, 1/h.
        initial_pathogen: P at the start, 10^6/mL.
        initial_mediator: CA at the start; sc/mu_c at rest.
    """

    pathogen_growth: Value = 0.3
    pathogen_capacity: Value = 20.0
    local_kill: Value = 0.6
    local_source: Value = 0.005
    local_decay: Value = 0.002
    local_consumption: Value = 0.01
    phagocyte_kill: Value = 1.8
    activation_by_pathogen: Value = 0.1
    activation_by_phagocytes: Value = 0.01
    activation_by_damage: Value = 0.02
    resting_source: Value = 0.08
    resting_decay: Value = 0.12
    phagocyte_decay: Value = 0.05
    damage_by_phagocytes: Value = 0.35
    damage_threshold: Value = 0.06
    damage_repair: Value = 0.02
    inhibition_scale: Value = 0.28
    mediator_source: Value = 0.0125
    mediator_production: Value = 0.04
    mediator_by_damage: Value = 48.0
    mediator_decay: Value = 0.1
    initial_pathogen: Value = 1.0
    initial_mediator: Value = 0.125

    name: ClassVar[str] = "sepsis"
    time_unit: ClassVar[str] = "h"
    max_step: ClassVar[float] = 0.1
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "pathogen_growth": Parameter("/h", (0.0, 2.0), PAPER),
        "pathogen_capacity": Parameter("10*6/mL", (0.1, 1e3), PAPER),
        "local_kill": Parameter("mL/10*6/h", (0.0, 10.0), PAPER),
        "local_source": Parameter("/h", (0.0, 1.0), PAPER),
        "local_decay": Parameter("/h", (1e-4, 1.0), PAPER),
        "local_consumption": Parameter("mL/10*6/h", (0.0, 1.0), PAPER),
        "phagocyte_kill": Parameter("/h", (0.0, 10.0), PAPER),
        "activation_by_pathogen": Parameter("mL/10*6/h", (0.0, 2.0), PAPER),
        "activation_by_phagocytes": Parameter("/h", (0.0, 1.0), PAPER),
        "activation_by_damage": Parameter("/h", (0.0, 1.0), PAPER),
        "resting_source": Parameter("/h", (0.0, 1.0), PAPER),
        "resting_decay": Parameter("/h", (1e-3, 2.0), PAPER),
        "phagocyte_decay": Parameter("/h", (1e-3, 1.0), PAPER),
        "damage_by_phagocytes": Parameter("/h", (0.0, 5.0), PAPER),
        "damage_threshold": Parameter("1", (1e-3, 1.0), PAPER),
        "damage_repair": Parameter("/h", (1e-3, 1.0), PAPER),
        "inhibition_scale": Parameter("1", (1e-2, 10.0), PAPER),
        "mediator_source": Parameter("/h", (0.0, 1.0), PAPER),
        "mediator_production": Parameter("/h", (0.0, 1.0), PAPER),
        "mediator_by_damage": Parameter("1", (0.0, 1e3), PAPER),
        "mediator_decay": Parameter("/h", (1e-3, 1.0), PAPER),
        "initial_pathogen": Parameter("10*6/mL", (0.0, 1e3), PAPER),
        "initial_mediator": Parameter("1", (0.0, 10.0), PAPER),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("pathogen", "10*6/mL", (0.0, math.inf)),
        State("phagocytes", "1", (0.0, math.inf)),
        State("damage", "1", (0.0, math.inf)),
        State("mediator", "1", (0.0, math.inf)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="antibiotic", unit="/h", kind="setting", plausible=(0.0, 2.0)),
        Treatment(name="anti_inflammatory", unit="/h", kind="infusion", plausible=(0.0, 0.2)),
    )
    # The offset, 10^3 per mL, keeps a cleared infection finite on the log scale.
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(
            name="pathogen_load", unit="10*6/mL", plausible=(0.0, 1e3), transform="log", offset=1e-3, source=PAPER
        ),
        Variable(name="phagocyte_activation", unit="1", plausible=(0.0, 10.0), source=PAPER),
        Variable(name="tissue_damage", unit="1", plausible=(0.0, 100.0), source=PAPER),
        Variable(name="anti_inflammatory_level", unit="1", plausible=(0.0, 20.0), source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, self.initial_pathogen, 0.0, 0.0, self.initial_mediator)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        pathogen, phagocytes, damage, mediator = xp.unstack(state, axis=-1)
        antibiotic, infused = xp.unstack(control, axis=-1)
        free = 1 / (1 + (mediator / self.inhibition_scale) ** 2)  # the share that the mediator does not inhibit
        active = free * phagocytes
        local = self.local_kill * self.local_source / (self.local_decay + self.local_consumption * pathogen)
        growth = self.pathogen_growth * (1 - pathogen / self.pathogen_capacity)
        killing = local + self.phagocyte_kill * active + antibiotic
        activation = free * (
            self.activation_by_phagocytes * phagocytes
            + self.activation_by_pathogen * pathogen
            + self.activation_by_damage * damage
        )
        recruitment = self.resting_source * activation / (self.resting_decay + activation)
        squared = (active / self.damage_threshold) ** 2
        sixth = squared * squared * squared  # ten times as fast as a power
        harm = sixth / (1 + sixth)
        signal = free * (phagocytes + self.mediator_by_damage * damage)
        production = self.mediator_source + self.mediator_production * signal / (1 + signal)
        return xp.stack(
            [
                (growth - killing) * pathogen,
                recruitment - self.phagocyte_decay * phagocytes,
                self.damage_by_phagocytes * harm - self.damage_repair * damage,
                production - self.mediator_decay * mediator + infused,
            ],
            axis=-1,
        )

    def observe(self, state: Array) -> Array:
        return state

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Growth rate uniform, inoculum log-uniform, production and decay of the mediator log-normal; the mediator
        starts at rest."""
        self.refuse_overrides("pathogen_growth", "initial_pathogen", "initial_mediator")
        sd = math.sqrt(math.log1p(VARIATION**2))
        decay = self.mediator_decay * np.exp(sd * rng.standard_normal(n))
        parameters = {
            "pathogen_growth": rng.uniform(*GROWTH_RANGE, n),
            "initial_pathogen": np.exp(rng.uniform(math.log(INOCULUM_RANGE[0]), math.log(INOCULUM_RANGE[1]), n)),
            "mediator_production": np.asarray(self.mediator_production * np.exp(sd * rng.standard_normal(n))),
            "mediator_decay": np.asarray(decay),
            "initial_mediator": np.asarray(self.mediator_source / decay),
        }
        return PopulationDraw(parameters, np.zeros((n, 0)))


def fate(state: Array) -> Array:
    """Index into `FATES` ``[batch]`` of settled courses (1000 h after the last treatment), from ``[batch, state]``."""
    xp = array_namespace(state)
    pathogen, _, damage, _ = xp.unstack(state, axis=-1)
    septic, harmed = pathogen > PATHOGEN_PERSISTS, damage > DAMAGE_PERSISTS
    index = xp.zeros_like(pathogen, dtype=xp.int64)
    return xp.where(septic, index + 2, xp.where(harmed, index + 1, index))
