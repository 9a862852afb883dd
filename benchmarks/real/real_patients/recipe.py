"""The recipe: a neural ODE trained by a short fixed schedule on pasts cut at random, the same for every cohort.

All variables of a cohort are inputs; the loss is mostly the absolute error of the one that is asked for. Each
configuration of the small grid is trained once without each pair of folds; inner folds choose among them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from neurotwin.cohort import Cohort
from neurotwin.data import Batch, EpisodeBatches, random_cuts
from neurotwin.models import NeuralOde
from neurotwin.scaling import Scaling
from neurotwin.solvers import Midpoint
from neurotwin.training import SurrogatePredictor
from neurotwin.training.loss import JointGaussian
from real_patients.folds import Pair, without
from real_patients.tasks import Task
from real_patients.together import train_together

MIN_VISITS = 2


@dataclass(frozen=True)
class Choice:
    """One configuration of the grid.

    Attributes:
        steps: of the optimizer.
        batch: subjects per step.
        rate, decay: highest learning rate and weight decay of AdamW.
        dropout: of what the memory learns from at a visit, and of the covariates.
        forget: share of the past hidden at random.
        others: weight of the absolute errors of the variables that are not asked for; that of the one asked for is 1.
        likelihood: weight of the negative log likelihood beside them.
        trust: how far a new model takes over what it sees at a visit, before the sigmoid.
        extremes: whether visits are told the lowest and the highest value so far.
        step: whether a visit moves the estimate by a learned step, too.
        memory, hidden: sizes of the model.
    """

    steps: int = 300
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.01
    dropout: float = 0.4
    forget: float = 0.1
    others: float = 0.1
    likelihood: float = 0.1
    trust: float = 1.0
    extremes: bool = False
    step: bool = False
    memory: int = 8
    hidden: int = 32


STEPPED = Choice(rate=1e-2, trust=8.0, dropout=0.0, decay=0.1, forget=0.0, extremes=True, step=True)
GRID: dict[str, Choice] = {
    "plain": Choice(),
    "trusting": Choice(trust=3.0, dropout=0.2),
    "forgetful": Choice(dropout=0.5, forget=0.3, others=0.3),
    "long": Choice(steps=600, rate=2e-3, decay=0.1, dropout=0.5),
    "fast": Choice(rate=1e-2, trust=3.0, dropout=0.2),
    "fast_extremes": Choice(rate=1e-2, trust=3.0, dropout=0.2, extremes=True),
    "careful_extremes": Choice(rate=1e-2, trust=3.0, dropout=0.4, decay=0.1, extremes=True),
    # A course that starts at the last value and is moved by what a visit tells, with nothing hidden or dropped.
    "stepped": STEPPED,
    "stepped_long": replace(STEPPED, steps=600),
    "stepped_plain": replace(STEPPED, extremes=False),
    # The same for cohorts of few subjects, which learn their past by heart.
    "stepped_careful": replace(STEPPED, rate=3e-3, dropout=0.4, forget=0.1),
}


def fit(
    task: Task, cohorts: list[Cohort], choice: Choice, *, seed: int, told: Callable[[int, float], Any] = lambda *_: None
) -> list[SurrogatePredictor]:
    """A forecaster for each training cohort. Nothing but a cohort's own subjects touches its model and scales."""
    models, streams = [], []
    for number, cohort in enumerate(cohorts):
        torch.manual_seed(1000 * seed + number)
        # The unit of model time and the longest step are the task's, not the training part's: models are stacked.
        scaling = replace(Scaling.fit(cohort), time=task.cut)
        solver = Midpoint(task.cut)
        sizes = {name: getattr(choice, name) for name in ("memory", "hidden", "dropout", "extremes", "step")}
        model = NeuralOde(cohort.schema, scaling, solver, draws=1, **sizes)
        nn.init.constant_(model.gain.bias, choice.trust)
        models.append(model)
        streams.append(stream(cohort, choice, max_step=task.cut, seed=(seed, number)))
    weights = [1.0 if one.name == task.variable else choice.others for one in cohorts[0].schema.variables]
    train_together(
        models,
        JointGaussian(1.0, choice.likelihood, weights),
        streams,
        steps=choice.steps,
        optimizer=partial(torch.optim.AdamW, lr=choice.rate, weight_decay=choice.decay),
        seed=seed,
        told=told,
    )
    return [SurrogatePredictor(model) for model in models]


def stream(cohort: Cohort, choice: Choice, *, max_step: float, seed: tuple[int, ...]) -> Iterator[Batch]:
    """As many batches as the schedule has steps: every subject in turn, each time cut at another of its visits."""
    able = np.isfinite(random_cuts(cohort, np.random.default_rng(0), MIN_VISITS))
    part = cohort.take(able)
    data = EpisodeBatches(
        part,
        seed=seed,
        batch_size=choice.batch,
        max_step=max_step,
        min_visits=MIN_VISITS,
        max_horizon=np.inf,
        repeats=-(-choice.steps * choice.batch // len(part)),
        forget=choice.forget,
    )
    return (data[number] for number in range(choice.steps))


def fit_pairs(
    task: Task, cohort: Cohort, pairs: tuple[Pair, ...], choice: Choice, *, seed: int
) -> dict[Pair, SurrogatePredictor]:
    """A forecaster without each pair of folds."""
    return dict(zip(pairs, fit(task, [without(cohort, pair) for pair in pairs], choice, seed=seed), strict=True))
