"""The support score: fitted on states of training subjects, its threshold on validation subjects."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.data import random_batch
from neurotwin.errors import ParityError
from neurotwin.export.graphs import SupportScore
from neurotwin.models import Surrogate

SHRINKAGE = 0.05
QUANTILE = 0.995


def states_of(model: Surrogate, cohort: Cohort, *, min_visits: int, seed: int, repeats: int) -> Tensor:
    """Packed states ``[state, ...]`` of subjects at random times: some at a visit, most a while after one."""
    gap = float(np.median(np.diff(cohort.observations.time)[np.diff(cohort.observations.time) > 0]))
    states = []
    for turn in range(repeats):
        batch = random_batch(
            cohort,
            np.arange(len(cohort)),
            np.random.default_rng((seed, turn)),
            max_step=model.solver.max_step,
            min_visits=min_visits,
            max_horizon=np.inf,
            late=gap if turn else 0.0,
        )
        with torch.no_grad():
            blank = torch.zeros(len(batch.start), model.state_size)
            states.append(
                model.assimilate(
                    blank, torch.ones_like(batch.start), batch.start, batch.static, batch.static_mask, batch.history
                )
            )
    return torch.cat(states)


def fit_support(
    model: Surrogate, train: Cohort, validation: Cohort, *, min_visits: int = 2, seed: int = 0
) -> tuple[SupportScore, float]:
    """The score and the threshold that 99.5 % of validation states stay under.

    The covariance is shrunk towards its diagonal (Ledoit, Wolf, J. Multivar. Anal. 2004, with a fixed weight), so that
    few subjects suffice.
    """
    states = states_of(model, train, min_visits=min_visits, seed=seed, repeats=3).double().numpy()
    if not np.isfinite(states).all():
        raise ParityError(
            "the model's states of training subjects are not finite",
            where="support",
            remedy="train with a smaller max_step or a lower rate",
        )
    used = np.zeros(states.shape[1], dtype=bool)
    first, _ = model.layout["core"]
    used[first : first + model.n_learned] = True
    used[slice(*model.layout["last"])] = True
    # A level that the schema knows is not strange because it is rare; only numbers can be far out.
    numeric = np.array(["=" not in column for column in model.schema.static_columns], dtype=bool)
    first, _ = model.layout["static"]
    used[first : first + len(numeric)] = numeric
    centre = np.where(used, states.mean(0), 0.0)
    whitening = np.zeros((states.shape[1], int(used.sum())))
    whitening[used] = _whitening(states[:, used])
    score = SupportScore(torch.as_tensor(centre, dtype=torch.float32), torch.as_tensor(whitening, dtype=torch.float32))
    held_out = states_of(model, validation, min_visits=min_visits, seed=seed + 1, repeats=5)
    with torch.no_grad():
        return score, float(np.quantile(score(held_out).numpy(), QUANTILE))


def _whitening(states: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = states.std(axis=0)
    # A constant column still has to notice when it changes.
    scaled = (states - states.mean(axis=0)) / np.maximum(deviation, 1e-2)
    covariance = (1 - SHRINKAGE) * np.cov(scaled, rowvar=False) + SHRINKAGE * np.eye(states.shape[1])
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(values) / np.maximum(deviation, 1e-2)[:, None])
