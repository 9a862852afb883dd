"""The neural mass of Jansen and Rit: a cortical column that makes an electroencephalogram.

Source: B. H. Jansen, V. G. Rit, "Electroencephalogram and visual evoked potential generation in a mathematical model of
coupled cortical columns", Biological Cybernetics 73:357-366 (1995), with the constants and ranges of the package
tvb-library 2.10.0 (model ``JansenRit``), which counts in ms and lowers the firing threshold from 6 to 5.52 mV.
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

PAPER = "Jansen and Rit, Biol Cybern 73:357 (1995)"
TVB = "tvb-library 2.10.0, JansenRit"

WINDOW = Window(2000.0, 401)
"""Two seconds at 200 samples/s, ms."""
FREQUENCIES = np.arange(1.0, 30.125, 0.25)
"""Hz, of the spectrum; delta to beta."""
SHARPNESS = 4
"""Power of the spectrum that weights its frequencies: the higher, the nearer to the peak alone."""
FAINT_POWER = 1e-4
"""mV^2: a rhythm much fainter than 0.01 mV counts as none, with frequency 0."""

# Proposal: uniform, as factors of the model's own value, or as the input itself.
GAIN_FACTORS = (0.9, 1.1)
RATE_FACTORS = (0.9, 1.1)
CONNECTIVITY_FACTORS = (0.9, 1.1)
INPUT_RANGE = (0.12, 0.32)


def _spectrum() -> NDArray[np.float64]:
    """Matrix ``[sample, 2 frequency]``: Hann-weighted cosines and sines, scaled so that a sine of amplitude 1 has
    power 1."""
    seconds = np.linspace(0.0, WINDOW.length / 1000, WINDOW.samples)
    phase = 2 * np.pi * seconds[:, None] * FREQUENCIES
    weight = np.hanning(WINDOW.samples)[:, None]
    return np.asarray(np.concatenate([np.cos(phase), np.sin(phase)], axis=1) * weight * (2 / weight.sum()))


SPECTRUM = _spectrum()


@dataclass(frozen=True)
class JansenRit(Simulator):
    """Pyramidal cells with an excitatory and an inhibitory loop.

    Time in ms, potentials in mV, rates in 1/ms. y0, y1, y2: postsynaptic potentials; y3, y4, y5: their slopes (mV/ms).

        y0' = y3    y3' = A a S(y1 - y2) - 2 a y3 - a^2 y0
        y1' = y4    y4' = A a (mu + C2 S(C1 y0)) - 2 a y4 - a^2 y1            C1 = a1 J, C2 = a2 J
        y2' = y5    y5' = B b C4 S(C3 y0) - 2 b y5 - b^2 y2                   C3 = a3 J, C4 = a4 J
        S(v) = 2 nu / (1 + exp(r (v0 - v)))            EEG = y1 - y2

    Treatments, u being what acts at a time: a GABAergic drug makes B (1 + u), anaesthesia makes b / (1 + u) (inhibition
    lasts longer, at the same peak), stimulation makes mu + u. They act on different parameters, so they commute; what
    overlaps adds up in u.

    Args:
        excitatory_gain: A, mV.
        inhibitory_gain: B, mV.
        excitatory_rate: a, /ms, reciprocal of the time constant.
        inhibitory_rate: b, /ms.
        firing_threshold: v0, mV. Default: that of the reference software; 6 in the paper.
        half_firing_rate: nu, /ms; half of the highest firing rate.
        firing_steepness: r, /mV.
        connectivity: J, number of synapses.
        excitatory_feedback: a1, share of J, of pyramidal cells on excitatory interneurons.
        slow_excitatory_feedback: a2, share of J, back from them.
        inhibitory_feedback: a3, share of J, of pyramidal cells on inhibitory interneurons.
        slow_inhibitory_feedback: a4, share of J, back from them.
        input_rate: mu, /ms.
        initial_pyramidal: y0 at the start, mV.
        initial_excitatory: y1 at the start, mV.
        initial_inhibitory: y2 at the start, mV.
    """

    excitatory_gain: Value = 3.25
    inhibitory_gain: Value = 22.0
    excitatory_rate: Value = 0.1
    inhibitory_rate: Value = 0.05
    firing_threshold: Value = 5.52
    half_firing_rate: Value = 0.0025
    firing_steepness: Value = 0.56
    connectivity: Value = 135.0
    excitatory_feedback: Value = 1.0
    slow_excitatory_feedback: Value = 0.8
    inhibitory_feedback: Value = 0.25
    slow_inhibitory_feedback: Value = 0.25
    input_rate: Value = 0.22
    initial_pyramidal: Value = 0.1
    initial_excitatory: Value = 10.0
    initial_inhibitory: Value = 5.0

    name: ClassVar[str] = "jansen_rit"
    time_unit: ClassVar[str] = "ms"
    max_step: ClassVar[float] = 0.5
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "excitatory_gain": Parameter("mV", (0.1, 20.0), PAPER),
        "inhibitory_gain": Parameter("mV", (0.1, 200.0), PAPER),
        "excitatory_rate": Parameter("/ms", (0.01, 0.5), PAPER),
        "inhibitory_rate": Parameter("/ms", (0.005, 0.5), PAPER),
        "firing_threshold": Parameter("mV", (0.0, 20.0), f"{TVB}; 6 mV in {PAPER}"),
        "half_firing_rate": Parameter("/ms", (0.0001, 0.05), PAPER),
        "firing_steepness": Parameter("/mV", (0.01, 5.0), PAPER),
        "connectivity": Parameter("1", (1.0, 2000.0), PAPER),
        "excitatory_feedback": Parameter("1", (0.0, 5.0), PAPER),
        "slow_excitatory_feedback": Parameter("1", (0.0, 5.0), PAPER),
        "inhibitory_feedback": Parameter("1", (0.0, 5.0), PAPER),
        "slow_inhibitory_feedback": Parameter("1", (0.0, 5.0), PAPER),
        "input_rate": Parameter("/ms", (0.0, 2.0), f"{TVB}; 0.12 to 0.32 in {PAPER}"),
        "initial_pyramidal": Parameter("mV", (-10.0, 10.0), "as in the reference run", "proposal"),
        "initial_excitatory": Parameter("mV", (-100.0, 500.0), "as in the reference run", "proposal"),
        "initial_inhibitory": Parameter("mV", (-100.0, 500.0), "as in the reference run", "proposal"),
    }
    states: ClassVar[tuple[State, ...]] = (
        State("pyramidal", "mV", (-100.0, 1000.0)),
        State("excitatory", "mV", (-500.0, 5000.0)),
        State("inhibitory", "mV", (-500.0, 5000.0)),
        State("pyramidal_slope", "mV/ms", (-500.0, 500.0)),
        State("excitatory_slope", "mV/ms", (-500.0, 500.0)),
        State("inhibitory_slope", "mV/ms", (-500.0, 500.0)),
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="gabaergic_drug", unit="1", kind="setting", plausible=(-0.5, 2.0)),
        Treatment(name="anaesthesia", unit="1", kind="setting", plausible=(0.0, 1.0)),
        Treatment(name="stimulation", unit="/ms", kind="setting", plausible=(-0.1, 0.5)),
    )
    window: ClassVar[Window | None] = WINDOW
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(name="eeg_amplitude", unit="mV", plausible=(0.0, 100.0), source=PAPER),
        Variable(name="eeg_frequency", unit="Hz", plausible=(0.0, 30.0), source=PAPER),
    )

    def initial_state(self, n: int) -> Array:
        potentials = (self.initial_pyramidal, self.initial_excitatory, self.initial_inhibitory)
        return stack_state(n, *potentials, 0.0, 0.0, 0.0)

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        pyramidal, excitatory, inhibitory, pyramidal_slope, excitatory_slope, inhibitory_slope = xp.unstack(
            state, axis=-1
        )
        drug, anaesthesia, stimulation = xp.unstack(control, axis=-1)
        a, b = self.excitatory_rate, self.inhibitory_rate / (1 + anaesthesia)
        excitation, inhibition = self.excitatory_gain * a, self.inhibitory_gain * (1 + drug) * b

        def firing(potential: Array) -> Array:
            return 2 * self.half_firing_rate / (1 + xp.exp(self.firing_steepness * (self.firing_threshold - potential)))

        synapses = self.connectivity * pyramidal
        from_excitatory = (
            self.slow_excitatory_feedback * self.connectivity * firing(self.excitatory_feedback * synapses)
        )
        from_inhibitory = (
            self.slow_inhibitory_feedback * self.connectivity * firing(self.inhibitory_feedback * synapses)
        )
        arriving = self.input_rate + stimulation + from_excitatory
        return xp.stack(
            [
                pyramidal_slope,
                excitatory_slope,
                inhibitory_slope,
                excitation * firing(excitatory - inhibitory) - a * (2 * pyramidal_slope + a * pyramidal),
                excitation * arriving - a * (2 * excitatory_slope + a * excitatory),
                inhibition * from_inhibitory - b * (2 * inhibitory_slope + b * inhibitory),
            ],
            axis=-1,
        )

    def observe(self, state: Array) -> Array:
        """Of the window: peak-to-peak EEG (mV), and its main frequency (Hz).

        The frequency is the mean over the spectrum from 1 to 30 Hz, weighted by its power to the fourth, which is the
        peak, interpolated; it goes to 0 as the rhythm becomes fainter than 0.01 mV.
        """
        xp = array_namespace(state)
        wave = eeg(state)
        swing = wave - xp.mean(wave, axis=-1, keepdims=True)
        parts = xp.matmul(swing, xp.asarray(SPECTRUM, dtype=wave.dtype, device=wave.device))
        cosine, sine = parts[..., : len(FREQUENCIES)], parts[..., len(FREQUENCIES) :]
        power = cosine * cosine + sine * sine
        largest = xp.max(power, axis=-1, keepdims=True)
        share = (power + FAINT_POWER) / (largest + FAINT_POWER)
        weight = share**SHARPNESS
        hertz = xp.asarray(FREQUENCIES, dtype=wave.dtype, device=wave.device)
        peak = xp.sum(weight * hertz, axis=-1) / xp.sum(weight, axis=-1)
        there = largest[..., 0] / (largest[..., 0] + FAINT_POWER)
        return xp.stack([xp.max(wave, axis=-1) - xp.min(wave, axis=-1), there * peak], axis=-1)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Gains, rates and connectivity around the model's own values, input anywhere in the paper's range."""
        self.refuse_overrides("input_rate")
        parameters = {
            "excitatory_gain": self.excitatory_gain * rng.uniform(*GAIN_FACTORS, n),
            "inhibitory_gain": self.inhibitory_gain * rng.uniform(*GAIN_FACTORS, n),
            "excitatory_rate": self.excitatory_rate * rng.uniform(*RATE_FACTORS, n),
            "inhibitory_rate": self.inhibitory_rate * rng.uniform(*RATE_FACTORS, n),
            "connectivity": self.connectivity * rng.uniform(*CONNECTIVITY_FACTORS, n),
            "input_rate": rng.uniform(*INPUT_RANGE, n),
        }
        return PopulationDraw(parameters, np.zeros((n, 0)))


def eeg(state: Array) -> Array:
    """The EEG y1 - y2, mV, of states ``[..., state]``."""
    return state[..., 1] - state[..., 2]
