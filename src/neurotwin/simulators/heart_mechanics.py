"""Parts of a heart: activation of the muscle and flow through a valve."""

import math
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from neurotwin.simulators.simulator import Array, Value

SHARPNESS = 100 * math.pi  # of the valves, 1/mmHg


class Waveforms(NamedTuple):
    """Pressures of the chambers (mmHg), flows through the valves (mL/s) and heart rate (1/s), each ``[batch]``."""

    left_atrium: Array
    left_ventricle: Array
    right_atrium: Array
    right_ventricle: Array
    mitral: Array
    aortic: Array
    tricuspid: Array
    pulmonary: Array
    rate: Array


def activation(xp: Any, beat: Array, rate: Array, contraction: Value, relaxation: Value) -> Array:
    """phi: rises for the time ``contraction`` from every whole ``beat`` on, then falls for the time ``relaxation``.

    The two half waves are added, as in the source: at a high rate the next beat begins while the last one still falls.
    ``xp`` is the arrays' namespace, asked for once per slope.
    """
    since_peak = (beat - xp.floor(beat)) / rate - contraction
    wave = xp.where(since_peak < 0, since_peak / contraction, since_peak / relaxation)  # -1 at the begin, 1 at the end
    before, one = (since_peak + 1 / rate) / relaxation, xp.ones_like(wave)
    return 1 + 0.5 * (xp.cos(math.pi * xp.minimum(wave, one)) + xp.cos(math.pi * xp.minimum(before, one)))


def valve_flow(xp: Any, difference: Array, log_open: Value, log_closed: Value) -> Array:
    """Flow through a valve that opens with the pressure ``difference``: log R goes from ``log_closed`` (backward) to
    ``log_open`` (forward) along an arctangent."""
    slope, middle = (log_closed - log_open) / math.pi, 0.5 * (log_open + log_closed)
    return difference * xp.exp(slope * xp.atan(SHARPNESS * difference) - middle)


def log_of(value: Value) -> Value:
    """Natural logarithm of a number or an array."""
    return math.log(value) if isinstance(value, (int, float)) else array_namespace(value).log(value)
