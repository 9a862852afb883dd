"""What is known, without learning, of the time since a patient's last visit."""

import torch
from torch import Tensor
from torch.nn import functional as F

from neurotwin.schema import Schema
from neurotwin.solvers import Rows


class Recent:
    """The block ``[last | exposure | elapsed]`` of a core: values last seen, exposure to each treatment and time since
    the last visit (over the time scale).

    A visit can so be told what changed, what was given meanwhile and how long it took, from which a patient's own
    response can be read. Their dynamics are known, and a visit starts them anew.

    Args:
        schema: decides the sizes.
        extremes: whether values last seen are kept as ``[last | rise | fall | seen]``, with the rise above the lowest
            and the fall below the highest value so far: response criteria for tumours speak of both (RECIST 1.1,
            Eisenhauer et al., Eur. J. Cancer 2009), and a network has to be told, for a minimum is hard to learn.
    """

    def __init__(self, schema: Schema, extremes: bool = False) -> None:
        self.n_obs, self.n_control = len(schema.variables), len(schema.treatments)
        self.extremes = extremes
        self.n_seen = (4 if extremes else 1) * self.n_obs
        self.n_changes = (3 if extremes else 1) * self.n_obs
        self.n_since = self.n_control + 1
        self.size = self.n_seen + self.n_since

    def slope(self, t: Tensor, control: Tensor) -> Tensor:
        """``[..., size]`` per scaled time under controls ``[..., control]``; ``t`` ``[...]``."""
        passes = torch.ones_like(t).unsqueeze(-1)
        given = [control] if self.n_control else []  # joined with nothing, an export would take its rows as fixed
        return torch.cat([passes * passes.new_zeros(self.n_seen), *given, passes], dim=-1)

    def dosed(self, recent: Tensor, amount: Tensor) -> Tensor:
        """The block after amounts ``[batch, control]``."""
        seen, exposure, elapsed = recent.split([self.n_seen, self.n_control, 1], dim=-1)
        return torch.cat([seen, exposure + amount, elapsed], dim=-1)

    def told(self, recent: Tensor, row: Rows) -> tuple[Tensor, Tensor]:
        """What changed ``[batch, n_changes]``, and exposure with time since ``[batch, control + 1]``."""
        seen, since = recent.split([self.n_seen, self.n_since], dim=-1)
        if not self.extremes:
            return (row.value - seen) * row.mask, since
        last, rise, fall, before = seen.split(self.n_obs, dim=-1)
        change = (row.value - last) * row.mask
        return torch.cat([change, *_extremes(change, rise, fall, before)], dim=-1), since

    def renewed(self, recent: Tensor, row: Rows) -> Tensor:
        """The block after a visit."""
        seen, since = recent.split([self.n_seen, self.n_since], dim=-1)
        last, *rest = seen.split(self.n_obs, dim=-1)
        if self.extremes:
            rise, fall, before = rest
            rest = [*_extremes((row.value - last) * row.mask, rise, fall, before), torch.maximum(before, row.mask)]
        return torch.cat([torch.where(row.mask > 0, row.value, last), *rest, torch.zeros_like(since)], dim=-1)


def _extremes(change: Tensor, rise: Tensor, fall: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Rise above the lowest and fall below the highest value after a change; none at the first sight."""
    return F.relu(rise + change) * before, F.relu(fall - change) * before
