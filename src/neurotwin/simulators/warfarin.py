"""Warfarin by mouth: two absorption stages, one compartment, and an indirect response of prothrombin activity.

Source: the joint fit of warfarin concentrations and prothrombin complex activity in 32 healthy adults that comes with
the nlmixr software (data: R. A. O'Reilly, P. M. Aggeler, L. S. Leong, J Clin Invest 42:1542 (1963); R. A. O'Reilly,
P. M. Aggeler, Circulation 38:169 (1968); compiled by T. Funaki, N. Holford, S. Fujita, PAGJA 2018), with the estimates
quoted in the test ``test_multi_outputs.R`` of the R package posologyr.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

FIT = "nlmixr fit of O'Reilly's warfarin data, quoted in posologyr's test_multi_outputs.R"

# Standard deviations between subjects: of the logarithm, and for the maximal effect of the logit.
BETWEEN_SUBJECTS = {
    "transit_rate": 1.05,
    "absorption_rate": 0.906,
    "clearance": 0.281,
    "volume": 0.229,
    "maximal_effect": 0.509,
    "half_effect_concentration": 0.519,
    "turnover_rate": 0.127,
    "baseline_activity": 0.0708,
}


def _nodes() -> tuple[list[float], list[float]]:
    """Nodes in (0, 1) and weights: Gauss-Legendre with 12 points in panels that shrink towards both ends."""
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-13, 0), 1 - 2.0 ** np.arange(-2, -7, -1), [1.0]])
    x, w = np.polynomial.legendre.leggauss(12)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    nodes, weights = middle[:, None] + half[:, None] * x, half[:, None] * w
    return nodes.ravel().tolist(), weights.ravel().tolist()


NODES, WEIGHTS = _nodes()


@dataclass(frozen=True)
class Warfarin(Simulator):
    """Oral doses pass a depot and the gut into one compartment and inhibit the synthesis of prothrombin activity.

    Time in hours. States: amounts in depot, gut and centre (mg), prothrombin complex activity PCA (%). C = centre / V.

        depot' = -ktr depot        gut' = ktr depot - ka gut        centre' = ka gut - CL/(1 + u) C
        PCA' = e0 kout (1 - emax C/(ec50 (1 + v) + C)) - kout PCA

    u, the setting ``clearance_inhibition``, is the inhibitor's concentration in units of its inhibition constant, I/Ki:
    u = 1 halves the clearance, and the u of several inhibitors of one enzyme add up. v, the setting ``vitamin_k``
    (proposal), shifts the half-effect concentration as a competing agonist does; several add up, too.

    The amounts have a closed form. PCA obeys a linear equation whose input is a function of C, so it is an integral,
    which `propagate` evaluates by Gauss quadrature to the accuracy of rounding.

    Args:
        transit_rate: ktr, 1/h.
        absorption_rate: ka, 1/h.
        clearance: CL, L/h.
        volume: V, L.
        maximal_effect: emax, the largest relative inhibition of synthesis.
        half_effect_concentration: ec50, mg/L.
        turnover_rate: kout, 1/h.
        baseline_activity: e0, %; PCA starts there.
    """

    transit_rate: Value = 1.1118218765065309
    absorption_rate: Value = 0.9166770956331523
    clearance: Value = 0.13133552114849312
    volume: Value = 7.924823117849487
    maximal_effect: Value = 0.9677045353015494
    half_effect_concentration: Value = 1.0072662721652201
    turnover_rate: Value = 0.05502322005640723
    baseline_activity: Value = 96.54410977284468

    name: ClassVar[str] = "warfarin"
    time_unit: ClassVar[str] = "h"
    max_step: ClassVar[float] = 0.0625
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "transit_rate": Parameter("/h", (1e-3, 1e3), FIT),
        "absorption_rate": Parameter("/h", (1e-3, 1e3), FIT),
        "clearance": Parameter("L/h", (1e-3, 10.0), FIT),
        "volume": Parameter("L", (0.1, 500.0), FIT),
        "maximal_effect": Parameter("1", (0.0, 1.0), FIT),
        "half_effect_concentration": Parameter("mg/L", (1e-3, 100.0), FIT),
        "turnover_rate": Parameter("/h", (1e-4, 10.0), FIT),
        "baseline_activity": Parameter("%", (1.0, 300.0), FIT),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("depot", "mg", (0.0, math.inf)),
        State("gut", "mg", (0.0, math.inf)),
        State("centre", "mg", (0.0, math.inf)),
        State("prothrombin", "%", (0.0, 1000.0)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="warfarin", unit="mg", kind="bolus", plausible=(0.0, 200.0)),
        Treatment(name="clearance_inhibition", unit="1", kind="setting", plausible=(0.0, 20.0)),
        Treatment(name="vitamin_k", unit="1", kind="setting", plausible=(0.0, 100.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="warfarin_concentration", unit="mg/L", plausible=(0.0, 100.0), source=FIT),
        Variable(name="prothrombin_activity", unit="%", plausible=(0.0, 300.0), source=FIT),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(n, 0.0, 0.0, 0.0, self.baseline_activity)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        depot, gut, centre, activity = xp.unstack(state, axis=-1)
        _, inhibition, vitamin_k = xp.unstack(control, axis=-1)
        transit, absorbed = self.transit_rate * depot, self.absorption_rate * gut
        eliminated = self.clearance / (1 + inhibition) * (centre / self.volume)
        half_effect = self.half_effect_concentration * (1 + vitamin_k)
        synthesis = self.baseline_activity * _synthesis(centre / self.volume, self.maximal_effect, half_effect)
        return xp.stack(
            [-transit, transit - absorbed, absorbed - eliminated, self.turnover_rate * (synthesis - activity)], axis=-1
        )

    def jump(self, state: Array, amount: Array) -> Array:
        xp = array_namespace(state)
        depot, gut, centre, activity = xp.unstack(state, axis=-1)
        return xp.stack([depot + xp.unstack(amount, axis=-1)[0], gut, centre, activity], axis=-1)

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """The amounts by divided differences of exp(-rate dt); PCA as exp(-kout dt) PCA plus the integral over s of
        e0 kout exp(-kout (dt - s)) (1 - emax C(s)/(ec50 (1 + v) + C(s)))."""
        xp = array_namespace(state)
        share, weight = (xp.asarray(item, dtype=state.dtype, device=state.device) for item in (NODES, WEIGHTS))
        whole = dt[:, None]
        # Everything as [batch, 1], to be combined with [batch, node].
        depot, gut, centre, activity = (item[:, None] for item in xp.unstack(state, axis=-1))
        inhibition, vitamin_k = (item[:, None] for item in xp.unstack(control, axis=-1)[1:])
        columns = (getattr(self, name) + xp.zeros_like(dt) for name in self.parameters)
        transit, absorption, clearance, volume, effect, half_effect, turnover, baseline = (c[:, None] for c in columns)
        rates = transit, absorption, clearance / (1 + inhibition) / volume
        concentration = _centre(whole * share, *rates, depot, gut, centre) / volume
        synthesis = _synthesis(concentration, effect, half_effect * (1 + vitamin_k))
        made = turnover * whole * xp.sum(xp.exp(-turnover * whole * (1 - share)) * synthesis * weight, axis=-1)[:, None]
        ends = [
            depot * xp.exp(-transit * whole),
            gut * xp.exp(-absorption * whole) + transit * depot * _difference(whole, transit, absorption),
            _centre(whole, *rates, depot, gut, centre),
            activity * xp.exp(-turnover * whole) + baseline * made,
        ]
        return xp.concat(ends, axis=-1)

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        _, _, centre, activity = xp.unstack(state, axis=-1)
        return xp.stack([centre / self.volume, activity], axis=-1)

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal variability around the model's own parameters; of the maximal effect on the logit scale."""
        factor = np.exp(np.array(list(BETWEEN_SUBJECTS.values())) * rng.standard_normal((n, len(BETWEEN_SUBJECTS))))
        parameters = {name: getattr(self, name) * factor[:, index] for index, name in enumerate(BETWEEN_SUBJECTS)}
        # Adding z to the logit of p multiplies its odds by exp(z).
        odds, other = parameters["maximal_effect"], 1 - self.maximal_effect
        parameters["maximal_effect"] = odds / (odds + other)
        return PopulationDraw({name: np.asarray(value) for name, value in parameters.items()}, np.zeros((n, 0)))


def _synthesis(concentration: Array, maximal_effect: Value, half_effect: Array) -> Array:
    """Synthesis of prothrombin activity, relative to that without warfarin."""
    return 1 - maximal_effect * concentration / (half_effect + concentration)


def _centre(
    time: Array, transit: Array, absorption: Array, elimination: Array, depot: Array, gut: Array, centre: Array
) -> Array:
    """Amount in the centre after ``time`` ``[batch, node]`` at constant rates; all others ``[batch, 1]``."""
    xp = array_namespace(time)
    from_gut = absorption * gut * _difference(time, absorption, elimination)
    from_depot = absorption * transit * depot * _second_difference(time, transit, absorption, elimination)
    return centre * xp.exp(-elimination * time) + from_gut + from_depot


def _difference(time: Array, a: Array, b: Array) -> Array:
    """(exp(-a t) - exp(-b t)) / (b - a), and t exp(-a t) where a = b."""
    xp = array_namespace(time)
    low, gap = xp.minimum(a, b), xp.abs(b - a)
    some = gap > 0
    safe = xp.where(some, gap, xp.ones_like(gap))
    return xp.exp(-low * time) * xp.where(some, -xp.expm1(-safe * time) / safe, time)


def _second_difference(time: Array, a: Array, b: Array, c: Array) -> Array:
    """The integral over s of exp(-a s) d(t - s), where d is `_difference` of b and c: symmetric in the three rates."""
    xp = array_namespace(time)
    low, high = xp.minimum(xp.minimum(a, b), c), xp.maximum(xp.maximum(a, b), c)
    middle = xp.maximum(xp.minimum(a, b), xp.minimum(xp.maximum(a, b), c))
    gap = high - low
    # Below this spread the two differences cancel to fewer digits than the series has.
    apart = gap * time > 1e-5
    safe = xp.where(apart, gap, xp.ones_like(gap))
    exact = (_difference(time, low, middle) - _difference(time, middle, high)) / safe
    return xp.where(apart, exact, 0.5 * time**2 * xp.exp(-(low + middle + high) / 3 * time))
