"""The learned step at a visit: none before training, and only of what was seen."""

import torch
from toys import assimilated, rows_of, toy_cohort, toy_model


def states(steps):
    """Packed states after all visits, of the same weights without a step and with steps of some size."""
    cohort = toy_cohort(8)
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    rows = rows._replace(mask=rows.mask * torch.tensor([1.0, 0.0]))  # the second variable is never seen
    plain, stepping = toy_model(cohort), toy_model(cohort, step=True)
    stepping.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.constant_(stepping.step.bias, steps)
    return [one.unpack(assimilated(one, cohort, rows))["core"][:, :2] for one in (plain, stepping)]


def test_an_untrained_model_makes_none():
    plain, stepping = states(0.0)
    assert torch.equal(plain, stepping)


def test_only_what_was_seen_is_moved():
    plain, stepping = states(1e-3)
    moved = stepping - plain
    # The last visit moves the estimate by a whole step; what earlier ones left of theirs comes on top.
    assert (moved[:, 0] > 5e-4).all()
    assert moved[:, 1].abs().max() < 2e-4
