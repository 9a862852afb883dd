"""A small network as a vector field, in a form that solvers can take apart."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Drift = Callable[[Tensor, Tensor], Tensor]
"""``drift(like, control) -> slope`` of the columns that the network does not move; ``like`` has the leading axes."""


class Told(NamedTuple):
    """What a field knows of all rows before they are solved.

    Attributes:
        first: ``[batch, row, hidden]`` what the first layer gets from controls, covariates and bias.
        drift: ``[batch, row, rest]`` slopes of the columns that the network does not move, per time scale.
        of_state, of_clock: ``[moved, hidden]`` and ``[hidden]``, the first layer's other weights.
        rest: weights and bias of the later layers.
    """

    first: Tensor
    drift: Tensor
    of_state: Tensor
    of_clock: Tensor
    rest: tuple[tuple[Tensor, Tensor], ...]


class MlpField(nn.Sequential):
    """``x' = network([x, controls, covariates, clock]) / s`` for the leading ``moved`` columns of a state; the others
    drift at slopes that the controls decide.

    Layers of SiLU units. What controls and covariates add to the first layer is the same for all stages of a row, so
    `hoist` computes it for all rows at once, and a solver that knows the layers (`neurotwin.solvers.fused`) solves all
    in one go. Called as a vector field it does the same one slope at a time.

    Args:
        moved: number of columns that the network moves.
        control, static: number of controls and covariates.
        hidden: units of a layer.
        time: the time scale s.
        layers: of hidden units.
        use_clock: whether the field may depend on the time since the index event; the column stays, as zeros.
        drift: of the state's other columns; None: there are none.
        gentle: begin with small slopes, so that an untrained solve stays near its start.
    """

    def __init__(
        self,
        moved: int,
        control: int,
        static: int,
        hidden: int,
        *,
        time: float = 1.0,
        layers: int = 2,
        use_clock: bool = True,
        drift: Drift | None = None,
        gentle: bool = True,
    ) -> None:
        sizes = [moved + control + static + 1, *([hidden] * layers), moved]
        parts: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:], strict=False):
            parts += [nn.Linear(before, after), nn.SiLU()]
        super().__init__(*parts[:-1])
        self.sizes, self.time, self.use_clock, self.drift = [moved, control, static, 1], time, use_clock, drift
        if gentle:
            last = self.linears[-1]
            nn.init.zeros_(last.bias)
            last.weight.data.mul_(0.1)

    @property
    def linears(self) -> list[nn.Linear]:
        """The affine layers in order."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]

    def forward(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:  # type: ignore[override]
        """Slope ``[batch, state]`` at times ``[batch]``, as `neurotwin.solvers.odesolve` asks for it."""
        moved = state[..., : self.sizes[0]]
        slope = torch.cat([moved, control, static, self.clock(t).unsqueeze(-1)], dim=-1)
        for layer in self:
            slope = layer(slope)
        if self.drift is not None:
            slope = torch.cat([slope, self.drift(t, control)], dim=-1)
        return slope / self.time

    def clock(self, t: Tensor) -> Tensor:
        """The clock's input at times ``[...]``: squashed, so that it tells early from late but stays below 1."""
        scaled = t / self.time if self.use_clock else torch.zeros_like(t)
        return scaled / (2.0 + scaled.abs())

    def hoist(self, control: Tensor, static: Tensor) -> Told:
        """What is known of all rows, from controls ``[batch, row, control]`` and covariates ``[batch, static]``."""
        layer = self.linears[0]
        of_state, of_control, of_static, of_clock = layer.weight.split(self.sizes, dim=1)
        # A schema need not have controls or covariates, and ONNX Runtime multiplies no matrix without columns.
        known = F.linear(static, of_static, layer.bias).unsqueeze(1) if static.shape[-1] else layer.bias
        told = F.linear(control, of_control) if control.shape[-1] else control.new_zeros(*control.shape[:2], 1)
        first = told + known
        like = control.new_zeros(control.shape[:2])
        drift = control[..., :0] if self.drift is None else self.drift(like, control)
        rest = tuple((one.weight, one.bias) for one in self.linears[1:])
        # Clones: two views of one weight may not enter a scan that is exported.
        return Told(first, drift, of_state.t().clone(), of_clock.squeeze(1).clone(), rest)

    def slope(self, clock: Tensor | None, state: Tensor, told: Told) -> Tensor:
        """Slope ``[batch, state]`` per time scale in a row; ``clock`` ``[batch, 1]`` is its input (None: it has none),
        and of ``told``, first and drift are the row's, ``[batch, ...]``."""
        moved = state if self.drift is None else state[..., : self.sizes[0]]
        units = torch.addmm(told.first, moved, told.of_state)
        if clock is not None:
            units = torch.addcmul(units, clock, told.of_clock)
        for weight, bias in told.rest:
            units = F.linear(F.silu(units), weight, bias)
        return units if self.drift is None else torch.cat([units, told.drift], dim=-1)
