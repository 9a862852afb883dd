"""The few functions that a simulation is made of, as one wants them for speed: on whole batches, compiled on request.

States, controls and amounts are tensors ``[state, batch]``, so that each state lies in one piece.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from neurotwin.runge_kutta import RK4, Step, dense_state, runge_kutta_step
from neurotwin.solution import BOUND_TOLERANCE, NON_FINITE, OK, OUT_OF_BOUNDS
from neurotwin.solvers.columns import Columns, columnwise

EXAMPLE_BATCH = 7919
"""Batch size while tracing: one that no model has as its number of states."""


class Mechanism(Protocol):
    """What is asked of a simulator: a frozen dataclass whose fields are its parameters and whose equations run on
    tensors, such as each simulator of this package."""

    parameters: Any
    states: Any
    max_step: Any

    def vector_field(self, t: Any, state: Any, control: Any) -> Any:
        """Slope ``[batch, state]``."""
        ...

    def jump(self, state: Any, amount: Any) -> Any:
        """State right after the amounts."""
        ...

    def propagate(self, t: Any, dt: Any, state: Any, control: Any) -> Any:
        """State after ``dt`` in closed form."""
        ...


class Values(NamedTuple):
    """Parameters that differ between patients: single numbers ``[name, batch]``, and others ``[batch, ...]``."""

    numbers: Tensor
    others: tuple[Tensor, ...] = ()


class Kernels:
    """The functions of one mechanism.

    Args:
        mechanism: gives the parameters that all patients share.
        names: of the parameters in the `Values`, in their order.
        packed: give the equations packed states ``[batch, state]``, for those that cannot work on columns.
        compiled: trace each function when it is first needed and compile it, for batches of any size.
    """

    def __init__(self, mechanism: Mechanism, names: Sequence[str], packed: bool, compiled: bool) -> None:
        self.mechanism, self.names, self.packed = mechanism, tuple(names), packed
        make: Any = _Compiled if compiled else lambda function: function
        self.step: Callable[..., Any] = make(self._step)
        self.dense: Callable[..., Any] = make(self._dense)
        self.jump: Callable[..., Any] = make(self._jump)
        self.finish: Callable[..., Any] = make(self._finish)

    def model_of(self, values: Values) -> Any:
        """The mechanism of these patients."""
        tensors = (*values.numbers.unbind(0), *values.others)
        return replace(self.mechanism, **dict(zip(self.names, tensors, strict=True)))  # type: ignore[type-var]

    def _step(
        self,
        t: Tensor,
        length: Tensor,
        state: Tensor,
        control: Tensor,
        done: Tensor,
        goal: Tensor,
        status: Tensor,
        values: Values,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """In a row that begins at ``t``: a step of ``length`` for all who are well and have done less than ``goal``."""
        now, active = self._open(state), (done < goal) & (status == OK)
        end = self._whole_step(t + done * length, length, now, control, values).end
        found = self._close(_where(active, end, now))
        return found, torch.where(active, done + 1, done), self.judge(found, status)

    def _dense(
        self, t: Tensor, length: Tensor, state: Tensor, control: Tensor, done: Tensor, share: Tensor, values: Values
    ) -> Tensor:
        """State at the ``share`` ``[batch]`` of the next step; the state itself where the share is 0."""
        now = self._open(state)
        step = self._whole_step(t + done * length, length, now, control, values)
        return self._close(_where(share > 0, dense_state(RK4, step, length, share), now))

    def _jump(self, state: Tensor, amount: Tensor, values: Values) -> Tensor:
        return self._close(self.model_of(values).jump(self._open(state), self._open(amount)))

    def _finish(
        self, end: Tensor, asked: Tensor, before: Tensor, at_end: Tensor, peek: Tensor, status: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """After a row: the state to go on with, the answer, and the status. All are numbers of one kind, masks too: so
        they fit into one vectorised loop."""
        asked = torch.where(at_end > 0, end, asked)
        # An answer between two steps may pass a bound by the error of interpolation; steps are judged one by one.
        lost = (status == OK) & ~torch.isfinite(asked).all(0)
        status = self.judge(end, torch.where(lost, float(NON_FINITE), status))
        failed = status != OK
        state = torch.where(failed, math.nan, torch.where(peek > 0, before, end))
        return state, torch.where(failed, math.nan, asked), status

    def judge(self, state: Tensor, status: Tensor) -> Tensor:
        """The status ``[batch]`` after looking at a state; a subject's first fault stays."""
        inside = finite = status == status
        for column, item in zip(state.unbind(0), self.mechanism.states, strict=True):
            low, high = item.bounds
            inside = inside & (column >= low - _slack(low, state)) & (column <= high + _slack(high, state))
            finite = finite & torch.isfinite(column)
        fault = torch.where(finite, torch.where(inside, float(OK), float(OUT_OF_BOUNDS)), float(NON_FINITE))
        return torch.where(status == OK, fault.to(status.dtype), status)

    def _whole_step(self, t: Tensor, dt: Tensor, state: Any, control: Tensor, values: Values) -> Step:
        model, held = self.model_of(values), self._open(control)

        def slope(time: Tensor, inner: Any) -> Any:
            found = model.vector_field(time, inner, held)
            return found if self.packed or isinstance(found, Columns) else Columns(found.unbind(-1))

        return runge_kutta_step(RK4, slope, t, dt, state)

    def _open(self, tensor: Tensor) -> Any:
        return tensor.T if self.packed else Columns(tensor.unbind(0))

    def _close(self, state: Any) -> Tensor:
        return torch.stack(state.columns) if isinstance(state, Columns) else state.T


def works_on_columns(
    mechanism: Mechanism, names: Sequence[str], values: Values, state: Tensor, control: Tensor
) -> bool:
    """Do the equations give on columns what they give on a packed state? Found by trying."""
    zero = torch.zeros_like(state[0])
    try:
        mine, theirs = (Kernels(mechanism, names, packed, compiled=False) for packed in (False, True))
        pairs = [
            (
                one.dense(zero, zero + 1e-3, state, control, zero, zero + 0.5, values),
                one.jump(state, 0 * control, values),
            )
            for one in (mine, theirs)
        ]
        return all(torch.allclose(a, b, rtol=1e-4, equal_nan=True) for a, b in zip(*pairs, strict=True))
    except (TypeError, AttributeError, IndexError, ValueError, RuntimeError):
        return False


def _slack(bound: float, state: Tensor) -> float:
    """Rounding allowed at a bound; in single precision a share of it as well."""
    if math.isinf(bound) or state.dtype == torch.float64:
        return BOUND_TOLERANCE
    return 1e-6 * max(1.0, abs(bound))


def _where(mask: Tensor, new: Any, old: Any) -> Any:
    """``new`` for the subjects of the mask ``[batch]``."""
    if isinstance(new, Columns):
        return columnwise(lambda a, b: torch.where(mask, a, b), new, old)
    return torch.where(mask[:, None], new, old)


class _Compiled:
    """A function of tensors whose last axis is the batch, and of `Values`; traced and compiled at its first call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.fast: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self.fast is None:
            self.fast = self._compile(arguments)
        return self.fast(*_flat(arguments))

    def _compile(self, arguments: Sequence[Any]) -> Callable[..., Any]:
        from torch.fx.experimental.proxy_tensor import make_fx

        # Traced first, as plain operations: the compiler then sees neither the simulator nor the columns.
        examples = [_example(item) for item in arguments]
        others = len(examples[-1].others) if isinstance(examples[-1], Values) else None

        def whole(*flat: Tensor) -> Any:
            if others is None:
                return self.function(*flat)
            end = len(flat) - others
            return self.function(*flat[: end - 1], Values(flat[end - 1], flat[end:]))

        graph = make_fx(whole, tracing_mode="symbolic")(*_flat(examples))
        compiled: Callable[..., Any] = torch.compile(graph.forward, dynamic=True)
        return compiled


def _flat(arguments: Sequence[Any]) -> tuple[Tensor, ...]:
    """All tensors, one after the other."""
    *first, last = arguments
    return (*first, last.numbers, *last.others) if isinstance(last, Values) else (*first, last)


def _example(argument: Any) -> Any:
    if isinstance(argument, Values):
        others = tuple(item.new_ones((EXAMPLE_BATCH, *item.shape[1:])) for item in argument.others)
        return Values(_example(argument.numbers), others)
    return argument.new_ones((*argument.shape[:-1], EXAMPLE_BATCH))


_KEPT: dict[Any, Kernels] = {}


def compiled_kernels(mechanism: Mechanism, names: Sequence[str], values: Values) -> Kernels:
    """Kernels that are compiled once per process for all mechanisms of a class that share the same constants."""
    shapes = tuple(item.shape[1:] for item in values.others)
    kind = str(values.numbers.dtype), str(values.numbers.device)
    key = (type(mechanism), _constants(mechanism, names), tuple(names), shapes, kind)
    if key not in _KEPT:
        _KEPT[key] = Kernels(mechanism, names, packed=False, compiled=True)
    return _KEPT[key]


def _constants(mechanism: Any, names: Sequence[str]) -> tuple[Any, ...]:
    shared: Mapping[str, Any] = {
        item.name: np.asarray(getattr(mechanism, item.name)) for item in fields(mechanism) if item.name not in names
    }
    return tuple((name, value.shape, value.tobytes()) for name, value in shared.items())
