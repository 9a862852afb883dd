"""Balanced states: what the head is asked, which way its gradient goes, and that it is no part of the model."""

from types import SimpleNamespace

import pytest
import torch
from toys import toy_cohort, toy_model

from neurotwin.errors import ConfigError
from neurotwin.solvers import Rows
from neurotwin.training import JointGaussian, SurrogateTraining
from neurotwin.training.balance import Balance, first_treatments


def stub(learned=2, control=1):
    return SimpleNamespace(n_control=control, n_learned=learned, schema=SimpleNamespace(name="stub"))


def plan(dt, jump, control):
    """One subject, one treatment."""
    dt = torch.tensor([dt])
    jump, control = (torch.tensor(one).reshape(1, -1, 1) for one in (jump, control))
    nothing = torch.zeros(1, dt.shape[1], 1)
    return Rows(dt, control, jump, nothing, nothing, nothing, torch.zeros_like(dt), torch.zeros_like(dt))


@pytest.mark.parametrize(
    ("dt", "jump", "control", "expected"),
    [
        ([1.0, 1.0], [1.0, 0.0], [0.0, 0.0], 1.0),  # at once
        ([0.0, 1.0], [0.0, 1.0], [0.0, 0.0], 1.0),  # after a row that takes no time
        ([1.0, 1.0], [0.0, 1.0], [0.0, 0.0], 0.0),  # a day later
        ([1.0, 1.0], [0.0, 0.0], [2.0, 0.0], 1.0),  # a rate
        ([0.0, 1.0], [0.0, 0.0], [2.0, 0.0], 0.0),  # a rate for no time
        ([1.0, 1.0], [0.0, 0.0], [0.0, 2.0], 0.0),
    ],
)
def test_the_head_is_asked_for_what_is_on_as_the_plan_begins(dt, jump, control, expected):
    assert first_treatments(plan(dt, jump, control)).tolist() == [[expected]]


def test_the_gradient_is_turned_round_for_the_state_alone():
    torch.manual_seed(0)
    balance, core = Balance(stub(), 0.3), torch.randn(1, 3, requires_grad=True)
    given = plan([1.0], [1.0], [0.0])
    balance(core, given).sum().backward()
    plain = core.detach().clone().requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(balance.tell(plain[:, :2]), torch.ones(1, 1)).backward()
    torch.testing.assert_close(core.grad, -0.3 * plain.grad)
    assert core.grad[0, 2] == 0 and core.grad[0, :2].abs().min() > 0  # what is kept as seen is not balanced
    torch.testing.assert_close(balance.tell[2].bias.grad[0] / 2, torch.sigmoid(balance.tell(plain[:, :2]))[0, 0] - 1)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_balanced_state_forgets_what_tells_the_treatment(weight):
    """A state of two numbers; the outcome needs the first, the second alone decides who is treated."""
    torch.manual_seed(1)
    balance, encoder = Balance(stub(), weight, hidden=8), torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(encoder.weight)
    optimizer = torch.optim.Adam([*balance.parameters(), *encoder.parameters()], lr=2e-2)
    for _ in range(150):
        x = torch.randn(128, 2)
        given = plan([1.0], [0.0], [0.0])
        rows = Rows(*(field.expand(128, *field.shape[1:]) for field in given))
        rows = rows._replace(jump=(x[:, 1] > 0).float().reshape(-1, 1, 1))
        state = encoder(x)
        loss = (state[:, 0] - x[:, 0]).square().mean() + balance(state, rows).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = torch.randn(2000, 2)
    right = ((balance.tell(encoder(x))[:, 0] > 0) == (x[:, 1] > 0)).float().mean()
    assert right > 0.95 if weight == 0 else right < 0.8
    torch.testing.assert_close(encoder.weight[0, 0].detach(), torch.tensor(1.0), atol=0.2, rtol=0)


def test_training_pays_for_it_and_validation_does_not(toy_batch):
    cohort, batch = toy_batch
    torch.manual_seed(0)
    with_it = SurrogateTraining(toy_model(cohort), JointGaussian(balance=0.5), torch.optim.AdamW)
    without = SurrogateTraining(toy_model(cohort), JointGaussian(), torch.optim.AdamW)
    assert without.balance is None
    for module in (with_it, without):
        module.eval()
    torch.testing.assert_close(with_it._score(batch)[0], without._score(batch)[0])
    assert (with_it.train()._score(batch)[0] > without.train()._score(batch)[0]).all()
    # What is kept of a run, and exported, is the model alone.
    assert {name.split(".")[0] for name in with_it.state_dict()} == {"model", "balance"}
    assert with_it.model.state_dict().keys() == without.model.state_dict().keys()


@pytest.fixture
def toy_batch():
    import numpy as np

    from neurotwin.data import random_batch

    cohort = toy_cohort(16)
    how = {"max_step": 1.0, "min_visits": 2, "max_horizon": np.inf}
    return cohort, random_batch(cohort, np.arange(16), np.random.default_rng(0), **how)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ConfigError, match="has no treatments"):
        SurrogateTraining(toy_model(toy_cohort(4, treatments=False)), JointGaussian(balance=0.1), torch.optim.AdamW)
    with pytest.raises(ConfigError, match="balance is -1"):
        JointGaussian(balance=-1)
