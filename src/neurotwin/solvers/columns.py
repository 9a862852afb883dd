"""A batch of states as separate columns, for equations that were written for one packed array.

In a packed array ``[batch, state]`` a state's values lie apart, so each operation on one state strides through memory,
and the stack at the end of a vector field copies. Given columns instead, the same equations are operations on whole
vectors only, and a compiler fuses a step into one loop over the batch.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat.torch
import torch
from torch import Tensor

ELEMENTWISE = frozenset(
    "abs atan clip cos exp expm1 isfinite log log1p maximum minimum negative ones_like pow sign sin sqrt square tan "
    "tanh where zeros_like".split()
)
"""Functions that may be given columns; all others of the array namespace see tensors only."""


class Columns:
    """Looks like an array ``[batch, state]``: arithmetic, ``[..., i]``, ``[..., a:b]``, ``unstack`` and ``stack`` along
    the last axis, and what is elementwise. Anything else raises TypeError.

    Args:
        columns: one tensor ``[batch]`` per state.
    """

    __slots__ = ("columns",)
    ndim = 2

    def __init__(self, columns: Sequence[Tensor]) -> None:
        self.columns = tuple(columns)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return NAMESPACE

    @property
    def shape(self) -> tuple[int, int]:
        """As of the packed array."""
        return self.columns[0].shape[0], len(self.columns)

    @property
    def dtype(self) -> torch.dtype:
        """Of every column."""
        return self.columns[0].dtype

    @property
    def device(self) -> torch.device:
        """Of every column."""
        return self.columns[0].device

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and key[0] in (Ellipsis, slice(None)):
            if isinstance(key[1], slice):
                return Columns(self.columns[key[1]])
            if isinstance(key[1], int):
                return self.columns[key[1]]
        raise TypeError(f"columns cannot be indexed by {key}")

    def __iter__(self) -> Any:
        raise TypeError("columns have no rows to go through")

    def __add__(self, other: Any) -> "Columns":
        return columnwise(operator.add, self, other)

    def __radd__(self, other: Any) -> "Columns":
        return columnwise(operator.add, other, self)

    def __sub__(self, other: Any) -> "Columns":
        return columnwise(operator.sub, self, other)

    def __rsub__(self, other: Any) -> "Columns":
        return columnwise(operator.sub, other, self)

    def __mul__(self, other: Any) -> "Columns":
        return columnwise(operator.mul, self, other)

    def __rmul__(self, other: Any) -> "Columns":
        return columnwise(operator.mul, other, self)

    def __truediv__(self, other: Any) -> "Columns":
        return columnwise(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> "Columns":
        return columnwise(operator.truediv, other, self)

    def __pow__(self, other: Any) -> "Columns":
        return columnwise(operator.pow, self, other)

    def __neg__(self) -> "Columns":
        return columnwise(operator.neg, self)


def columnwise(function: Callable[..., Tensor], *items: Any) -> Columns:
    """Apply an elementwise function column by column; what is no `Columns` is broadcast as against ``[batch, n]``."""
    n = next(len(item.columns) for item in items if isinstance(item, Columns))
    return Columns([function(*parts) for parts in zip(*(_split(item, n) for item in items), strict=True)])


def _split(item: Any, n: int) -> Sequence[Any]:
    """``n`` columns of an operand."""
    if isinstance(item, Columns):
        return item.columns
    if isinstance(item, (int, float)) or (isinstance(item, Tensor) and item.ndim == 0):
        return [item] * n
    if isinstance(item, Tensor) and item.ndim == 2 and item.shape[1] in (1, n):
        return [item[:, 0]] * n if item.shape[1] == 1 else item.unbind(1)
    raise TypeError(f"columns do not go together with {type(item).__name__}")


class _Namespace:
    """torch as an array namespace, where a stack of columns along the last axis makes `Columns`."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(array_api_compat.torch, name)
        if name not in ELEMENTWISE:
            return function

        def elementwise(*items: Any) -> Any:
            return (
                columnwise(function, *items) if any(isinstance(item, Columns) for item in items) else function(*items)
            )

        return elementwise

    def stack(self, items: Sequence[Any], *, axis: int = 0) -> Any:
        """Tensors ``[batch]`` along the last axis: columns. Anything else: as torch does."""
        if axis == -1 and all(item.ndim == 1 for item in items):
            return Columns(torch.broadcast_tensors(*items))
        return torch.stack(tuple(items), dim=axis)

    def unstack(self, item: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
        """The columns, if these are columns."""
        if isinstance(item, Columns) and axis in (-1, 1):
            return item.columns
        return tuple(array_api_compat.torch.unstack(item, axis=axis))


NAMESPACE = _Namespace()
