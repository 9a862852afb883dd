"""One patient's course as rows that any solver can walk: what is given, how long it flows, where it is looked at."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.episodes import Episodes
from neurotwin.events import Observations, Queries
from neurotwin.timeline import build_timeline

Array = NDArray[np.float64]


class Schedule(NamedTuple):
    """Rows of one patient, the past first; arrays and numbers alone, so that compiled code takes it as it is.

    Attributes:
        dt: ``[row]`` how long it flows.
        jump, control: ``[row, treatment]`` what is given at its begin, and what is held in it.
        output: ``[row]`` whether its end is looked at: visits, then queries.
        n_past: rows up to the last visit.
        value, censor: ``[visit]`` logarithm of what was seen, less the noise's mean; -1 / 0 / 1 below / exact / above.
        sd: of the noise's logarithm.
        least: smallest value of a course that is told apart.
        context: what is known of the patient beside the history, see ``context`` of `geng` and `t1d`.
    """

    dt: Array
    jump: Array
    control: Array
    output: NDArray[np.bool_]
    n_past: int
    value: Array
    censor: NDArray[np.int8]
    sd: float
    least: float
    context: Array


def log_moments(noise: float) -> tuple[float, float]:
    """Mean and standard deviation of ln(1 + noise e), e standard normal: by Gauss-Hermite quadrature."""
    node, weight = np.polynomial.hermite_e.hermegauss(24)
    weight, value = weight / weight.sum(), np.log1p(noise * node)
    mean = float(weight @ value)
    return mean, math.sqrt(float(weight @ (value - mean) ** 2))


def schedule_of(one: Episodes, mechanism: Any, noise: tuple[float, float], context: Array, least: float) -> Schedule:
    """Of the only patient of ``one``. Plans and past are cut by neurotwin's own timeline, then joined where nothing
    happens.

    Args:
        noise: `log_moments`.
    """
    seen, asked = one.observations, one.queries
    looked = Observations.of(0, np.concatenate([seen.time, asked.time]), 0, 0.0)
    none = np.zeros((1, 0))
    table = build_timeline(
        start=one.start,
        static=none,
        static_mask=none,
        n_variables=1,
        n_treatments=len(mechanism.treatments),
        observations=looked,
        doses=mechanism.acted_out(one.doses.take(one.doses.time <= looked.time.max())),
        queries=Queries.of(),
        max_step=1e6,
    )
    last = int(np.flatnonzero(table.mask[0, :, 0])[-1])
    dt, jump, control = table.dt[0, : last + 1], table.jump[0, : last + 1], table.control[0, : last + 1]
    output = table.mask[0, : last + 1, 0] > 0
    new = np.ones(len(dt), bool)
    new[1:] = output[:-1] | jump[1:].any(axis=1) | (control[1:] != control[:-1]).any(axis=1)
    first = np.flatnonzero(new)
    ends = np.append(first[1:], len(dt)) - 1
    mean, sd = noise
    return Schedule(
        np.add.reduceat(dt, first),
        jump[first],
        control[first],
        output[ends],
        int(np.flatnonzero(output[ends])[len(seen) - 1]) + 1,
        np.log(seen.value) - mean,
        seen.censor,
        sd,
        least,
        context,
    )
