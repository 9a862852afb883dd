"""How volumes are measured: exactly and daily as published, or thinned and with noise.

Treatments are always known. The first day is always measured, and a tumour that is gone (volume 0) never is: it has no
diameter. Measurements are drawn from streams of their own, so that the patients of every track are the published ones;
the days kept by a thinner track are among those kept by a denser one, with the same noise.
"""

from dataclasses import dataclass

import numpy as np
from benchmarks.cancer.simulator import Array
from numpy.typing import NDArray

PARTS = ("train", "validation", "one_step", "sliding", "randomised")


@dataclass(frozen=True)
class Track:
    """Share of days on which the volume is measured, and standard deviation of the measurement's relative error."""

    name: str
    kept: float
    noise: float


TRACKS = {
    track.name: track for track in (Track("clean", 1.0, 0.0), Track("thin50", 0.5, 0.05), Track("thin20", 0.2, 0.05))
}


def measure(volume: Array, last: NDArray[np.int64], track: Track, *, gamma: float, seed: int, part: str) -> Array:
    """Measured volumes ``[patient, day]``, cm3; NaN where there is none.

    The logarithm of a measurement is that of the volume plus a normal number of ``track.noise``.

    Args:
        volume: ``[patient, day]`` true volumes.
        last: ``[patient]`` last day with a volume.
        gamma, seed, part: name the stream.
    """
    random = np.random.default_rng([seed, round(1000 * gamma), PARTS.index(part), 5])
    chance, noise = random.random(volume.shape), random.standard_normal(volume.shape)
    day = np.arange(volume.shape[1])
    seen = ((chance < track.kept) | (day == 0)) & (day <= last[:, None]) & (volume > 0)
    return np.where(seen, volume * np.exp(track.noise * noise), np.nan)
