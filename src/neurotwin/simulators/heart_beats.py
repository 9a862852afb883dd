"""Beats of a pulsating model: what a monitor makes of one, and the state in which beats repeat themselves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.runge_kutta import RK4, runge_kutta_step

Array = NDArray[np.float64]


class Settled(NamedTuple):
    """State ``[batch, state]`` after some beats, with each column's highest and lowest value in the last of them."""

    state: Array
    highest: Array
    lowest: Array


def settle(field: Callable[[Any, Any], Any], state: Array, rate: Array, beats: int, longest_step: float) -> Settled:
    """Walk every subject through ``beats`` whole beats at its own ``rate`` (1/s, ``[batch]``).

    A whole number of beats, so that the phase ends where it began; each subject in equal steps of its own, so that
    nobody's result depends on the others. What overflows is left as it is.
    """
    count = np.ceil(1 / (rate * longest_step)).astype(np.int64)
    length, clock = 1 / (rate * count), np.zeros(len(state))
    highest = lowest = state
    with np.errstate(all="ignore"):
        for _ in range(beats):
            highest = lowest = state
            for number in range(int(count.max())):
                moved = runge_kutta_step(RK4, field, clock, length, state).end
                state = np.where((number < count)[:, None], moved, state)
                highest, lowest = np.maximum(highest, state), np.minimum(lowest, state)
    return Settled(state, highest, lowest)


def last_beat(beat: Any, pressure: Any, volume: Any, interval: float) -> tuple[Any, ...]:
    """Systolic and diastolic pressure, beats per unit of time, and largest and smallest volume of the last full beat.

    Args:
        beat: beats so far, ``[batch, sample]``; the last sample is now.
        pressure, volume: arterial and ventricular, ``[batch, sample]``.
        interval: time between samples.

    Highest pressure and both volumes are those of the samples, as a pressure is rounded at its peak and a volume rests
    between two valves. The lowest pressure is a sharp bend at the instant when the valve opens. It lies below the
    lowest sample, and above the point where the lines of fall and rise meet, as the valve takes time to open: half way
    between the two is taken.
    """
    xp = array_namespace(beat)
    step = beat[:, -1] - beat[:, -2]
    inside = beat >= (beat[:, -1] - 1 - step)[:, None]  # a sample more than the beat, lest its edges cut an extreme

    def extremes(value: Any) -> tuple[Any, Any]:
        lowest, highest = xp.min(value, axis=-1, keepdims=True), xp.max(value, axis=-1, keepdims=True)
        return (
            xp.max(xp.where(inside, value, lowest), axis=-1),
            xp.min(xp.where(inside, value, highest), axis=-1),
        )

    systolic, lowest_sample = extremes(pressure)
    first, second, third, fourth = pressure[:, :-3], pressure[:, 1:-2], pressure[:, 2:-1], pressure[:, 3:]
    fall, rise = second - first, fourth - third
    bends = inside[:, 1:-2] & (fall < 0) & (rise > 0)
    share = (third - second - rise) / xp.where(bends, fall - rise, -1.0 + 0 * fall)
    meets = bends & (share >= 0) & (share <= 1)
    meeting = xp.min(xp.where(meets, second + fall * share, lowest_sample[:, None]), axis=-1)
    diastolic = 0.5 * (lowest_sample + xp.minimum(meeting, lowest_sample))
    largest, smallest = extremes(volume)
    return systolic, diastolic, step / interval, largest, smallest
