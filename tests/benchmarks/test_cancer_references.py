"""References: quadrature and posterior against sampling, the particle filter against the exact posterior."""

import numpy as np
import pytest
from benchmarks.cancer.particles import ParticleFilter
from benchmarks.cancer.population import Prior, truncated_quadrature
from benchmarks.cancer.references import (
    FixedParameters,
    Persist,
    PosteriorMean,
    last_measured,
    population_theta,
    theta_of,
)
from benchmarks.cancer.rollout import expected_volumes
from benchmarks.cancer.scoring import errors_of, paired_interval, patient_interval
from benchmarks.cancer.simulator import CAPACITY, NOISE, RADIO_KILL, draw_patients
from benchmarks.cancer.task import Past, concentration_after, forecast_rows
from benchmarks.cancer.tracks import TRACKS, measure

KIND = np.array([1, 2, 3])


def observed(test, track="clean", part="sliding"):
    return measure(test.volume, test.last - 1, TRACKS[track], gamma=4.0, seed=3, part=part)


def test_the_quadrature_of_the_prior_has_the_moments_of_drawn_patients():
    prior = Prior.of(KIND)
    found = truncated_quadrature(prior.mean, np.repeat(prior.covariance[None], 3, 0), prior.low)
    assert found.weight.sum(1) == pytest.approx(1.0)
    drawn = draw_patients(np.random.RandomState(0), 100_000)
    for index, kind in enumerate(KIND):
        theta = theta_of(drawn.take(drawn.kind == kind))
        error = theta.std(0) / np.sqrt(len(theta))
        assert (np.abs(found.mean[index] - theta.mean(0)) < 4 * error).all()
        second = (found.weight[index, :, None] * found.node[index] ** 2).sum(0)
        assert second == pytest.approx((theta**2).mean(0), rel=0.03)


def test_the_posterior_is_that_of_weighted_prior_draws(small_sets):
    test, day = small_sets.sliding, 3
    volume = observed(test)
    reference = PosteriorMean(test.patients.kind)
    for now in range(day + 1):
        reference.observe(Past(now, test.patients.kind, volume[:, : now + 1], test.chemo[:, :now], test.radio[:, :now]))
    random, prior, n = np.random.default_rng(0), Prior.of(test.patients.kind), 400_000
    for patient in range(4):
        theta = random.multivariate_normal(prior.mean[patient], prior.covariance, size=n)
        theta = theta[(theta[:, :2] > prior.low[patient, :2]).all(1)]
        log_weight, level = np.zeros(len(theta)), 0.0
        for now in range(day):
            level = level / 2 + 5.0 * test.chemo[patient, now]
            inputs = [-RADIO_KILL * test.radio[patient, now], np.log(CAPACITY / volume[patient, now]), -level]
            growth = volume[patient, now + 1] / volume[patient, now] - 1
            log_weight -= 0.5 * np.square((growth - theta @ inputs) / NOISE)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        error = np.sqrt((weight[:, None] ** 2 * (theta - weight @ theta) ** 2).sum(0))
        assert (np.abs(reference.posterior.mean[patient] - weight @ theta) < 5 * error).all()


@pytest.mark.full
def test_more_nodes_change_nothing(small_sets):
    test = small_sets.sliding
    scores = [errors_of(test, forecast_rows(test, observed(test), PosteriorMean(test.patients.kind, order))).score
              for order in (12, 20)]  # fmt: skip
    assert scores[0] == pytest.approx(scores[1], rel=2e-3)


def test_true_parameters_are_best_and_the_posterior_beats_the_population(small_sets):
    test = small_sets.sliding
    kind = test.patients.kind
    makers = [FixedParameters(theta_of(test.patients)), PosteriorMean(kind), FixedParameters(population_theta(kind))]
    true, bayes, popmean = (errors_of(test, forecast_rows(test, observed(test), one)).score for one in makers)
    assert (true < bayes).all()
    assert (bayes < popmean).all()


def test_a_gap_is_bridged_by_what_was_given_in_it():
    patients = draw_patients(np.random.RandomState(2), 3)
    chemo, radio = (
        np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], np.uint8),
        np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]], np.uint8),
    )
    volume = np.full((3, 4), np.nan)
    volume[:, 0], volume[1, 2] = 2.0, 3.0
    reference = FixedParameters(theta_of(patients))
    reference.observe(Past(3, patients.kind, volume, chemo, radio))
    whole = expected_volumes(
        theta_of(patients)[:, None], np.ones((3, 1)), np.full((3, 1), 2.0), np.zeros(3), np.arange(3),
        np.stack([chemo, radio], axis=-1),
    )  # fmt: skip
    assert reference.volume[[0, 2]] == pytest.approx(whole[[0, 2], 2])
    assert reference.volume[1] != pytest.approx(whole[1, 2])
    assert reference.concentration == pytest.approx(concentration_after(chemo))
    assert last_measured(Past(3, patients.kind, volume, chemo, radio))[1].tolist() == [3, 1, 3]
    persist = Persist()
    persist.observe(Past(3, patients.kind, volume, chemo, radio))
    assert persist.forecast(np.array([1, 0]), np.zeros((2, 5, 2), np.uint8))[:, -1].tolist() == [3.0, 2.0]


def test_the_particle_filter_is_the_exact_posterior_where_there_is_no_noise(small_sets):
    test = small_sets.sliding
    kind = test.patients.kind
    exact = forecast_rows(test, observed(test), PosteriorMean(kind))
    found = forecast_rows(test, observed(test), ParticleFilter(kind, 1e-4, seed=0, n=512))
    apart = errors_of(test, found).score / errors_of(test, exact).score
    assert apart == pytest.approx(np.ones(5), rel=0.03)


def test_the_particle_filter_beats_the_population_on_noisy_volumes(small_sets):
    test = small_sets.sliding
    kind, seen = test.patients.kind, observed(test, "thin50")
    makers = (ParticleFilter(kind, 0.05, seed=0), FixedParameters(population_theta(kind)))
    floor, popmean = (errors_of(test, forecast_rows(test, seen, one)).score for one in makers)
    assert (floor < popmean).all()


@pytest.mark.full
def test_the_particle_filter_agrees_with_weighted_courses_drawn_from_the_prior(small_sets):
    test, day = small_sets.sliding, 6
    kind, seen = test.patients.kind, observed(test, "thin50")
    several = [ParticleFilter(kind, 0.05, seed, n=512) for seed in range(4)]
    for now in range(day + 1):
        for one in several:
            one.observe(Past(now, kind, seen[:, : now + 1], test.chemo[:, :now], test.radio[:, :now]))
    plan = np.zeros((len(kind), 2, 2), np.uint8)
    plan[:, 1, 1] = 1
    found = np.mean([one.forecast(np.arange(len(kind)), plan) for one in several], axis=0)
    random, n = np.random.default_rng(0), 1_000_000
    for patient in range(4):
        prior = Prior.of(kind[patient : patient + 1])
        theta = random.multivariate_normal(prior.mean[0], prior.covariance, size=n)
        theta = theta[(theta[:, :2] > prior.low[0, :2]).all(1)]
        volume = seen[patient, 0] * np.exp(0.05 * random.standard_normal(len(theta)))
        log_weight, level = np.zeros(len(theta)), 0.0
        for now in range(day):
            level = level / 2 + 5.0 * test.chemo[patient, now]
            growth = theta[:, 1] * np.log(CAPACITY / volume) - theta[:, 2] * level
            growth -= theta[:, 0] * RADIO_KILL * test.radio[patient, now]
            volume = volume * (1 + growth + NOISE * random.standard_normal(len(theta)))
            log_weight[volume <= 0] = -np.inf
            volume = np.maximum(volume, 1e-9)
            if np.isfinite(seen[patient, now + 1]):
                log_weight -= 0.5 * np.square(np.log(seen[patient, now + 1] / volume) / 0.05)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        who = np.zeros(1, np.int64)
        arrays = (theta[None], weight[None], volume[None], np.array([level]))
        exact = expected_volumes(*arrays, who, plan[patient : patient + 1])[0]
        assert found[patient] == pytest.approx(exact, rel=0.03)


def test_intervals_are_of_the_same_patients(small_sets):
    test = small_sets.sliding
    kind = test.patients.kind
    errors = [errors_of(test, forecast_rows(test, observed(test), one)) for one in (Persist(), PosteriorMean(kind))]
    alone, paired = patient_interval(errors[1]), paired_interval(errors[1], errors[1])
    assert (alone.low <= alone.score).all() and (alone.score <= alone.high).all()
    assert (paired.low == 0).all() and (paired.high == 0).all()
    assert (paired_interval(errors[1], errors[0]).score < 0).all()
