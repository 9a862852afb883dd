"""Type 1 diabetes: the UVA/Padova simulator of 2008 as in the package simglucose, meals eaten bite by bite.

Sources: C. Dalla Man, R. A. Rizza, C. Cobelli, "Meal simulation model of the glucose-insulin system", IEEE Transactions
on Biomedical Engineering 54:1740 (2007); B. P. Kovatchev, M. Breton, C. Dalla Man, C. Cobelli, "In silico preclinical
trials: a proof of concept in closed-loop control of type 1 diabetes", Journal of Diabetes Science and Technology 3:44
(2009). Patients, the subcutaneous part and the rules of eating as in simglucose 0.2.11 (J. Xie, MIT licence).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.events import Doses
from neurotwin.schema import Static, Treatment, Variable
from neurotwin.simulators import t1d_patients
from neurotwin.simulators.meals import BITE, SAME_BOUT, act_out_deliveries
from neurotwin.simulators.simulator import (
    Array,
    Parameter,
    PopulationDraw,
    Screening,
    Simulator,
    State,
    Value,
    stack_state,
)
from neurotwin.simulators.t1d_parameters import PARAMETERS, TABLE
from neurotwin.simulators.t1d_rest import rest_of

PMOL_PER_UNIT = 6000.0
LONG_AGO = 1440.0
"""Minutes since the last bite at the start."""
FASTING_GLUCOSE = 110.0, 180.0
BASAL_RATE = 0.1, 5.0
"""mg/dL and U/h at rest, of the patients that are accepted: proposal."""


@dataclass(frozen=True)
class T1dUvaPadova(Simulator):
    """Glucose, insulin, subcutaneous insulin and the gut of a patient with type 1 diabetes on an insulin pump.

    Time in minutes. States: stomach q1, q2 and gut q3 (mg); glucose in plasma Gp, tissue Gt and under the skin Gs
    (mg/kg); insulin in plasma Ip, liver Il and two depots under the skin s1, s2 (pmol/kg); insulin action X, delayed
    insulin I1, Id (pmol/L). With D = stomach_at_meal + 1000 eaten (mg), q = q1 + q2, I = Ip/Vi, u insulin given
    (pmol/kg/min), c carbohydrate eaten (mg/min):

        q1' = c - kmax q1        q2' = kmax q1 - kgut q2        q3' = kgut q2 - kabs q3
        kgut = kmin + (kmax - kmin)/2 (tanh(5 (q - b D)/(2 D (1 - b))) - tanh(5 (q - d D)/(2 D d)) + 2), kmax if D = 0
        Gp' = max(kp1 - kp2 Gp - kp3 Id, 0) + f kabs q3/BW - Fsnc - ke1 max(Gp - ke2, 0) - k1 Gp + k2 Gt
        Gt' = k1 Gp - k2 Gt - (Vm0 + Vmx X) Gt/(Km0 + Gt)        Gs' = ksc (Gp - Gs)
        Ip' = m1 Il + ka1 s1 + ka2 s2 - (m2 + m4) Ip        Il' = m2 Ip - (m1 + m30) Il
        s1' = u - (ka1 + kd) s1        s2' = kd s1 - ka2 s2
        X' = p2u (I - Ib - X)        I1' = ki (I - I1)        Id' = ki (I1 - Id)

    Gp, Gt, Gs, Ip, Il, s1 and s2 stand still below 0. kp1, Vm0, m30 and m4 are such that the patient rests at Gb and
    Ib with the own basal rate of insulin. Observed: Gp/Vg and Gs/Vg (mg/dL).

    Treatments: ``basal_change``, relative change of the own basal rate (-1: pump off; changes add up, and less than
    nothing is nothing); ``insulin_infusion`` (U/h) on top of it; ``insulin_bolus`` (U), delivered within a minute;
    ``meal`` (g of carbohydrate), eaten at 5 g a minute, one bite a minute. A meal announced while eating is eaten
    after what is left. A bite more than a minute after the last one began opens a new bout of eating: it sets
    stomach_at_meal to q, and eaten to 0, before its grams are added to eaten.

    Args:
        body_weight: BW, kg.
        fasting_glucose: Gb, mg/dL.
        fasting_insulin: Ib, pmol/L.
        fasting_production: EGPb, mg/kg/min.
        gut_absorption_rate: kabs, 1/min.
        fastest_emptying: kmax, 1/min.
        slowest_emptying: kmin, 1/min.
        slowing_share: b, share of D at which emptying slows down.
        recovery_share: d, share of D at which emptying recovers.
        absorbed_fraction: f.
        glucose_volume: Vg, dL/kg.
        insulin_volume: Vi, L/kg.
        glucose_to_tissue: k1, 1/min.
        glucose_from_tissue: k2, 1/min.
        independent_uptake: Fsnc, mg/kg/min.
        uptake_sensitivity: Vmx, mg/kg/min per pmol/L.
        half_uptake: Km0, mg/kg.
        action_rate: p2u, 1/min.
        production_glucose_effect: kp2, 1/min.
        production_insulin_effect: kp3, mg/kg/min per pmol/L.
        production_delay_rate: ki, 1/min.
        renal_rate: ke1, 1/min.
        renal_threshold: ke2, mg/kg.
        insulin_from_liver: m1, 1/min.
        insulin_to_liver: m2, 1/min; the periphery clears m4 = 2/3 HE m2.
        hepatic_extraction: HE; the liver clears m30 = m1 HE/(1 - HE).
        dissociation_rate: kd, 1/min.
        slow_insulin_absorption: ka1, 1/min.
        fast_insulin_absorption: ka2, 1/min.
        sensor_rate: ksc, 1/min.
    """

    body_weight: Value = 102.32
    fasting_glucose: Value = 138.56
    fasting_insulin: Value = 100.25
    fasting_production: Value = 2.2758
    gut_absorption_rate: Value = 0.08906
    fastest_emptying: Value = 0.046122
    slowest_emptying: Value = 0.0037927
    slowing_share: Value = 0.70391
    recovery_share: Value = 0.21057
    absorbed_fraction: Value = 0.9
    glucose_volume: Value = 1.9152
    insulin_volume: Value = 0.054906
    glucose_to_tissue: Value = 0.058138
    glucose_from_tissue: Value = 0.087114
    independent_uptake: Value = 1.0
    uptake_sensitivity: Value = 0.031319
    half_uptake: Value = 253.52
    action_rate: Value = 0.027802
    production_glucose_effect: Value = 0.00469
    production_insulin_effect: Value = 0.01208
    production_delay_rate: Value = 0.0046374
    renal_rate: Value = 0.0005
    renal_threshold: Value = 339.0
    insulin_from_liver: Value = 0.15446
    insulin_to_liver: Value = 0.225027424083
    hepatic_extraction: Value = 0.6
    dissociation_rate: Value = 0.0152
    slow_insulin_absorption: Value = 0.0019
    fast_insulin_absorption: Value = 0.0078
    sensor_rate: Value = 0.0766

    name: ClassVar[str] = "t1d_uvapadova"
    time_unit: ClassVar[str] = "min"
    max_step: ClassVar[float] = 1.0
    parameters: ClassVar[Mapping[str, Parameter]] = PARAMETERS
    states: ClassVar[tuple[State, ...]] = (
        *(State(name, "mg", (0.0, math.inf)) for name in ("stomach_solid", "stomach_liquid", "gut")),
        *(State(name, "mg/kg", (0.0, math.inf)) for name in ("plasma_glucose", "tissue_glucose")),
        State("plasma_insulin", "pmol/kg", (0.0, math.inf)),
        State("insulin_action", "pmol/L"),
        *(State(name, "pmol/L", (0.0, math.inf)) for name in ("delayed_insulin_1", "delayed_insulin_2")),
        *(State(name, "pmol/kg", (0.0, math.inf)) for name in ("liver_insulin", "depot_1", "depot_2")),
        State("subcutaneous_glucose", "mg/kg", (0.0, math.inf)),
        State("stomach_at_meal", "mg", (0.0, math.inf)),
        State("eaten", "g", (0.0, math.inf)),
        State("since_bite", "min", (0.0, math.inf)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="basal_change", unit="1", kind="setting", plausible=(-3.0, 3.0)),
        Treatment(name="insulin_infusion", unit="[IU]/h", kind="infusion", plausible=(0.0, 20.0)),
        Treatment(name="insulin_bolus", unit="[IU]", kind="bolus", plausible=(0.0, 50.0)),
        Treatment(name="meal", unit="g", kind="bolus", plausible=(0.0, 300.0)),
    )
    delivered: ClassVar[tuple[str, ...]] = ("insulin_bolus", "meal")
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="glucose", unit="mg/dL", plausible=(0.0, 2000.0), transform="log", offset=10.0, source=TABLE),
        Variable(name="cgm", unit="mg/dL", plausible=(0.0, 2000.0), transform="log", offset=10.0, source=TABLE),
    )
    statics: ClassVar[tuple[Static, ...]] = (
        Static(name="age_group", levels=t1d_patients.GROUPS),
        Static(name="body_weight", unit="kg", plausible=(5.0, 300.0)),
        Static(name="basal_insulin", unit="[IU]/h", plausible=(0.01, 20.0)),
    )
    typical_statics: ClassVar[tuple[float, ...]] = (0.0, 102.32, 1.2673605)

    def initial_state(self, n: int) -> Array:
        """At rest, long after the last meal."""
        rest, level = rest_of(self), self.fasting_insulin
        glucose, insulin = (rest.plasma, rest.tissue), (rest.insulin, 0.0, level, level, rest.liver, *rest.depots)
        return stack_state(n, 0.0, 0.0, 0.0, *glucose, *insulin, rest.plasma, 0.0, 0.0, LONG_AGO)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        solid, liquid, gut, plasma, tissue, insulin, action, first, second, liver, depot, late, skin, *_ = xp.unstack(
            state, axis=-1
        )
        change, infusion, bolus, eating = xp.unstack(control, axis=-1)
        rest, level = rest_of(self), insulin / self.insulin_volume
        given = rest.basal * xp.maximum(1 + change, xp.zeros_like(change))
        given = given + (infusion / 60 + bolus) * PMOL_PER_UNIT / self.body_weight
        emptied, absorbed = self._emptying(state) * liquid, self.gut_absorption_rate * gut
        exchange = self.glucose_to_tissue * plasma - self.glucose_from_tissue * tissue
        none = xp.zeros_like(plasma)
        held_back = self.production_glucose_effect * plasma + self.production_insulin_effect * second
        production = xp.maximum(rest.production - held_back, none)
        lost = self.independent_uptake + self.renal_rate * xp.maximum(plasma - self.renal_threshold, none)
        appears = self.absorbed_fraction * absorbed / self.body_weight
        used = (rest.uptake + self.uptake_sensitivity * action) * tissue / (self.half_uptake + tissue)
        to_liver = self.insulin_to_liver * insulin
        from_depots = self.slow_insulin_absorption * depot + self.fast_insulin_absorption * late
        ground, dissociated = self.fastest_emptying * solid, self.dissociation_rate * depot
        to_plasma = self.insulin_from_liver * liver

        def while_there(amount: Array, slope: Array) -> Array:
            return xp.where(amount >= 0, slope, none)

        slopes = [
            1000 * eating - ground,
            ground - emptied,
            emptied - absorbed,
            while_there(plasma, production + appears - lost - exchange),
            while_there(tissue, exchange - used),
            while_there(insulin, to_plasma + from_depots - to_liver - rest.peripheral_clearance * insulin),
            self.action_rate * (level - self.fasting_insulin - action),
            self.production_delay_rate * (level - first),
            self.production_delay_rate * (first - second),
            while_there(liver, to_liver - to_plasma - rest.hepatic_clearance * liver),
            while_there(depot, given - self.slow_insulin_absorption * depot - dissociated),
            while_there(late, dissociated - self.fast_insulin_absorption * late),
            while_there(skin, self.sensor_rate * (plasma - skin)),
        ]
        return xp.stack([*slopes, none, none, none + 1], axis=-1)

    def jump(self, state: Array, amount: Array) -> Array:
        """A bite's grams are counted; the first of a bout looks at what is in the stomach."""
        xp = array_namespace(state, amount)
        columns = list(xp.unstack(state, axis=-1))
        before, eaten, since = columns[-3:]
        grams = xp.unstack(amount, axis=-1)[3]
        bite, opens = grams > 0, (grams > 0) & (since > BITE + SAME_BOUT)
        columns[-3:] = [
            xp.where(opens, columns[0] + columns[1], before),
            xp.where(opens, grams, eaten + grams),
            xp.where(bite, xp.zeros_like(since), since),
        ]
        return xp.stack(columns, axis=-1)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        columns = xp.unstack(state, axis=-1)
        return xp.stack([columns[3] / self.glucose_volume, columns[12] / self.glucose_volume], axis=-1)

    def acted_out(self, doses: Doses) -> Doses:
        """Meals bite by bite, boluses of insulin in a minute. Raises SimulationError for an amount out of range."""
        return act_out_deliveries(doses, self.treatments, bolus=2, meal=3)

    def screen(self) -> Screening:
        """Rest at a possible glucose and basal rate, with tissue that takes up glucose and a meal that empties."""
        rest, glucose, rate = rest_of(self), np.asarray(self.fasting_glucose), np.asarray(self.basal_rate)
        rests = (np.asarray(rest.tissue) > 0) & (np.asarray(rest.uptake) > 0)
        empties = (np.asarray(self.slowest_emptying) < self.fastest_emptying) & (
            np.asarray(self.recovery_share) < self.slowing_share
        )
        known = (glucose >= FASTING_GLUCOSE[0]) & (glucose <= FASTING_GLUCOSE[1])
        accepted = known & (rate >= BASAL_RATE[0]) & (rate <= BASAL_RATE[1]) & rests & empties
        return Screening(np.broadcast_to(accepted, self.batch_size or 1), {})

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """The age group as ratios to adults, the weight, and insulin at rest such that the basal rate is the given."""
        groups = [(covariates[f"age_group={group}"], group) for group in t1d_patients.GROUPS[1:]]
        found: dict[str, Array] = {"body_weight": covariates["body_weight"]}
        for name in t1d_patients.FITTED:
            if name not in ("body_weight", "fasting_insulin"):
                ratios = sum((t1d_patients.ratio_to_adults(name, group) - 1) * member for member, group in groups)
                found[name] = getattr(self, name) * (1 + ratios)
        per_insulin = replace(self, **found, fasting_insulin=1.0).basal_rate
        return found | {"fasting_insulin": covariates["basal_insulin"] / per_insulin}

    @property
    def populations(self) -> tuple[str, ...]:
        """The published patients come second, as their table is in a package that not everyone has."""
        return ("proposed", "published")

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Patients of the table in the package simglucose, each as likely as another."""
        self.refuse_overrides(*PARAMETERS)
        parameters, group = t1d_patients.draw_from_table(n, rng)
        return self._people(parameters, group)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal around the table's patients, a third of each age group."""
        self.refuse_overrides(*t1d_patients.FITTED)
        parameters, group = t1d_patients.draw_from_fit(n, rng)
        return self._people(parameters, group)

    def _people(self, parameters: dict[str, NDArray[np.float64]], group: NDArray[np.int64]) -> PopulationDraw:
        rate = np.asarray(replace(self, **parameters).basal_rate)
        return PopulationDraw(parameters, np.stack([group, parameters["body_weight"], rate], axis=1))

    @property
    def basal_rate(self) -> Value:
        """Insulin that keeps the patient at rest, U/h."""
        return rest_of(self).basal * self.body_weight * 60 / PMOL_PER_UNIT

    def _emptying(self, state: Array) -> Array:
        """kgut: fast at the beginning and the end of a meal, slow in between."""
        xp = array_namespace(state)
        columns = xp.unstack(state, axis=-1)
        stomach, meal = columns[0] + columns[1], columns[13] + 1000 * columns[14]
        safe = xp.where(meal > 0, meal, xp.ones_like(meal))
        slowing = xp.tanh(2.5 * (stomach / safe - self.slowing_share) / (1 - self.slowing_share))
        recovery = xp.tanh(2.5 * (stomach / safe - self.recovery_share) / self.recovery_share)
        span = (self.fastest_emptying - self.slowest_emptying) / 2
        fast = xp.zeros_like(meal) + self.fastest_emptying
        return xp.where(meal > 0, self.slowest_emptying + span * (slowing - recovery + 2), fast)
