"""Timeline rows as tensors, and the one loop over them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurotwin.timeline import Timeline


class Rows(NamedTuple):
    """Time-dependent part of a Timeline: each field ``[batch, row, ...]``, or ``[batch, ...]`` for a single row.

    See `neurotwin.timeline.Timeline` for the meaning of the fields.
    """

    dt: Tensor
    control: Tensor
    jump: Tensor
    value: Tensor
    mask: Tensor
    censor: Tensor
    query_at: Tensor
    peek: Tensor

    @classmethod
    def of(
        cls, timeline: Timeline, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> "Rows":
        """The rows of a numpy timeline."""
        return cls(
            *(torch.as_tensor(np.asarray(getattr(timeline, name)), dtype=dtype, device=device) for name in cls._fields)
        )

    @property
    def active(self) -> Tensor:
        """``[..., 1]`` does a row do anything at all? Padding does not."""
        return ((self.dt > 0) | self.doses | (self.mask > 0).any(-1)).unsqueeze(-1)

    @property
    def kept(self) -> Tensor:
        """``[..., 1]`` is a row's end carried on? That of padding and of peeks is not."""
        return self.active & (self.peek == 0).unsqueeze(-1)

    @property
    def doses(self) -> Tensor:
        """``[...]`` is anything given at a row's start?"""
        # ONNX Runtime reduces an axis of no channels to nothing at all.
        return (self.jump != 0).any(-1) if self.jump.shape[-1] else torch.zeros_like(self.dt, dtype=torch.bool)


def clock_of(rows: Rows, start: Tensor) -> tuple[Tensor, Tensor]:
    """Clocks ``[batch]`` after all rows and ``[batch, row]`` at the beginning of each, from ``start`` ``[batch]``."""
    passes = torch.where(rows.peek == 0, rows.dt, 0.0)
    # One after the other, as a clock runs: what follows, or how much of it, changes no earlier time.
    after = torch.cat([start.unsqueeze(1), passes], dim=1).cumsum(1)
    begins, _ = after.split([passes.shape[1], 1], dim=1)
    return after[:, -1], begins.contiguous()  # else an export would take the number of rows, in its stride, as fixed


Body = Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]


def over_rows(
    body: Body, carry: tuple[Tensor, ...], rows: Rows, *more: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Apply ``body(carry, row, *more) -> (carry, outputs)`` to the rows in order; ``more`` ``[batch, row, ...]`` goes
    along with them.

    Returns the last carry and the outputs stacked along axis 1. In eager mode this is a Python loop, which autograd
    and ``torch.compile`` of the body like best; while exporting it becomes one ``scan``, so that the number of rows
    stays dynamic in the graph.
    """
    if torch.compiler.is_exporting():
        return _scan(body, carry, rows, more)
    outputs, width = [], len(rows)
    for row in zip(*(field.unbind(1) for field in (*rows, *more)), strict=True):
        carry, output = body(carry, Rows(*row[:width]), *row[width:])
        outputs.append(output)
    return carry, tuple(torch.stack(column, dim=1) for column in zip(*outputs, strict=True))


def _scan(
    body: Body, carry: tuple[Tensor, ...], rows: Rows, more: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    from torch._higher_order_ops.scan import scan

    width = len(rows)

    def step(state: tuple[Tensor, ...], row: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        after, output = body(state, Rows(*row[:width]), *row[width:])
        # A scan body must not return one tensor twice, nor an input as it came.
        return tuple(item.clone() for item in after), tuple(item.clone() for item in output)

    # The first carry must be laid out in memory as later ones are, which a slice of a packed state is not.
    first = tuple(item.clone(memory_format=torch.contiguous_format) for item in carry)
    after, outputs = scan(step, first, tuple(field.transpose(0, 1) for field in (*rows, *more)), dim=0)
    return after, tuple(item.transpose(0, 1) for item in outputs)
