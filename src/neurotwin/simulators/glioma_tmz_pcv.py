"""Low-grade glioma under temozolomide and PCV: one patient who can be given either drug.

Sources: the equations that Ribba 2012 (PCV) and Mazzocco 2015 (temozolomide) share, see `glioma_chemo`. That one tumour
may meet both drugs is a proposal of this project: the natural history and temozolomide are those of Mazzocco 2015, the
drug constants of PCV those of Ribba 2012.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Static, Treatment, Variable
from neurotwin.simulators.glioma_chemo import LARGEST, MAZZOCCO, RIBBA, GliomaChemo, log_normal
from neurotwin.simulators.mazzocco_glioma import (
    BETWEEN_SUBJECTS,
    CODELETED,
    CODELETED_REPAIR,
    GENOTYPE_SHARES,
    GENOTYPES,
    TP53_EFFICACY,
    TP53_MUTATED,
)
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

SHARED = {"temozolomide_efficacy": "drug_efficacy", "temozolomide_elimination": "drug_elimination"}
"""Names here -> names in the table of coefficients of variation."""


@dataclass(frozen=True)
class GliomaTmzPcv(Simulator):
    """Proliferative tissue P, quiescent tissue Q, damaged quiescent tissue D, and two virtual drugs T and V.

    Time in months (30.4375 d). One cycle of either therapy is one unit, given at an instant. tau is the time since the
    first dose of temozolomide, 0 before it; the kill rates are k_T = gamma_T KDE_T T and k_V = gamma_V KDE_V V.

        T' = -KDE_T T        V' = -KDE_V V
        P' = lambda P (1 - (P + Q + D)/K) + k_DP D - k_PQ P - (k_T exp(-res tau) + k_V) P
        Q' = k_PQ P - (k_T + k_V) Q
        D' = (k_T + k_V) Q - k_DP D - delta D

    With doses of one drug alone it is `MazzoccoGlioma`, or `RibbaGlioma` with that model's constants.

    Args:
        growth_rate: lambda, /mo.
        carrying_capacity: K, mm.
        quiescence_rate: k_PQ, /mo: from proliferative to quiescent.
        repair_rate: k_DP, /mo: from damaged quiescent back to proliferative; without 1p/19q codeletion.
        death_rate: delta, /mo: of damaged quiescent tissue.
        temozolomide_efficacy: gamma_T, tissue hit per cycle; for a wild-type TP53.
        resistance_rate: res, /mo: at which temozolomide's effect on proliferative tissue is lost after its first dose.
        temozolomide_elimination: KDE_T, /mo.
        pcv_efficacy: gamma_V, tissue hit per cycle.
        pcv_elimination: KDE_V, /mo.
        initial_proliferative: P at the start, mm.
        initial_quiescent: Q at the start, mm.
    """

    growth_rate: Value = 0.143
    carrying_capacity: Value = 100.0
    quiescence_rate: Value = 0.0429
    repair_rate: Value = 0.00947
    death_rate: Value = 0.0188
    temozolomide_efficacy: Value = 0.254
    resistance_rate: Value = 0.1
    temozolomide_elimination: Value = 8.3
    pcv_efficacy: Value = 0.729
    pcv_elimination: Value = 0.24
    initial_proliferative: Value = 1.72
    initial_quiescent: Value = 32.1

    name: ClassVar[str] = "glioma_tmz_pcv"
    time_unit: ClassVar[str] = "mo"
    max_step: ClassVar[float] = 0.0175
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "growth_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "carrying_capacity": Parameter("mm", (1.0, 1e3), f"{RIBBA}, fixed there"),
        "quiescence_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "repair_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "death_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "temozolomide_efficacy": Parameter("1", (0.0, 50.0), MAZZOCCO),
        "resistance_rate": Parameter("/mo", (0.0, 50.0), MAZZOCCO),
        "temozolomide_elimination": Parameter("/mo", (0.0, 100.0), f"{MAZZOCCO}, fixed there"),
        "pcv_efficacy": Parameter("1", (0.0, 50.0), f"{RIBBA}, as in BIOMD0000000521"),
        "pcv_elimination": Parameter("/mo", (0.0, 100.0), f"{RIBBA}, as in BIOMD0000000521"),
        "initial_proliferative": Parameter("mm", (0.0, 2e3), MAZZOCCO),
        "initial_quiescent": Parameter("mm", (0.0, 2e3), MAZZOCCO),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("temozolomide", "1", (0.0, 1e3)),
        State("pcv", "1", (0.0, 1e3)),
        State("proliferative", "mm", (0.0, LARGEST)),
        State("quiescent", "mm", (0.0, LARGEST)),
        State("damaged", "mm", (0.0, LARGEST)),
        State("treated", "1", (0.0, 1.0)),
        State("therapy_time", "mo", (0.0, 1e4)),
    )
    # On the log scale, unlike in the models of one drug: a surrogate's spread must not reach below 0.
    variables: ClassVar[tuple[Variable, ...]] = tuple(
        variable.model_copy(update={"transform": "log"}) for variable in GliomaChemo.variables
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="temozolomide", unit="1", kind="bolus", plausible=(0.0, 5.0)),
        Treatment(name="pcv", unit="1", kind="bolus", plausible=(0.0, 5.0)),
    )
    statics: ClassVar[tuple[Static, ...]] = (Static(name="genotype", levels=GENOTYPES),)
    typical_statics: ClassVar[tuple[float, ...]] = (0.0,)

    def initial_state(self, n: int) -> Array:
        return stack_state(n, 0.0, 0.0, self.initial_proliferative, self.initial_quiescent, 0.0, 0.0, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        tmz, pcv, proliferative, quiescent, damaged, treated, therapy_time = xp.unstack(state, axis=-1)
        tmz_gone, pcv_gone = self.temozolomide_elimination * tmz, self.pcv_elimination * pcv
        tmz_kill, pcv_kill = self.temozolomide_efficacy * tmz_gone, self.pcv_efficacy * pcv_gone
        room = 1 - (proliferative + quiescent + damaged) / self.carrying_capacity
        resting, repaired = self.quiescence_rate * proliferative, self.repair_rate * damaged
        hit = (tmz_kill + pcv_kill) * quiescent
        lost = (tmz_kill * xp.exp(-self.resistance_rate * therapy_time) + pcv_kill) * proliferative
        return xp.stack(
            [
                -tmz_gone,
                -pcv_gone,
                self.growth_rate * proliferative * room + repaired - resting - lost,
                resting - hit,
                hit - repaired - self.death_rate * damaged,
                xp.zeros_like(tmz),
                treated,
            ],
            axis=-1,
        )

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        tmz, pcv, proliferative, quiescent, damaged, treated, therapy_time = xp.unstack(state, axis=-1)
        tmz_dose, pcv_dose = xp.unstack(amount, axis=-1)
        begun = xp.where(tmz_dose > 0, xp.ones_like(treated), treated)
        return xp.stack(
            [tmz + tmz_dose, pcv + pcv_dose, proliferative, quiescent, damaged, begun, therapy_time], axis=-1
        )

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        _, _, proliferative, quiescent, damaged, _, _ = xp.unstack(state, axis=-1)
        return xp.stack([proliferative + quiescent + damaged], axis=-1)

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Temozolomide hits less where TP53 is mutated; repair is slower where 1p and 19q are codeleted."""
        mutated, codeleted = covariates[f"genotype={TP53_MUTATED}"], covariates[f"genotype={CODELETED}"]
        return {
            "temozolomide_efficacy": self.temozolomide_efficacy * (1 - (1 - TP53_EFFICACY) * mutated),
            "repair_rate": self.repair_rate * (1 - (1 - CODELETED_REPAIR) * codeleted),
        }

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """The population of Mazzocco 2015; a patient's efficacy and elimination of PCV deviate from the typical ones
        by the same factor as those of temozolomide, both being alkylating agents."""
        genotype = np.searchsorted(np.cumsum(GENOTYPE_SHARES), rng.random(n), side="right")
        known = {f"genotype={level}": (genotype == index) * 1.0 for index, level in enumerate(GENOTYPES)}
        typical = self.typical_parameters(known)
        factors = log_normal(BETWEEN_SUBJECTS, n, rng)
        of = {name: factors[SHARED.get(name, name)] for name in self.parameters if SHARED.get(name, name) in factors}
        of |= {f"pcv_{what}": of[f"temozolomide_{what}"] for what in ("efficacy", "elimination")}
        parameters = {name: np.asarray(typical.get(name, getattr(self, name)) * factor) for name, factor in of.items()}
        return PopulationDraw(parameters, genotype[:, None].astype(np.float64))
