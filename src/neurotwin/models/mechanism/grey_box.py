"""A mechanism inside a neural model: a published vector field, per-patient parameters, and a learned residual."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError


class Mechanism(Protocol):
    """What is asked of a mechanism: a frozen dataclass whose fields are its parameters and whose equations run on
    tensors, such as each simulator of this package."""

    parameters: Any
    states: Any

    def initial_state(self, n: int) -> Any:
        """``[n, state]``."""
        ...

    def vector_field(self, t: Any, state: Any, control: Any) -> Any:
        """Slope ``[batch, state]``."""
        ...

    def jump(self, state: Any, amount: Any) -> Any:
        """State right after the amounts."""
        ...


class GreyBox(nn.Module):
    """The vector field and the jump of a mechanism for `neurotwin.solvers.odesolve`.

        x' = f(t, x, u; theta) + s residual(x / s, theta / theta0, u)        theta' = 0

    The packed state is ``[mechanism | parameters]``: the mechanism's own state in its own units, then the parameters
    that differ between patients, which stay as they are unless something else moves them. Without a residual it is the
    mechanism, exactly: the same equations that made the simulated cohorts.

    Args:
        mechanism: its other parameters are fixed, the same for everyone.
        free: names of the parameters that differ between patients; each one number per patient.
        scale: ``[state]`` typical size s of each state, by which the residual is scaled; needed with a residual.
        residual: ``[batch, state + free + control] -> [batch, state]``, per unit of time.

    Raises:
        ConfigError: a name that is no scalar parameter of the mechanism, or a residual without a scale.
    """

    scale: Tensor
    default: Tensor

    def __init__(
        self,
        mechanism: Mechanism,
        *,
        free: Sequence[str] = (),
        scale: Sequence[float] | None = None,
        residual: nn.Module | None = None,
    ) -> None:
        super().__init__()
        scalars = [name for name, item in mechanism.parameters.items() if not item.shape]
        if wrong := [name for name in free if name not in scalars]:
            name = type(mechanism).__name__
            raise ConfigError(f"no parameter {wrong[0]!r} in {name}", where="free", expected=" | ".join(scalars))
        if (residual is not None) and (scale is None or len(scale) != len(mechanism.states)):
            raise ConfigError("a residual needs a scale", where="scale", expected=f"{len(mechanism.states)} numbers")
        self.mechanism, self.free, self.residual = mechanism, tuple(free), residual
        self.n_state = len(mechanism.states)
        default = torch.tensor([float(getattr(mechanism, name)) for name in free], dtype=torch.float64)
        self.register_buffer("default", default)
        self.register_buffer("scale", torch.tensor(scale if scale is not None else [1.0] * self.n_state))

    def initial(self, parameters: Tensor) -> Tensor:
        """State before the first event ``[batch, state + free]`` of patients with ``parameters`` ``[batch, free]``."""
        state = torch.as_tensor(self.of_patients(parameters).initial_state(len(parameters)))
        return torch.cat([state.to(parameters), parameters], dim=-1)

    def vector_field(self, t: Tensor, state: Tensor, control: Tensor, static: Tensor) -> Tensor:
        """Slope of the packed state; ``static`` is not used."""
        inner, parameters = self._split(state)
        slope = self.of_patients(parameters).vector_field(t, inner, control)
        if self.residual is not None:
            relative = parameters / torch.where(self.default == 0, 1.0, self.default).to(parameters)
            slope = slope + self.scale * self.residual(torch.cat([inner / self.scale, relative, control], dim=-1))
        return torch.cat([slope, torch.zeros_like(parameters)], dim=-1)

    def jump(self, t: Tensor, state: Tensor, amount: Tensor, static: Tensor) -> Tensor:
        """The packed state right after the amounts."""
        inner, parameters = self._split(state)
        return torch.cat([self.of_patients(parameters).jump(inner, amount), parameters], dim=-1)

    def _split(self, state: Tensor) -> tuple[Tensor, Tensor]:
        inner, parameters = state.split([self.n_state, len(self.free)], dim=-1)
        return inner, parameters

    def of_patients(self, parameters: Tensor) -> Any:
        """The mechanism of patients with ``parameters`` ``[batch, free]``."""
        if not self.free:
            return self.mechanism
        columns = dict(zip(self.free, parameters.unbind(-1), strict=True))
        return replace(self.mechanism, **columns)  # type: ignore[type-var]
