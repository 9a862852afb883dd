"""`BayesOde` whose history is worked through in double precision, for a bundle.

Its filter divides what the population leaves open by the noise of a measurement. Where a tumour differs by orders of
magnitude between patients and is measured to 5 %, that takes three digits, and single precision leaves too few for the
parity that an export proves on timelines far from any patient. State in and out stay in single precision.
"""

import copy

import torch
from torch import Tensor

from neurotwin.models import BayesOde
from neurotwin.solvers import Rows


class DoubleHistory(BayesOde):
    """Made by `in_double`, not by its constructor."""

    wide: BayesOde

    def follow(
        self, state: Tensor, fresh: Tensor, start: Tensor, static: Tensor, static_mask: Tensor, rows: Rows
    ) -> tuple[Tensor, Tensor | None]:
        """As `Surrogate.follow`."""
        given = (item.double() for item in (state, fresh, start, static, static_mask))
        after, cost = self.wide.follow(*given, Rows(*(column.double() for column in rows)))
        return after.to(torch.float32), cost


def in_double(model: BayesOde) -> DoubleHistory:
    """The same weights."""
    made = DoubleHistory.__new__(DoubleHistory)
    made.__dict__.update(copy.deepcopy(model).__dict__)
    made.wide = copy.deepcopy(model).double()
    return made.eval()
