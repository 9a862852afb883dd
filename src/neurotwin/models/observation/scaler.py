"""The fitted scaling as part of a model, so that it travels inside the exported graph."""

import math

import torch
from torch import Tensor, nn

from neurotwin.models.observation.records import Records
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows


class Scaler(nn.Module):
    """Natural units to model units and back.

    Attributes:
        records: what is recorded of the variables' latent values.
    """

    is_log: Tensor
    offset: Tensor
    is_logit: Tensor
    low: Tensor
    width: Tensor
    mean: Tensor
    deviation: Tensor
    treatment: Tensor
    static_mean: Tensor
    static_deviation: Tensor

    def __init__(self, schema: Schema, scaling: Scaling) -> None:
        super().__init__()
        scaling.check(schema)
        self.time = scaling.time
        heads = [variable.recorded_as for variable in schema.variables]
        numbers = {
            "is_log": [float(head.transform == "log") for head in heads],
            "offset": [head.offset for head in heads],
            "mean": scaling.mean,
            "deviation": scaling.deviation,
            "treatment": scaling.treatment,
            "static_mean": scaling.static_mean,
            "static_deviation": scaling.static_deviation,
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        logit = [head.transform == "logit" for head in heads]
        self.has_logit = any(logit)
        # What is alike in all variables need not be chosen for each: half of an exported graph would be choices.
        self.all_log, self.has_log = all(numbers["is_log"]), any(numbers["is_log"])
        # Facts of the schema, which is stored beside the weights: checkpoints of before these had a place still load.
        facts = {
            "is_logit": [float(one) for one in logit],
            "low": [head.low if one else 0.0 for one, head in zip(logit, heads, strict=True)],
            "width": [head.high - head.low if one else 1.0 for one, head in zip(logit, heads, strict=True)],
        }
        for name, values in facts.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        self.records = Records(heads)

    def value(self, value: Tensor, mask: Tensor) -> Tensor:
        """Observed values in model units; 0 where not observed."""
        # A missing value is 0, whose logarithm would poison the gradient of the branch not taken.
        safe = torch.where((self.is_log > 0) & (mask > 0), value + self.offset, 1.0)
        modelled = torch.where(self.is_log > 0, torch.log(safe), value)
        if self.has_logit:
            share = torch.where((self.is_logit > 0) & (mask > 0), (value - self.low) / self.width, 0.5)
            modelled = torch.where(self.is_logit > 0, torch.log(share) - torch.log1p(-share), modelled)
        return (modelled - self.mean) / self.deviation * mask

    def natural(self, scaled: Tensor) -> Tensor:
        """Model units ``[..., obs]`` back to the variables' units: the latent value, of which the record may differ."""
        modelled = scaled * self.deviation + self.mean
        found = self._lifted(modelled, modelled)
        if self.has_logit:
            found = torch.where(self.is_logit > 0, self.low + self.width * torch.sigmoid(modelled), found)
        return found

    def slope(self, scaled: Tensor) -> Tensor:
        """Change of the latent value in the variable's unit per model unit, at ``scaled`` ``[..., obs]``."""
        found = torch.where(self.is_log > 0, self.natural(scaled) + self.offset, 1.0)
        if self.has_logit:
            share = torch.sigmoid(scaled * self.deviation + self.mean)
            found = torch.where(self.is_logit > 0, self.width * share * (1 - share), found)
        return found * self.deviation

    def expected(self, location: Tensor, scale: Tensor) -> Tensor:
        """``[..., obs]`` mean of the records, in the variables' units, of a latent value that is normal around
        ``location`` with standard deviation ``scale`` (model units)."""
        mean, spread = location * self.deviation + self.mean, scale * self.deviation
        found = self._lifted(mean + 0.5 * spread**2, mean) if self.has_log else mean
        if self.has_logit:
            found = torch.where(self.is_logit > 0, self.low + self.width * _mean_of_sigmoid(mean, spread), found)
        return self.records.expected(found, mean, spread)

    def _lifted(self, logarithm: Tensor, plain: Tensor) -> Tensor:
        """Of what is modelled as its logarithm the exponential, of the rest ``plain``."""
        if self.all_log:
            return torch.exp(logarithm) - self.offset
        if not self.has_log:
            return plain
        return torch.where(
            self.is_log > 0, torch.exp(torch.where(self.is_log > 0, logarithm, 0.0)) - self.offset, plain
        )

    def cells(self, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Ends ``[..., obs]``, in model units, of the latent values of which observed values are the record: the value
        itself where it is exact, infinite in the tails."""
        exact = self.value(value, mask)
        if self.records.all_exact:
            return exact, exact
        low, high = ((end - self.mean) / self.deviation for end in self.records.cells(value))
        known = (mask > 0) & (self.records.is_exact == 0)
        return torch.where(known, low, exact), torch.where(known, high, exact)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Ends ``[obs]`` of the support in model units; infinite where there is none."""
        low, high = ((end - self.mean) / self.deviation for end in self.records.ends())
        return low, high

    def rows(self, rows: Rows) -> Rows:
        """Rows with values, controls and jumps in model units; times stay."""
        return rows._replace(
            value=self.value(rows.value, rows.mask),
            control=rows.control / self.treatment,
            jump=rows.jump / self.treatment,
        )

    def static(self, static: Tensor, mask: Tensor) -> Tensor:
        """Covariates and their masks ``[batch, 2 * static]``; 0 where missing."""
        return torch.cat([(static - self.static_mean) / self.static_deviation * mask, mask], dim=-1)


def _mean_of_sigmoid(mean: Tensor, spread: Tensor) -> Tensor:
    """Mean of the sigmoid of a normal variable, which has no closed form: the trapezoidal rule over the normal density
    from -4 to 4, whose error is below 1e-4 at any spread up to 5."""
    nodes = [0.25 * number for number in range(-16, 17)]
    weights = [math.exp(-0.5 * node**2) for node in nodes]
    at = torch.tensor(nodes, dtype=mean.dtype, device=mean.device)
    weight = torch.tensor([one / sum(weights) for one in weights], dtype=mean.dtype, device=mean.device)
    return (torch.sigmoid(mean.unsqueeze(-1) + spread.unsqueeze(-1) * at) * weight).sum(-1)
