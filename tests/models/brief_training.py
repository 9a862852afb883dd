"""A second of training on a toy cohort, and what came of it."""

import numpy as np
import torch
from toys import MAX_STEP, toy_cohort, toy_model

from neurotwin.data import random_batch
from neurotwin.training import JointGaussian, SurrogateTraining

HOW = {"max_step": MAX_STEP, "min_visits": 2, "max_horizon": np.inf}


def batch_of(cohort, seed=0):
    """Every subject once, cut at a random visit."""
    return random_batch(cohort, np.arange(len(cohort)), np.random.default_rng(seed), **HOW)


def trained_briefly(kind, steps=20, lr=2e-2, **more):
    """A model trained on small batches of a toy cohort, and unseen subjects of the same kind."""
    cohort, unseen = toy_cohort(192, seed=5), toy_cohort(96, seed=6, first=1000)
    model = toy_model(cohort, kind, **{"hidden": 16, **more})
    training = SurrogateTraining(model.train(), JointGaussian(absolute=1.0), torch.optim.AdamW)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    rng = np.random.default_rng(0)
    for step in range(steps):
        subjects = np.sort(rng.choice(len(cohort), 32, replace=False))
        batch = random_batch(cohort, subjects, rng, **HOW)
        loss = training._score(batch)[0].sum() / batch.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
    return model.eval(), unseen


def errors(model, cohort):
    """Mean absolute error of the size (model units) by the model, and by the population's mean."""
    batch = batch_of(cohort, 1)
    with torch.no_grad():
        prediction, _ = SurrogateTraining(model, JointGaussian(), torch.optim.AdamW)(batch)
    value, mask = model.scaler.value(batch.value, batch.mask)[..., 0], batch.mask[..., 0] > 0
    return float((prediction.mean[..., 0] - value)[mask].abs().mean()), float(value[mask].abs().mean())


def state_after(model, cohort, visits, seed=1):
    """Packed states of subjects whose past holds only their first ``visits`` visits."""
    batch = batch_of(cohort, seed)
    seen = (batch.history.mask > 0).any(-1)
    kept = (torch.cumsum(seen, dim=1) <= visits).unsqueeze(-1)
    history = batch.history._replace(mask=batch.history.mask * kept, value=batch.history.value * kept)
    blank = torch.zeros(len(batch.start), model.state_size)
    with torch.no_grad():
        return model.assimilate(
            blank, torch.ones_like(batch.start), batch.start, batch.static, batch.static_mask, history
        )
