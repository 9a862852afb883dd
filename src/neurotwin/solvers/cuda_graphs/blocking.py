"""What makes the host wait for a device, found while a function runs: a graph can hold none of it."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"),
    *("unique_consecutive", "bincount", "_linalg_check_errors", "repeat_interleave"),
}
"""Operators of which the host must know numbers."""
COPYING = {"_to_copy", "copy_", "_copy_from", "lift_fresh"}
"""Operators that may move numbers between host and device."""
READING = {Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__}
"""Methods that read memory past all operators where it is the host's own."""
HERE, TORCH = str(Path(__file__)), str(Path(torch.__file__).parent)


class Blocked(NamedTuple):
    """An operation, and the line of source that asked for it."""

    operation: str
    where: str


class Blocking(TorchDispatchMode):
    """Collects what makes the host wait while it is active; on a CPU too, where nothing waits.

    Attributes:
        found: in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Blocked] = []
        self._methods = _Methods(self.found)

    def __enter__(self) -> "Blocking":
        self._methods.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        self._methods.__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in ASKING or (name in COPYING and _crosses(name, args, kwargs)) or _chooses(name, args):
            self.found.append(Blocked(str(func), _line()))
        return func(*args, **kwargs)


class _Methods(TorchFunctionMode):
    """Catches what no operator tells of."""

    def __init__(self, found: list[Blocked]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        to_host = func is Tensor.to and any(str(one) == "cpu" for one in (*args[1:], *kwargs.values()))
        if func in READING or to_host:
            self.found.append(Blocked(f"Tensor.{func.__name__}", _line()))
        return func(*args, **kwargs)


def _crosses(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Does a copy go from one device to another? `torch.tensor` makes its numbers on the host, wherever they go."""
    if name == "lift_fresh":
        return bool(args[0].device.type != "cpu" or args[0].numel() > 1)
    tensors = [one for one in args if isinstance(one, Tensor)]
    goal = kwargs.get("device")
    kinds = {one.device.type for one in tensors} | ({torch.device(goal).type} if goal is not None else set())
    return len(kinds) > 1


def _chooses(name: str, args: Any) -> bool:
    """Does an index pick elements by a mask? Their number is then the size of the result."""
    if name not in {"index", "index_put", "index_put_"}:
        return False
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])


def _line() -> str:
    """The innermost line of source outside torch and outside this file."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path != HERE and not path.startswith(TORCH):
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "the backward pass"
