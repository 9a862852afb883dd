"""The references by name: what each is given of a test set's patients."""

from benchmarks.cancer.evaluation import Make
from benchmarks.cancer.particles import ParticleFilter
from benchmarks.cancer.references import FixedParameters, Persist, PosteriorMean, population_theta, theta_of

N_FILTERS = 3
REFERENCES: dict[str, Make] = {
    "persist": lambda test, track: [Persist()],
    "popmean": lambda test, track: [FixedParameters(population_theta(test.patients.kind))],
    "true": lambda test, track: [FixedParameters(theta_of(test.patients))],
    "bayes": lambda test, track: [PosteriorMean(test.patients.kind)],
    "particle": lambda test, track: [
        ParticleFilter(test.patients.kind, track.noise, seed) for seed in range(N_FILTERS)
    ],
}
"""``persist``: the last measured volume. ``popmean``: the true equation with the mean parameters of the patient's type.
``true``: with the patient's own parameters, which nobody knows. ``bayes``: averaged over the exact posterior given the
volumes so far. ``particle``: the same where volumes are noisy and missing, by three independent filters."""
CLEAN_ONLY, NOISY_ONLY = ("bayes",), ("particle",)
FLOOR = {True: "bayes", False: "particle"}
"""What no forecaster can beat but by luck, on the clean track and on the others."""


def references_for(noise: float) -> list[str]:
    """Names of the references that a track has."""
    left_out = NOISY_ONLY if noise == 0 else CLEAN_ONLY
    return [name for name in REFERENCES if name not in left_out]
