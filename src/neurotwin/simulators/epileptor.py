"""The Epileptor: a neural mass that goes into and out of seizures by itself.

Source: V. K. Jirsa, W. C. Stacey, P. P. Quilichini, A. I. Ivanov, C. Bernard, "On the nature of seizure dynamics",
Brain 137:2210-2230 (2014), with the constants and signs of the package tvb-library 2.10.0 (model ``Epileptor``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.simulator import (
    Array,
    Parameter,
    PopulationDraw,
    Simulator,
    State,
    Value,
    Window,
    stack_state,
)

PAPER = "Jirsa et al., Brain 137:2210 (2014)"
TVB = "tvb-library 2.10.0, Epileptor"
PERMITTIVITY_GAIN = 4.0  # the paper's s; the reference software declares it and then writes 4
DEEP_GAIN = 0.1  # of z^7, which acts below z = 0 only
COUPLING_GAIN, COUPLING_LEVEL = 0.6, 4.0
SPIKE_WAVE_GAIN, SPIKE_WAVE_LEVEL = 0.3, 3.5
SPIKE_WAVE_THRESHOLD = -0.25
FILTER_RATE, FILTER_INPUT = 0.01, 0.1

WINDOW = Window(100.0, 101)
"""A sample per time unit, as in the reference run."""
ICTAL_LEVEL = -1.0
"""x1 rests below -4/3, where its resting branch ends, and is above this level during a seizure."""
SHORTEST_PAUSE = 50.0
"""Times above the level that are less than this apart belong to one seizure: x1 spikes, with pauses of up to 30."""

# Ends of uniform distributions, relative to the model's own value (proposal).
LOWEST_EXCITABILITY = -0.6
RATE_FACTORS = (2.0 / 3.5, 6.0 / 3.5)
CURRENT_CHANGE = 0.2
# z at the start, above the value at which the resting branch ends: from just before a seizure to just after one.
PERMITTIVITY_ABOVE_FOLD = (0.1, 1.0)


@dataclass(frozen=True)
class Epileptor(Simulator):
    """Fast discharges (x1, y1), spikes and waves (x2, y2, with the filtered g), and a slow permittivity z.

    Time in the model's own unit, written as ms. Currents and states have no unit. LFP = x2 - x1.

        x1' = y1 - f1 - z + I1             y1' = c - d x1^2 - y1        z' = r (4 (x1 - x0) - z - [z < 0] 0.1 z^7)
        x2' = -y2 + x2 - x2^3 + I2 + B g - 0.3 (z - 3.5)        y2' = (f2 - y2) / tau        g' = -0.01 (g - 0.1 x1)
        f1 = a x1^3 - b x1^2 where x1 < 0, else (x2 - 0.6 (z - 4)^2 - slope) x1
        f2 = 0 where x2 < -0.25, else A (x2 + 0.25)

    A change of excitability adds to x0, stimulation to I1; what overlaps adds up. The slope has kinks at x1 = 0 and
    x2 = -0.25, where fixed steps drift in the phase of the spikes, not in when a seizure begins and ends.

    Args:
        excitability: x0; seizures recur above -2.06 (where I1 is 3.1).
        permittivity_rate: r, /ms: how fast a seizure exhausts itself, and how soon the next one comes.
        fast_current: I1.
        spike_wave_current: I2.
        fast_cubic: a.
        fast_square: b.
        recovery_offset: c.
        recovery_square: d.
        ictal_slope: slope.
        spike_wave_time: tau, ms.
        spike_wave_recovery_gain: A (``aa`` in the reference software).
        filter_gain: B (``bb`` in the reference software).
        initial_fast: x1 at the start.
        initial_recovery: y1 at the start.
        initial_permittivity: z at the start.
        initial_spike_wave: x2 at the start.
        initial_spike_wave_recovery: y2 at the start.
        initial_filtered: g at the start.
    """

    excitability: Value = -1.6
    permittivity_rate: Value = 0.00035
    fast_current: Value = 3.1
    spike_wave_current: Value = 0.45
    fast_cubic: Value = 1.0
    fast_square: Value = 3.0
    recovery_offset: Value = 1.0
    recovery_square: Value = 5.0
    ictal_slope: Value = 0.0
    spike_wave_time: Value = 10.0
    spike_wave_recovery_gain: Value = 6.0
    filter_gain: Value = 2.0
    initial_fast: Value = 0.0
    initial_recovery: Value = -5.0
    initial_permittivity: Value = 3.0
    initial_spike_wave: Value = 0.0
    initial_spike_wave_recovery: Value = 0.0
    initial_filtered: Value = 0.0

    name: ClassVar[str] = "epileptor"
    time_unit: ClassVar[str] = "ms"
    max_step: ClassVar[float] = 0.05
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "excitability": Parameter("1", (-5.0, 1.0), PAPER),
        "permittivity_rate": Parameter("/ms", (0.0, 0.01), PAPER),
        "fast_current": Parameter("1", (0.0, 10.0), PAPER),
        "spike_wave_current": Parameter("1", (0.0, 2.0), PAPER),
        "fast_cubic": Parameter("1", (0.1, 5.0), TVB),
        "fast_square": Parameter("1", (0.0, 10.0), TVB),
        "recovery_offset": Parameter("1", (-5.0, 5.0), TVB),
        "recovery_square": Parameter("1", (0.1, 20.0), TVB),
        "ictal_slope": Parameter("1", (-16.0, 6.0), TVB),
        "spike_wave_time": Parameter("ms", (1.0, 100.0), PAPER),
        "spike_wave_recovery_gain": Parameter("1", (0.0, 20.0), TVB),
        "filter_gain": Parameter("1", (0.0, 10.0), TVB),
        "initial_fast": Parameter("1", (-5.0, 5.0), "as in the reference run", "proposal"),
        "initial_recovery": Parameter("1", (-100.0, 5.0), "as in the reference run", "proposal"),
        "initial_permittivity": Parameter("1", (-5.0, 10.0), "as in the reference run", "proposal"),
        "initial_spike_wave": Parameter("1", (-5.0, 5.0), "as in the reference run", "proposal"),
        "initial_spike_wave_recovery": Parameter("1", (0.0, 20.0), "as in the reference run", "proposal"),
        "initial_filtered": Parameter("1", (-2.0, 2.0), "as in the reference run", "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("fast", "1", (-10.0, 10.0)),
        State("recovery", "1", (-500.0, 50.0)),
        State("permittivity", "1", (-10.0, 20.0)),
        State("spike_wave", "1", (-10.0, 10.0)),
        # Never below 0; but a state asked for inside a step where its slope has a kink can be, by less than 1e-5.
        State("spike_wave_recovery", "1", (-0.01, 50.0)),
        State("filtered", "1", (-5.0, 5.0)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="excitability_change", unit="1", kind="setting", plausible=(-2.0, 1.0)),
        Treatment(name="stimulation", unit="1", kind="setting", plausible=(-3.0, 3.0)),
    )
    window: ClassVar[Window | None] = WINDOW
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="lfp_amplitude", unit="1", plausible=(0.0, 20.0), source=PAPER),
        Variable(name="lfp_line_length", unit="/ms", plausible=(0.0, 10.0)),
        Variable(name="ictal_share", unit="1", plausible=(0.0, 1.0)),
        Variable(name="permittivity", unit="1", plausible=(-10.0, 20.0), source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        return stack_state(
            n,
            self.initial_fast,
            self.initial_recovery,
            self.initial_permittivity,
            self.initial_spike_wave,
            self.initial_spike_wave_recovery,
            self.initial_filtered,
        )

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        fast, recovery, permittivity, wave, wave_recovery, filtered = xp.unstack(state, axis=-1)
        change, stimulation = xp.unstack(control, axis=-1)
        zero = xp.zeros_like(fast)
        gap = permittivity - COUPLING_LEVEL
        resting = (self.fast_square - self.fast_cubic * fast) * fast
        ictal = self.ictal_slope - wave + COUPLING_GAIN * gap * gap
        current = self.fast_current + stimulation
        # Powers as products: they are several times faster than ** in numpy, and this line is where the time goes.
        deep = xp.where(permittivity < 0, permittivity, zero)
        deep_squared = deep * deep
        pull = PERMITTIVITY_GAIN * (fast - self.excitability - change) - DEEP_GAIN * deep * deep_squared * (
            deep_squared * deep_squared
        )
        above = wave - SPIKE_WAVE_THRESHOLD
        raised = xp.where(above < 0, zero, self.spike_wave_recovery_gain * above)
        wave_input = self.spike_wave_current + self.filter_gain * filtered
        slow_input = SPIKE_WAVE_GAIN * (permittivity - SPIKE_WAVE_LEVEL)
        return xp.stack(
            [
                recovery - permittivity + current + xp.where(fast < 0, resting, ictal) * fast,
                self.recovery_offset - self.recovery_square * fast * fast - recovery,
                self.permittivity_rate * (pull - permittivity),
                wave - wave * wave * wave - wave_recovery + wave_input - slow_input,
                (raised - wave_recovery) / self.spike_wave_time,
                -FILTER_RATE * (filtered - FILTER_INPUT * fast),
            ],
            axis=-1,
        )

    def observe(self, state: Array) -> Array:
        """Of the window: peak-to-peak LFP, its mean absolute slope, the share in seizure; and z now."""
        xp = array_namespace(state)
        fast = state[..., 0]
        wave = lfp(state)
        rise = xp.abs(wave[..., 1:] - wave[..., :-1])
        ictal = xp.where(fast > ICTAL_LEVEL, xp.ones_like(fast), xp.zeros_like(fast))
        return xp.stack(
            [
                xp.max(wave, axis=-1) - xp.min(wave, axis=-1),
                xp.sum(rise, axis=-1) / WINDOW.length,
                xp.mean(ictal, axis=-1),
                state[..., -1, 2],
            ],
            axis=-1,
        )

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Brains from healthy to epileptic, each at rest somewhere between two seizures."""
        starts = ("initial_fast", "initial_recovery", "initial_permittivity", "initial_spike_wave", "initial_filtered")
        self.refuse_overrides(*starts, "initial_spike_wave_recovery")
        current = np.asarray(self.fast_current + rng.uniform(-CURRENT_CHANGE, CURRENT_CHANGE, n))
        # The resting branch ends at x1 = -4/3, where x^3 + 2 x^2 = 32/27.
        permittivity = 1 + current - 32 / 27 + rng.uniform(*PERMITTIVITY_ABOVE_FOLD, n)
        fast = np.asarray(resting_fast(permittivity, current))
        parameters = {
            "excitability": np.asarray(self.excitability + rng.uniform(LOWEST_EXCITABILITY, 0.0, n)),
            "permittivity_rate": np.asarray(self.permittivity_rate * rng.uniform(*RATE_FACTORS, n)),
            "fast_current": current,
            "initial_fast": fast,
            "initial_recovery": 1 - 5 * fast * fast,
            "initial_permittivity": permittivity,
            "initial_spike_wave": np.full(n, -1.0),
            "initial_spike_wave_recovery": np.zeros(n),
            "initial_filtered": FILTER_INPUT * fast,
        }
        return PopulationDraw(parameters, np.zeros((n, 0)))


def lfp(state: Array) -> Array:
    """The local field potential x2 - x1 of states ``[..., state]``."""
    return state[..., 3] - state[..., 0]


def seizures(
    time: NDArray[np.float64],
    fast: NDArray[np.float64],
    *,
    level: float = ICTAL_LEVEL,
    shortest_pause: float = SHORTEST_PAUSE,
) -> NDArray[np.float64]:
    """Onset and offset of each seizure, ``[seizure, 2]``, in a course of x1 (``fast``, ``[sample]``) at ``time``.

    They are the first and the last sample above ``level``, so they are off by up to a sampling interval; one that runs
    at the end of the course has the last sample as its offset. Duration is the difference.
    """
    above = time[fast > level]
    if not len(above):
        return np.zeros((0, 2))
    new = np.flatnonzero(np.diff(above) >= shortest_pause) + 1
    return np.stack([above[np.append(0, new)], above[np.append(new, len(above)) - 1]], axis=1)


def resting_fast(permittivity: Value, current: Value) -> Value:
    """x1 on the resting branch, where x^3 + 2 x^2 = 1 + I1 - z (with the default a, b, c, d), by Newton's method.

    There is one where the right side is below 32/27; it is found to 1e-9 from 0.02 below that on."""
    x = -2.5 + 0.0 * permittivity
    for _ in range(8):
        x = x - (x * x * (x + 2) - 1 - current + permittivity) / (x * (3 * x + 4))
    return x
