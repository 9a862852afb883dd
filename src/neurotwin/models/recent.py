"""What is known, without learning, of the time since a patient's last visit."""

import torch
from torch import Tensor

from neurotwin.schema import Schema
from neurotwin.solvers import Rows


class Recent:
    """The block ``[last | exposure | elapsed]`` of a core: values last seen, exposure to each treatment and time since
    the last visit (over the time scale).

    A visit can so be told what changed, what was given meanwhile and how long it took, from which a patient's own
    response can be read. Their dynamics are known, and a visit starts them anew.
    """

    def __init__(self, schema: Schema) -> None:
        self.n_obs, self.n_control = len(schema.variables), len(schema.treatments)
        self.n_since = self.n_control + 1
        self.size = self.n_obs + self.n_since

    def slope(self, t: Tensor, control: Tensor) -> Tensor:
        """``[..., size]`` per scaled time under controls ``[..., control]``; ``t`` ``[...]``."""
        passes = torch.ones_like(t).unsqueeze(-1)
        return torch.cat([passes * passes.new_zeros(self.n_obs), control, passes], dim=-1)

    def dosed(self, recent: Tensor, amount: Tensor) -> Tensor:
        """The block after amounts ``[batch, control]``."""
        last, exposure, elapsed = recent.split([self.n_obs, self.n_control, 1], dim=-1)
        return torch.cat([last, exposure + amount, elapsed], dim=-1)

    def told(self, recent: Tensor, row: Rows) -> tuple[Tensor, Tensor]:
        """What changed ``[batch, obs]``, and exposure with time since ``[batch, control + 1]``."""
        last, since = recent.split([self.n_obs, self.n_since], dim=-1)
        return (row.value - last) * row.mask, since

    def renewed(self, recent: Tensor, row: Rows) -> Tensor:
        """The block after a visit."""
        last, since = recent.split([self.n_obs, self.n_since], dim=-1)
        return torch.cat([torch.where(row.mask > 0, row.value, last), torch.zeros_like(since)], dim=-1)
