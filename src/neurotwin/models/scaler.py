"""The fitted scaling as part of a model, so that it travels inside the exported graph."""

import torch
from torch import Tensor, nn

from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.solvers import Rows


class Scaler(nn.Module):
    """Natural units to model units and back."""

    is_log: Tensor
    offset: Tensor
    mean: Tensor
    deviation: Tensor
    treatment: Tensor
    static_mean: Tensor
    static_deviation: Tensor

    def __init__(self, schema: Schema, scaling: Scaling) -> None:
        super().__init__()
        scaling.check(schema)
        self.time = scaling.time
        numbers = {
            "is_log": [float(variable.transform == "log") for variable in schema.variables],
            "offset": [variable.offset for variable in schema.variables],
            "mean": scaling.mean,
            "deviation": scaling.deviation,
            "treatment": scaling.treatment,
            "static_mean": scaling.static_mean,
            "static_deviation": scaling.static_deviation,
        }
        for name, values in numbers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    def value(self, value: Tensor, mask: Tensor) -> Tensor:
        """Observed values in model units; 0 where not observed."""
        # A missing value is 0, whose logarithm would poison the gradient of the branch not taken.
        safe = torch.where((self.is_log > 0) & (mask > 0), value + self.offset, 1.0)
        modelled = torch.where(self.is_log > 0, torch.log(safe), value)
        return (modelled - self.mean) / self.deviation * mask

    def natural(self, scaled: Tensor) -> Tensor:
        """Model units ``[..., obs]`` back to the variables' units."""
        modelled = scaled * self.deviation + self.mean
        return torch.where(
            self.is_log > 0, torch.exp(torch.where(self.is_log > 0, modelled, 0.0)) - self.offset, modelled
        )

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
