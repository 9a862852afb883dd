"""A vector field that is linear in what is particular to a patient, with its exact derivatives."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.surrogate import linear


class PatientField(nn.Module):
    """``f0(y, x) + G(y, x) z``: one network and a linear path give the population's field and how it varies.

    Linear in ``z``, so that what a patient's course says about ``z`` is a linear regression; the derivative by ``y`` is
    written out, because a graph that is exported has no automatic one.

    Args:
        n_obs: variables ``y``.
        n_patient: length of ``z``.
        n_known: length of ``x``, all that is known at an instant.
        hidden: width of the two hidden layers.
    """

    def __init__(self, n_obs: int, n_patient: int, n_known: int, hidden: int) -> None:
        super().__init__()
        self.n_obs, self.n_patient, self.n_known = n_obs, n_patient, n_known
        self.first = linear(n_obs + n_known, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, (1 + n_patient) * n_obs)
        self.direct = nn.Linear(n_obs + n_known, (1 + n_patient) * n_obs, bias=False)
        # An untrained field is small and bounded in y, so that an untrained solve stays near its start however long.
        nn.init.zeros_(self.last.bias)
        self.last.weight.data.mul_(0.3)
        self.direct.weight.data.mul_(0.3)[:, :n_obs] = 0.0

    def slope(self, y: Tensor, known: Tensor, z: Tensor) -> Tensor:
        """``[batch, obs]``"""
        return self._of_patient(self._outputs(torch.cat([y, known], dim=-1))[0], z)

    def linearised(self, y: Tensor, known: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The slope, its derivative by ``z`` ``[batch, obs, patient]`` and by ``y`` ``[batch, obs, obs]``."""
        out, first, second = self._outputs(torch.cat([y, known], dim=-1))
        loading = out.narrow(1, 1, self.n_patient).transpose(1, 2)
        weight = F.pad(z, (1, 0), value=1.0)
        shape = (1 + self.n_patient, -1)
        through = (weight @ self.last.weight.reshape(shape)).unflatten(-1, (self.n_obs, -1))
        through = (through * (1 - second.square()).unsqueeze(1)) @ self.second.weight
        through = (through * (1 - first.square()).unsqueeze(1)) @ self._by_y(self.first)
        straight = (weight @ self._by_y(self.direct).reshape(shape)).unflatten(-1, (self.n_obs, -1))
        return self._of_patient(out, z), loading, through + straight

    def _outputs(self, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[batch, 1 + patient, obs]``: f0, then the columns of G; and both hidden layers."""
        first = torch.tanh(self.first(told))
        second = torch.tanh(self.second(first))
        return (self.last(second) + self.direct(told)).unflatten(-1, (-1, self.n_obs)), first, second

    def _of_patient(self, out: Tensor, z: Tensor) -> Tensor:
        return torch.as_tensor((out * F.pad(z, (1, 0), value=1.0).unsqueeze(-1)).sum(1))

    def _by_y(self, layer: nn.Linear) -> Tensor:
        return layer.weight.narrow(1, 0, self.n_obs)
