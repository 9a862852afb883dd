"""Cohorts whose outcomes are drawn from a known hazard of the true state, and models with hazards."""

from functools import partial
from typing import NamedTuple

import numpy as np
from toys import toy_cohort, toy_model

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.follow_up import FollowUp
from neurotwin.models import Hazards
from neurotwin.schema import Outcome, Schema, Static, Variable
from neurotwin.simulators.event_times import draw_follow_up

OUTCOMES = (Outcome(name="relapse"), Outcome(name="death"))
WITH_HAZARDS = ("neural_ode", "latent_ode", "population_ode")
GRID = 0.02


class Truth(NamedTuple):
    """What a simulator knows: level and slope ``[subject]`` of the true line, and hazard constants."""

    level: np.ndarray
    slope: np.ndarray
    base: np.ndarray
    effect: np.ndarray

    def value(self, time):
        """``[subject, time]``"""
        return self.level[:, None] + self.slope[:, None] * np.asarray(time)

    def hazards(self, time):
        """``[subject, time, outcome]``"""
        return np.exp(self.base + self.effect * self.value(time)[..., None])

    def incidence(self, since, until):
        """``[subject, outcome]`` true risk of each between two times, of who is free of all at the first."""
        grid = np.linspace(since, until, 400)
        rate = self.hazards(grid)
        step = np.diff(grid)[:, None]
        middle = (rate[:, 1:] + rate[:, :-1]) / 2 * step
        survival = np.exp(-np.cumsum(middle.sum(-1), axis=1))
        before = np.concatenate([np.ones((len(rate), 1)), survival[:, :-1]], axis=1)
        share = middle / middle.sum(-1, keepdims=True)
        return (share * (before - survival)[..., None]).sum(1)


def event_cohort(n=200, seed=0, *, base=(-3.0, -3.5), effect=(1.2, 0.0), span=6.0, every=1.0, noise=0.1, spread=0.5):
    """Lines seen with noise at regular visits until an outcome or the end; the first hazard follows the true value."""
    rng = np.random.default_rng(seed)
    truth = Truth(rng.normal(0, 1, n), rng.normal(0.1, spread, n) * 0.5, np.array(base), np.array(effect))
    grid = np.linspace(0, span, int(span / GRID) + 1)
    follow_up = draw_follow_up(grid, truth.hazards(grid), rng, lost=rng.uniform(span / 2, 2 * span, n))
    visits = np.arange(0, span, every)
    subject, number = np.nonzero(visits[None, :] <= follow_up.time[:, None])
    value = truth.value(visits)[subject, number] + rng.normal(0, noise, len(subject))
    schema = Schema(
        name="lines",
        time_unit="a",
        variables=(Variable(name="value", unit="1"),),
        statics=(Static(name="age", unit="a"),),
        outcomes=OUTCOMES,
    )
    cohort = Cohort.build(
        schema,
        [f"p{one:05d}" for one in range(n)],
        rng.normal(60, 10, (n, 1)),
        Observations.of(subject, visits[number], 0, value),
        Doses.of(),
        split_key="lines",
        follow_up=follow_up,
        provenance={"simulator": "lines"},
    )
    return cohort, truth


def ended_toys(n=12, **more):
    """A toy cohort with outcomes, followed for a while after each subject's last event."""
    cohort = toy_cohort(n, **more)
    event = np.arange(n) % 3 - 1
    return Cohort.build(
        cohort.schema.model_copy(update={"outcomes": OUTCOMES}),
        cohort.ids.tolist(),
        cohort.statics,
        cohort.observations,
        cohort.doses,
        split_key="toy",
        follow_up=FollowUp.of(8.0 + np.linspace(0.5, 3.0, n), event),
        provenance={"simulator": "toy"},
    )


def risky_model(cohort, kind="neural_ode", *, hidden=0, **more):
    """An untrained model with hazards that differ between subjects."""
    import torch

    model = toy_model(cohort, kind, hazards=partial(Hazards, hidden=hidden), **more)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        for weight in model.hazards.predictor.parameters():
            weight.add_(0.4 * torch.randn(weight.shape, generator=generator))
    return model
