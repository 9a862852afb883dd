"""Training losses: per subject, in model units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurotwin.data import Events
from neurotwin.errors import ConfigError
from neurotwin.models import Prediction, joint_gaussian_nll
from neurotwin.models.observation.scaler import Scaler


class JointGaussian(nn.Module):
    """Joint likelihood of each subject's future, with a share of absolute error of the median.

    Latent values are jointly Gaussian; each variable is scored by its head (`neurotwin.heads`): a rounded or cut off
    value by the probability of its interval.

    Args:
        absolute: weight of the summed absolute error beside the negative log likelihood; the median that the metrics
            ask for is learned better with some of it. Medians beyond the end of a scale count as the end; bernoulli
            variables have none, for their error asks for certainty.
        likelihood: weight of the negative log likelihood; below 1 it only teaches how wide the forecast is.
        weights: of the variables' absolute errors, in the order of the schema; None weighs all alike. What is asked
            for can so lead, and the other variables help to tell what state a subject is in.
        natural: whether absolute errors are those in the variables' own units, over what a model unit is at the centre
            of the scale: an error that is judged in centimetres weighs more the larger the lesion, which its logarithm
            does not show.
        events: weight of the negative log likelihood of the end of follow-up, for models with hazards. Values are then
            scored given that end: draws count as much as they foretold it, so that a course is not taken for average
            because those who were worse had left (shared-parameter joint model: Rizopoulos 2012). 0 leaves hazards
            untrained.
        balance: weight of the reversed gradient that takes out of a state what the next treatment could be told from
            (`neurotwin.training.balance.Balance`); 0 leaves states as they are.
    """

    def __init__(
        self,
        absolute: float = 0.0,
        likelihood: float = 1.0,
        weights: Sequence[float] | None = None,
        natural: bool = False,
        events: float = 1.0,
        balance: float = 0.0,
    ) -> None:
        super().__init__()
        if not absolute >= 0:
            raise ConfigError(f"absolute is {absolute!r}", where="loss.absolute", expected="a number of at least 0")
        if not likelihood > 0:
            raise ConfigError(f"likelihood is {likelihood!r}", where="loss.likelihood", expected="a positive number")
        if weights is not None and not all(weight >= 0 for weight in weights):
            raise ConfigError(f"weights are {list(weights)}", where="loss.weights", expected="numbers of at least 0")
        if not events >= 0:
            raise ConfigError(f"events is {events!r}", where="loss.events", expected="a number of at least 0")
        if not balance >= 0:
            raise ConfigError(f"balance is {balance!r}", where="loss.balance", expected="a number of at least 0")
        self.absolute, self.likelihood, self.natural, self.events = absolute, likelihood, natural, events
        self.balance = balance
        self.weights = None if weights is None else torch.tensor(list(weights))

    def forward(
        self,
        prediction: Prediction,
        value: Tensor,
        mask: Tensor,
        censor: Tensor,
        scaler: Scaler,
        events: Events | None = None,
    ) -> Tensor:
        """Loss of each subject ``[batch]``, summed over its targets. ``value`` in the variables' units."""
        if events is not None and prediction.risk is not None and self.events:
            found, log_weight = prediction.risk.log_likelihood(events.start, events.end, events.event)
            told = self(prediction._replace(risk=None, log_weight=log_weight), value, mask, censor, scaler)
            return torch.as_tensor(told - self.events * events.weight * found)
        scaled, records = scaler.value(value, mask), scaler.records
        likelihood = joint_gaussian_nll(prediction, scaled, mask, censor, scaler.cells(value, mask), records.degrees)
        loss = self.likelihood * likelihood
        if self.absolute:
            median = prediction.mean
            if not records.all_exact:
                low, high = scaler.ends()
                median = torch.minimum(torch.maximum(median, low), high)
            counted = mask * (censor == 0) * (1 - records.is_bernoulli)
            if self.weights is not None:
                counted = counted * _checked(self.weights, counted)
            error = (median - scaled).abs()
            if self.natural:
                error = (scaler.natural(median) - value).abs() / scaler.slope(torch.zeros_like(value))
            loss = loss + self.absolute * (error * counted).sum((1, 2))
        return torch.as_tensor(loss)


def _checked(weights: Tensor, like: Tensor) -> Tensor:
    if len(weights) != like.shape[-1]:
        raise ConfigError(
            f"{len(weights)} weights", where="loss.weights", expected=f"{like.shape[-1]}, one per variable"
        )
    return weights.to(like)
