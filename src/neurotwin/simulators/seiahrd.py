"""An epidemic with hospitals: susceptible, exposed, infectious, asymptomatic, hospitalised, recovered, deceased.

Source: H. M. Paiva, R. J. M. Afonso, I. L. de Oliveira, G. F. Garcia, "A data-driven model to describe and forecast the
dynamics of COVID-19 transmission", PLoS ONE 15(7):e0236386 (2020), with the start values of BIOMD0000000960. The beds
are this project's: lengths of stay from E. M. Rees et al., "COVID-19 length of hospital stay: a systematic review and
data synthesis", BMC Medicine 18:270 (2020).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Static, Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Paiva et al., PLoS ONE 15:e0236386 (2020)"
FILE = "BIOMD0000000960"
STAYS = "fitted to the median and quartiles in Rees et al., BMC Med 18:270 (2020)"

WARD_STAGES, ICU_STAGES = 3, 2
COUNTRIES = ("China", "Italy", "Spain", "France", "Germany", "USA")
# The paper's table 3, one column per country. Its USA have a symptomatic share of 1.01, which would make the flow of
# new asymptomatic persons negative: 1 here.
TABLE: dict[str, tuple[float, ...]] = {
    "transmission_rate": (0.334, 0.189, 0.382, 0.298, 0.135, 0.303),
    "lockdown_transmission_rate": (0.14, 0.081, 0.16, 0.129, 0.055, 0.13),
    "hospital_transmissibility": (0.673, 8.0, 7.69, 8.0, 4.8, 0.851),
    "lockdown_hospital_transmissibility": (0.135, 8.0, 6.49, 8.0, 1.13, 0.851),
    "asymptomatic_transmissibility": (8.0, 0.649, 3.9, 8.0, 4.9, 4.09),
    "lockdown_asymptomatic_transmissibility": (8.0, 0.649, 3.9, 8.0, 4.9, 0.82),
    "exposure_rate": (0.44, 0.284, 0.362, 0.309, 0.578, 1.33),
    "symptomatic_share": (0.053, 0.27, 0.102, 0.033, 0.021, 1.0),
    "hospitalisation_rate": (0.503, 0.224, 0.116, 0.3, 0.542, 0.055),
    "recovery_rate": (0.263, 0.04, 0.063, 0.02, 0.05, 0.296),
    "hospital_recovery_rate": (0.141, 0.24, 0.281, 0.131, 0.036, 0.018),
    "asymptomatic_removal_rate": (1.64, 0.146, 1.03, 1.53, 0.302, 0.828),
    "hospital_death_rate": (0.008, 0.023, 0.019, 0.029, 0.003, 0.00029),
    "death_rate": (0.003, 0.023, 0.016, 0.018, 0.002, 0.023),
    # From the file, and below them what this project carries over from China to the others (proposals).
    "population_size": (1.1e7, 6.04e7, 4.69e7, 6.7e7, 8.3e7, 3.282e8),
    "initial_infectious": (732.0, 648.0, 500.0, 575.0, 735.0, 576.0),
    "initial_exposed": (36600.0, 32400.0, 25000.0, 28750.0, 36750.0, 28800.0),
    "initial_asymptomatic": (2196.0, 1944.0, 1500.0, 1725.0, 2205.0, 1728.0),
    "initial_susceptible": (9.9e6, 5.436e7, 4.221e7, 6.03e7, 7.47e7, 2.9538e8),
    "ward_stay": (15.7, 5.6, 5.6, 5.6, 5.6, 5.6),
    "icu_stay": (9.5, 8.3, 8.3, 8.3, 8.3, 8.3),
    "ward_capacity": (11000.0, 60400.0, 46900.0, 67000.0, 83000.0, 328200.0),
    "icu_capacity": (550.0, 3020.0, 2345.0, 3350.0, 4150.0, 16410.0),
}
# Coefficients of variation of the proposed population around its country; both phases of a rate share one factor.
VARIATION = {
    ("transmission_rate", "lockdown_transmission_rate"): 0.1,
    ("initial_exposed", "initial_infectious", "initial_asymptomatic"): 0.3,
    ("hospitalisation_rate",): 0.1,
    ("hospital_recovery_rate",): 0.1,
    ("hospital_death_rate",): 0.2,
    ("ward_stay", "icu_stay"): 0.2,
    ("ward_capacity",): 0.3,
    ("icu_capacity",): 0.3,
}


@dataclass(frozen=True)
class Seiahrd(Simulator):
    """Paiva's compartments, and beds that count the admitted without acting back on them.

    Time in days, everything else in persons. N is constant; force = b (I + la A + l H) / N.

        S' = -force S - v S      E' = force S - k E      I' = k rho E - (ga + gi + dI) I      A' = k (1 - rho) E - mu A
        H' = ga I - (gr + dH) H  R' = gi I + gr H + mu A + v S  D' = dI I + dH H              C' = k rho E
        b = b1 (b2/b1)^u, and l and la alike

    u is the setting ``lockdown``: 0 is the paper's first phase, 1 its second; levels add and their effects multiply
    (half a lockdown twice is a whole one), which is a proposal for all levels but 0 and 1. v, the setting
    ``vaccination`` (proposal), is the rate at which susceptible persons become immune; rates add.

    Beds (proposal): of the admitted ga I a share p goes to intensive care, the others to a ward. Stays are gamma
    distributed: a chain of 3 stages on the ward and 2 in intensive care. Who finds no bed is counted as overflow and
    has the same stay. Paiva's own H is a fitted class, whose mean stay lies between 3 and 55 days; it is not the sum.

    Args:
        population_size: N.
        transmission_rate: b1, 1/d; without lockdown.
        lockdown_transmission_rate: b2, 1/d; in lockdown.
        hospital_transmissibility: l1, of a hospitalised person relative to an infectious one.
        lockdown_hospital_transmissibility: l2.
        asymptomatic_transmissibility: la1, of an asymptomatic person relative to an infectious one.
        lockdown_asymptomatic_transmissibility: la2.
        exposure_rate: k (kappa), 1/d.
        symptomatic_share: rho.
        hospitalisation_rate: ga, 1/d.
        recovery_rate: gi, 1/d.
        hospital_recovery_rate: gr, 1/d.
        asymptomatic_removal_rate: mu, 1/d.
        hospital_death_rate: dH, 1/d.
        death_rate: dI, 1/d.
        initial_susceptible: S at the start.
        initial_exposed: E at the start.
        initial_infectious: I at the start.
        initial_asymptomatic: A at the start.
        icu_share: p.
        ward_stay: mean stay on the ward, d.
        icu_stay: mean stay in intensive care, d.
        ward_capacity: beds on the wards.
        icu_capacity: beds in intensive care.
    """

    population_size: Value = 1.1e7
    transmission_rate: Value = 0.334
    lockdown_transmission_rate: Value = 0.14
    hospital_transmissibility: Value = 0.673
    lockdown_hospital_transmissibility: Value = 0.135
    asymptomatic_transmissibility: Value = 8.0
    lockdown_asymptomatic_transmissibility: Value = 8.0
    exposure_rate: Value = 0.44
    symptomatic_share: Value = 0.053
    hospitalisation_rate: Value = 0.503
    recovery_rate: Value = 0.263
    hospital_recovery_rate: Value = 0.141
    asymptomatic_removal_rate: Value = 1.64
    hospital_death_rate: Value = 0.008
    death_rate: Value = 0.003
    initial_susceptible: Value = 9.9e6
    initial_exposed: Value = 36600.0
    initial_infectious: Value = 732.0
    initial_asymptomatic: Value = 2196.0
    icu_share: Value = 0.05
    ward_stay: Value = 15.7
    icu_stay: Value = 9.5
    ward_capacity: Value = 11000.0
    icu_capacity: Value = 550.0

    name: ClassVar[str] = "epidemic"
    time_unit: ClassVar[str] = "d"
    max_step: ClassVar[float] = 0.15
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "population_size": Parameter("1", (100.0, 1e10), FILE),
        "transmission_rate": Parameter("/d", (1e-3, 5.0), PAPER),
        "lockdown_transmission_rate": Parameter("/d", (1e-3, 5.0), PAPER),
        "hospital_transmissibility": Parameter("1", (1e-3, 20.0), PAPER),
        "lockdown_hospital_transmissibility": Parameter("1", (1e-3, 20.0), PAPER),
        "asymptomatic_transmissibility": Parameter("1", (1e-3, 20.0), PAPER),
        "lockdown_asymptomatic_transmissibility": Parameter("1", (1e-3, 20.0), PAPER),
        "exposure_rate": Parameter("/d", (1e-2, 5.0), PAPER),
        "symptomatic_share": Parameter("1", (0.0, 1.0), PAPER),
        "hospitalisation_rate": Parameter("/d", (0.0, 5.0), PAPER),
        "recovery_rate": Parameter("/d", (0.0, 5.0), PAPER),
        "hospital_recovery_rate": Parameter("/d", (0.0, 5.0), PAPER),
        "asymptomatic_removal_rate": Parameter("/d", (1e-3, 5.0), PAPER),
        "hospital_death_rate": Parameter("/d", (0.0, 1.0), PAPER),
        "death_rate": Parameter("/d", (0.0, 1.0), PAPER),
        "initial_susceptible": Parameter("1", (0.0, 1e10), FILE),
        "initial_exposed": Parameter("1", (0.0, 1e9), FILE),
        "initial_infectious": Parameter("1", (0.0, 1e9), FILE),
        "initial_asymptomatic": Parameter("1", (0.0, 1e9), FILE),
        "icu_share": Parameter("1", (0.0, 1.0), "Guan et al., N Engl J Med 382:1708 (2020), 5.0 %", "proposal"),
        "ward_stay": Parameter("d", (0.5, 100.0), STAYS, "proposal"),
        "icu_stay": Parameter("d", (0.5, 100.0), STAYS, "proposal"),
        "ward_capacity": Parameter("1", (0.0, 1e8), "1 per 1,000 of the population", "proposal"),
        "icu_capacity": Parameter("1", (0.0, 1e7), "5 per 100,000 of the population", "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = tuple(
        State(name, "1", (0.0, math.inf))
        for name in (
            *("susceptible", "exposed", "infectious", "asymptomatic", "hospitalised", "recovered", "deceased"),
            *("cumulative_cases", "ward_first", "ward_second", "ward_third", "icu_first", "icu_second"),
        )
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="lockdown", unit="1", kind="setting", plausible=(0.0, 2.0)),
        Treatment(name="vaccination", unit="/d", kind="setting", plausible=(0.0, 0.2)),
    )
    # On the log scale, where growth is a slope; the offset is one person.
    variables: ClassVar[tuple[Variable, ...]] = tuple(
        Variable(name=name, unit=unit, plausible=(0.0, 1e10), transform="log", offset=1.0, source=source)
        for name, unit, source in (
            ("new_cases", "/d", PAPER),
            ("hospitalised", "1", PAPER),
            ("deceased", "1", PAPER),
            ("ward_beds", "1", STAYS),
            ("icu_beds", "1", STAYS),
            ("ward_overflow", "1", STAYS),
            ("icu_overflow", "1", STAYS),
        )
    )
    statics: ClassVar[tuple[Static, ...]] = (Static(name="country", levels=COUNTRIES),)
    typical_statics: ClassVar[tuple[float, ...]] = (0.0,)

    def initial_state(self, n: int) -> Array:
        start = (self.initial_susceptible, self.initial_exposed, self.initial_infectious, self.initial_asymptomatic)
        return stack_state(n, *start, *(0.0,) * (len(self.states) - len(start)))

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        susceptible, exposed, infectious, asymptomatic, hospitalised, _, _, _, *beds = xp.unstack(state, axis=-1)
        lockdown, vaccination = xp.unstack(control, axis=-1)
        transmission, by_hospital, by_asymptomatic = self._phase(lockdown)
        sources = infectious + by_asymptomatic * asymptomatic + by_hospital * hospitalised
        infected = transmission * sources / self.population_size * susceptible
        vaccinated = vaccination * susceptible
        onset = self.exposure_rate * exposed
        cases = self.symptomatic_share * onset
        admitted = self.hospitalisation_rate * infectious
        recovered, died = self.recovery_rate * infectious, self.death_rate * infectious
        discharged, died_there = self.hospital_recovery_rate * hospitalised, self.hospital_death_rate * hospitalised
        removed = self.asymptomatic_removal_rate * asymptomatic
        slopes = [
            -infected - vaccinated,
            infected - onset,
            cases - admitted - recovered - died,
            onset - cases - removed,
            admitted - discharged - died_there,
            recovered + discharged + removed + vaccinated,
            died + died_there,
            cases,
            *_chain((1 - self.icu_share) * admitted, beds[:WARD_STAGES], self.ward_stay),
            *_chain(self.icu_share * admitted, beds[WARD_STAGES:], self.icu_stay),
        ]
        return xp.stack(slopes, axis=-1)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        columns = xp.unstack(state, axis=-1)
        cases = self.symptomatic_share * self.exposure_rate * columns[1]
        ward, icu = sum(columns[8 : 8 + WARD_STAGES]), sum(columns[8 + WARD_STAGES :])
        beyond = [
            xp.where(need > capacity, need - capacity, xp.zeros_like(need))
            for need, capacity in ((ward, self.ward_capacity), (icu, self.icu_capacity))
        ]
        return xp.stack([cases, columns[4], columns[6], ward - beyond[0], icu - beyond[1], *beyond], axis=-1)

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """The country's values of `TABLE`; a parameter that was set keeps its ratio to the one of China."""
        return {
            name: getattr(self, name)
            * sum(covariates[f"country={COUNTRIES[index]}"] * (value / values[0]) for index, value in enumerate(values))
            for name, values in TABLE.items()
        }

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """One of the six countries each, without other variability."""
        country = rng.integers(len(COUNTRIES), size=n)
        known = {f"country={name}": (country == index) * 1.0 for index, name in enumerate(COUNTRIES)}
        parameters = {name: np.asarray(value) for name, value in self.typical_parameters(known).items()}
        return PopulationDraw(parameters, country[:, None].astype(np.float64))

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Regions like one of the six countries, with log-normal variability around its values."""
        parameters, statics = self.published_population(n, rng)
        for names, variation in VARIATION.items():
            factor = np.exp(math.sqrt(math.log1p(variation**2)) * rng.standard_normal(n))
            parameters |= {name: parameters[name] * factor for name in names}
        return PopulationDraw(parameters, statics)

    def reproduction_number(self, lockdown: Value = 0.0) -> Value:
        """Persons whom one exposed person infects where all N are susceptible (the paper's equation 10)."""
        transmission, by_hospital, by_asymptomatic = self._phase(lockdown)
        leaving = self.hospitalisation_rate + self.recovery_rate + self.death_rate
        stay = self.hospitalisation_rate / (self.hospital_recovery_rate + self.hospital_death_rate)
        symptomatic = self.symptomatic_share * (1 + by_hospital * stay) / leaving
        return transmission * (
            symptomatic + by_asymptomatic * (1 - self.symptomatic_share) / self.asymptomatic_removal_rate
        )

    def _phase(self, lockdown: Value) -> tuple[Value, Value, Value]:
        """b, l and la at a level of lockdown."""
        pairs = (
            (self.transmission_rate, self.lockdown_transmission_rate),
            (self.hospital_transmissibility, self.lockdown_hospital_transmissibility),
            (self.asymptomatic_transmissibility, self.lockdown_asymptomatic_transmissibility),
        )
        transmission, hospital, asymptomatic = (first * (second / first) ** lockdown for first, second in pairs)
        return transmission, hospital, asymptomatic


def _chain(inflow: Array, stages: list[Array], stay: Value) -> list[Array]:
    """Slopes of stages that are passed one after another, in ``stay`` days on average altogether."""
    flows = [inflow, *(stage * (len(stages) / stay) for stage in stages)]
    return [flow_in - flow_out for flow_in, flow_out in pairwise(flows)]
