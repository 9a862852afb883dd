"""Expected volumes under the true equation, averaged over weighted parameters: what all references share."""

import numpy as np
from benchmarks.cancer.simulator import (
    CAPACITY,
    CHEMO_DECAY,
    CHEMO_DOSE,
    DEATH_VOLUME,
    RADIO_KILL,
    Array,
    Flags,
)
from numpy.typing import NDArray

CHUNK = 60_000
"""Numbers worked on at a time: they stay in the processor's cache."""
SMALL = 1e-7
"""As in the published rollout."""


def expected_volumes(
    theta: Array,
    weight: Array,
    volume: Array,
    concentration: Array,
    patient: NDArray[np.int64],
    plan: Flags,
) -> Array:
    """Expected volume ``[row, step]`` after each step of a plan, growth noise left out.

    The growth noise has mean 0 and enters linearly; only the logarithm in the growth bends it, by less than 1e-6 of the
    volume in six days. As in the test sets, the volume after the first of several steps is clipped to [0, death].

    Where alpha is above about 0.42, a fraction of radiotherapy makes a volume negative: such a tumour counts as gone
    (volume 0). The test sets leave out a course in which that happens before its last step; who forecasts cannot know.

    Args:
        theta: ``[patient, node, 3]`` alpha, rho, beta_c.
        weight: ``[patient, node]``, sum 1.
        volume: ``[patient, node]`` on the current day, cm3.
        concentration: ``[patient]`` right after the day before, mg/m3.
        patient, plan: see `benchmarks.cancer.task.Forecaster`.
    """
    found = np.empty(plan.shape[:2])
    size = max(1, CHUNK // weight.shape[1])
    for first in range(0, len(patient), size):
        part = slice(first, first + size)
        who = patient[part]
        found[part] = _expected(theta[who], weight[who], volume[who], concentration[who], plan[part])
    return found


def _expected(theta: Array, weight: Array, volume: Array, concentration: Array, plan: Flags) -> Array:
    alpha, rho, beta_c = (theta[..., index] for index in range(3))
    kill, steady, level, size = alpha * RADIO_KILL, 1 + rho * np.log(CAPACITY), concentration, volume
    found, n_steps = [], plan.shape[1]
    for step in range(n_steps):
        level = CHEMO_DECAY * level + CHEMO_DOSE * plan[:, step, 0]
        rate = steady - rho * np.log(size + SMALL)
        rate -= beta_c * level[:, None]
        rate -= kill * plan[:, step, 1:]
        size = size * rate
        if n_steps > 1:
            size = np.maximum(size, 0.0)
            if step == 0:
                size = np.minimum(size, DEATH_VOLUME)
        found.append(np.einsum("rn,rn->r", weight, size))
    return np.stack(found, axis=1)
