"""Training losses: per subject, in model units."""

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError
from neurotwin.models import Prediction, joint_gaussian_nll


class JointGaussian(nn.Module):
    """Joint Gaussian likelihood of each subject's future, with a share of absolute error of the median.

    Args:
        absolute: weight of the summed absolute error beside the negative log likelihood; the median that the metrics
            ask for is learned better with some of it.
    """

    def __init__(self, absolute: float = 0.0) -> None:
        super().__init__()
        if not absolute >= 0:
            raise ConfigError(f"absolute is {absolute!r}", where="loss.absolute", expected="a number of at least 0")
        self.absolute = absolute

    def forward(self, prediction: Prediction, value: Tensor, mask: Tensor, censor: Tensor) -> Tensor:
        """Loss of each subject ``[batch]``, summed over its targets. ``value`` in model units."""
        loss = joint_gaussian_nll(prediction, value, mask, censor)
        if self.absolute:
            exact = mask * (censor == 0)
            loss = loss + self.absolute * ((prediction.mean - value).abs() * exact).sum((1, 2))
        return torch.as_tensor(loss)
