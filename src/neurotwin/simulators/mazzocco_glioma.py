"""Low-grade glioma under first-line temozolomide.

Source: P. Mazzocco, C. Barthelemy, G. Kaloshi, M. Lavielle, D. Ricard, A. Idbaih, D. Psimaras, M.-A. Renard, A.
Alentorn, J. Honnorat, J.-Y. Delattre, F. Ducray, B. Ribba, "Prediction of response to temozolomide in low-grade glioma
patients based on tumor size dynamics and genetic characteristics", CPT: Pharmacometrics & Systems Pharmacology
4:728-737 (2015), 77 patients; constants as transcribed from its Table 2 in the library nlmixr2lib.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurotwin.schema import Static, Treatment
from neurotwin.simulators.glioma_chemo import MAZZOCCO, RIBBA, GliomaChemo, log_normal
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Value

NEITHER, TP53_MUTATED, CODELETED = GENOTYPES = ("neither", "tp53_mutated", "codeleted_1p19q")
# 24 of 59 and 23 of 70 patients with known status; no patient had both.
GENOTYPE_SHARES = (0.26, 0.41, 0.33)
TP53_EFFICACY = 0.143 / 0.254  # of the wild type's gamma
CODELETED_REPAIR = 0.00807 / 0.00947  # of the repair rate without codeletion
# Coefficients of variation between patients, of log-normal parameters.
BETWEEN_SUBJECTS = {
    "initial_proliferative": 1.43,
    "initial_quiescent": 0.558,
    "growth_rate": 0.631,
    "quiescence_rate": 0.81,
    "repair_rate": 1.62,
    "death_rate": 0.862,
    "drug_efficacy": 0.686,
    "resistance_rate": 0.805,
    "drug_elimination": 0.5,
}


@dataclass(frozen=True)
class MazzoccoGlioma(GliomaChemo):
    """The equations of `GliomaChemo` with acquired resistance; each 5-day cycle of temozolomide is one unit.

    Args:
        growth_rate: lambda, /mo.
        carrying_capacity: K, mm.
        quiescence_rate: k_PQ, /mo: from proliferative to quiescent.
        repair_rate: k_QpP, /mo: from damaged quiescent back to proliferative; without 1p/19q codeletion.
        death_rate: delta_Qp, /mo: of damaged quiescent tissue.
        drug_efficacy: gamma, tissue hit per unit of drug; for a wild-type TP53.
        resistance_rate: res, /mo: at which the effect on proliferative tissue is lost after the first dose.
        drug_elimination: KDE, /mo: a half-life of 2.5 days.
        initial_proliferative: P at the start, mm.
        initial_quiescent: Q at the start, mm.
    """

    growth_rate: Value = 0.143
    carrying_capacity: Value = 100.0
    quiescence_rate: Value = 0.0429
    repair_rate: Value = 0.00947
    death_rate: Value = 0.0188
    drug_efficacy: Value = 0.254
    resistance_rate: Value = 0.1
    drug_elimination: Value = 8.3
    initial_proliferative: Value = 1.72
    initial_quiescent: Value = 32.1

    name: ClassVar[str] = "mazzocco_glioma"
    max_step: ClassVar[float] = 0.0175
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "growth_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "carrying_capacity": Parameter("mm", (1.0, 1e3), f"{RIBBA}, fixed there"),
        "quiescence_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "repair_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "death_rate": Parameter("/mo", (0.0, 20.0), MAZZOCCO),
        "drug_efficacy": Parameter("1", (0.0, 50.0), MAZZOCCO),
        "resistance_rate": Parameter("/mo", (0.0, 50.0), MAZZOCCO),
        "drug_elimination": Parameter("/mo", (0.0, 100.0), f"{MAZZOCCO}, fixed there"),
        "initial_proliferative": Parameter("mm", (0.0, 2e3), MAZZOCCO),
        "initial_quiescent": Parameter("mm", (0.0, 2e3), MAZZOCCO),
    }
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="temozolomide", unit="1", kind="bolus", plausible=(0.0, 5.0)),
    )
    statics: ClassVar[tuple[Static, ...]] = (Static(name="genotype", levels=GENOTYPES),)
    typical_statics: ClassVar[tuple[float, ...]] = (0.0,)

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Temozolomide hits less where TP53 is mutated; repair is slower where 1p and 19q are codeleted."""
        mutated, codeleted = covariates[f"genotype={TP53_MUTATED}"], covariates[f"genotype={CODELETED}"]
        return {
            "drug_efficacy": self.drug_efficacy * (1 - (1 - TP53_EFFICACY) * mutated),
            "repair_rate": self.repair_rate * (1 - (1 - CODELETED_REPAIR) * codeleted),
        }

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Genotypes with the study's shares, and log-normal variability around the typical parameters."""
        genotype = np.searchsorted(np.cumsum(GENOTYPE_SHARES), rng.random(n), side="right")
        known = {f"genotype={level}": (genotype == index) * 1.0 for index, level in enumerate(GENOTYPES)}
        typical = self.typical_parameters(known)
        factors = log_normal(BETWEEN_SUBJECTS, n, rng)
        parameters = {name: np.asarray(typical.get(name, getattr(self, name)) * item) for name, item in factors.items()}
        return PopulationDraw(parameters, genotype[:, None].astype(np.float64))
