"""Low-grade glioma under PCV: procarbazine, lomustine (CCNU) and vincristine.

Source: B. Ribba, G. Kaloshi, M. Peyre, D. Ricard, V. Calvez, M. Tod, B. Cajavec-Bernard, A. Idbaih, D. Psimaras, L.
Dainese, J. Pallud, S. Cartalat-Carel, J.-Y. Delattre, J. Honnorat, E. Grenier, F. Ducray, "A tumor growth inhibition
model for low-grade glioma treated with chemotherapy or radiotherapy", Clinical Cancer Research 18:5071-5080 (2012), 21
patients; constants as in BIOMD0000000521 of the BioModels database, two faults of which are corrected here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurotwin.schema import Treatment
from neurotwin.simulators.glioma_chemo import RIBBA, GliomaChemo, log_normal
from neurotwin.simulators.mazzocco_glioma import BETWEEN_SUBJECTS
from neurotwin.simulators.simulator import Parameter, PopulationDraw, Value

BIOMODELS = f"{RIBBA}, as in BIOMD0000000521"
# Of the temozolomide model; resistance is left out, as there is none under PCV (proposal).
PROPOSED_BETWEEN_SUBJECTS = {name: cv for name, cv in BETWEEN_SUBJECTS.items() if name != "resistance_rate"}


@dataclass(frozen=True)
class RibbaGlioma(GliomaChemo):
    """The equations of `GliomaChemo` without resistance; each cycle of PCV is one unit.

    BIOMD0000000521 has Q' = k_PQ - ... without the factor P, and k_PQ ten times smaller. Here as in the paper.

    Args:
        growth_rate: lambda_P, /mo.
        carrying_capacity: K, mm.
        quiescence_rate: k_PQ, /mo: from proliferative to quiescent.
        repair_rate: k_QpP, /mo: from damaged quiescent back to proliferative.
        death_rate: delta_Qp, /mo: of damaged quiescent tissue.
        drug_efficacy: gamma, tissue hit per unit of drug.
        resistance_rate: at which the effect on proliferative tissue is lost after the first dose, /mo; 0 in the paper.
        drug_elimination: KDE, /mo.
        initial_proliferative: P at the start, mm.
        initial_quiescent: Q at the start, mm.
    """

    growth_rate: Value = 0.121
    carrying_capacity: Value = 100.0
    quiescence_rate: Value = 0.0295
    repair_rate: Value = 0.0031
    death_rate: Value = 0.0087
    drug_efficacy: Value = 0.729
    resistance_rate: Value = 0.0
    drug_elimination: Value = 0.24
    initial_proliferative: Value = 7.13
    initial_quiescent: Value = 41.2

    name: ClassVar[str] = "ribba_glioma"
    max_step: ClassVar[float] = 0.25
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "growth_rate": Parameter("/mo", (0.0, 20.0), BIOMODELS),
        "carrying_capacity": Parameter("mm", (1.0, 1e3), BIOMODELS),
        "quiescence_rate": Parameter("/mo", (0.0, 20.0), RIBBA),
        "repair_rate": Parameter("/mo", (0.0, 20.0), BIOMODELS),
        "death_rate": Parameter("/mo", (0.0, 20.0), BIOMODELS),
        "drug_efficacy": Parameter("1", (0.0, 50.0), BIOMODELS),
        "resistance_rate": Parameter("/mo", (0.0, 50.0), f"{RIBBA}: none"),
        "drug_elimination": Parameter("/mo", (0.0, 100.0), BIOMODELS),
        "initial_proliferative": Parameter("mm", (0.0, 2e3), BIOMODELS),
        "initial_quiescent": Parameter("mm", (0.0, 2e3), BIOMODELS),
    }
    treatments: ClassVar[tuple[Treatment, ...]] = (Treatment(name="pcv", unit="1", kind="bolus", plausible=(0.0, 5.0)),)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal variability with the coefficients of variation published for temozolomide."""
        factors = log_normal(PROPOSED_BETWEEN_SUBJECTS, n, rng)
        return PopulationDraw(
            {name: np.asarray(getattr(self, name) * item) for name, item in factors.items()}, np.zeros((n, 0))
        )
