"""The surrogate engine: an exported bundle reads each patient's past and draws a future under every arm."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.simulators.protocols import Measurement
from neurotwin.trials.courses import Courses
from neurotwin.trials.twins import BundleTwins, at_visits, episodes_of

Array = NDArray[np.float64]


def surrogate_courses(courses: Courses, twins: BundleTwins, assays: tuple[Measurement, ...], seed: int) -> Courses:
    """The same patients up to randomisation; from then on what the bundle says.

    Each patient's future is one of the bundle's joint draws, drawn at random and the same under all arms, as draws of a
    bundle belong together across plans; without draws it is the median, and patients of one past are all alike.
    Measurement errors are added as the protocol's assays do.

    Raises:
        CohortError: a bundle of other channels.
        ConfigError: visits beyond the bundle's horizon.
    """
    rng = np.random.default_rng([seed, 0x5E])
    n_draws = twins.predictor.n_draws
    chosen = rng.integers(0, max(n_draws, 1), len(courses))
    noise = rng.standard_normal((*courses.time.shape, len(courses.schema.variables), 2))
    ahead = courses.after[:, :, None]
    measured, latent = {}, {}
    for arm in courses.measured:
        answer = twins.answer(courses, episodes_of(courses, arm))
        if answer.draws is not None and n_draws > 1:
            subject = np.nonzero(courses.after)[0]
            value = np.take_along_axis(answer.draws, chosen[subject][:, None, None], axis=2)[..., 0]
        else:
            value = answer.median
        future = at_visits(courses, value)
        latent[arm] = np.where(ahead, future, courses.latent[arm])
        recorded = future.copy()
        for assay in assays:
            place = courses.variable(assay.variable, "assay")
            recorded[..., place] = _measured(assay, future[..., place], noise[..., place, :])
        measured[arm] = np.where(ahead, recorded, courses.measured[arm])
    return replace(courses, measured=measured, latent=latent)


def _measured(assay: Measurement, value: Array, noise: Array) -> Array:
    found, _ = assay.measure(value.ravel(), noise.reshape(-1, 2))
    return np.asarray(found).reshape(value.shape)
