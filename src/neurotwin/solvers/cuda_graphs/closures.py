"""The tensors that a function holds besides its arguments: found, and exchanged for others.

A recorded graph reads fixed memory. Of what a loop's body closes over, weights of modules lie where they lie; every
other tensor is a number of this call, which must be copied to where the graph reads it.
"""

import copy
import functools
import types
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from neurotwin.solvers.solver import Solver

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, type, types.BuiltinFunctionType)


class Parts:
    """What a value holds, to any depth.

    Args:
        value: a function, a method, an object or a container of such.
        known: tensors that have their places already.

    Attributes:
        tensors: that are no weights, in the order found, after those known.
        weights: parameters of modules and other parameters.
        modules: found; their buffers are read where they lie.
        form: equal for two values exactly if they do the same with what stands in the same places.
        held: objects of which ``form`` tells the identity, which lasts as long as they do.
    """

    def __init__(self, value: Any, known: list[Tensor]) -> None:
        self.tensors: list[Tensor] = list(known)
        self.weights: list[nn.Parameter] = []
        self.modules: list[nn.Module] = []
        self.held: list[Any] = []
        self._places = {id(one): place for place, one in reversed(list(enumerate(known)))}
        self._weights: set[int] = set()
        self._seen: dict[int, int] = {}
        self.value, self.form = value, self._form(value)

    def rebuilt(self, tensors: list[Tensor], weights: list[nn.Parameter]) -> Any:
        """The value with other ``tensors`` in the places of those found, and other ``weights`` outside modules."""
        pairs = zip([*self.tensors, *self.weights], [*tensors, *weights], strict=True)
        return _Rebuilding({id(old): new for old, new in pairs}).of(self.value)

    @contextmanager
    def exchanged(self, weights: list[nn.Parameter]) -> Iterator[None]:
        """While it lasts, the modules have other ``weights``."""
        others = {id(old): new for old, new in zip(self.weights, weights, strict=True)}
        # A module may be found by itself and as a part of another.
        parts = {id(module): module for one in self.modules for module in one.modules()}
        places = [module._parameters for module in parts.values()]
        before = [dict(place) for place in places]
        try:
            for place in places:
                place.update({name: others[id(one)] for name, one in place.items() if one is not None})
            yield
        finally:
            for place, kept in zip(places, before, strict=True):
                place.update(kept)

    def _form(self, value: Any) -> Hashable:
        if isinstance(value, nn.Parameter):
            self._weigh(value)
            return "weight", value.data_ptr()
        if isinstance(value, Tensor):
            if not value.numel() and id(value) not in self._places:
                return "nothing", value.dtype, value.ndim  # its shape may tell how many rows there are, for no one
            if id(value) not in self._places:
                self._places[id(value)] = len(self.tensors)
                self.tensors.append(value)
            return "tensor", self._places[id(value)]
        if isinstance(value, PLAIN):
            return type(value), value
        if id(value) in self._seen:
            return "again", self._seen[id(value)]
        self._seen[id(value)] = len(self._seen)
        if isinstance(value, nn.Module):
            return self._module(value)
        if isinstance(value, (Solver, types.ModuleType)):
            return self._same(value)
        inside = _inside(value)
        return self._same(value) if inside is None else (_kind(value), *(self._form(one) for one in inside))

    def _module(self, module: nn.Module) -> Hashable:
        self.modules.append(module)
        for one in module.parameters():
            self._weigh(one)
        where = tuple(one.data_ptr() for one in (*module.parameters(), *module.buffers()))
        return self._same(module), where, tuple(one.training for one in module.modules())

    def _weigh(self, weight: nn.Parameter) -> None:
        if id(weight) not in self._weights:
            self._weights.add(id(weight))
            self.weights.append(weight)

    def _same(self, value: Any) -> Hashable:
        self.held.append(value)
        return "same", id(value)


class _Rebuilding:
    """Copies what holds a tensor that is exchanged, and leaves the rest as it is."""

    def __init__(self, others: dict[int, Tensor]) -> None:
        self.others = others
        self.done: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.others.get(id(value), value)
        if isinstance(value, (*PLAIN, nn.Module, Solver, types.ModuleType)):
            return value
        if id(value) not in self.done:
            self.done[id(value)] = value  # what holds itself is left as it is
            inside = _inside(value)
            made = [] if inside is None else [self.of(one) for one in inside]
            if inside is not None and any(new is not old for new, old in zip(made, inside, strict=True)):
                self.done[id(value)] = _made(value, made)
        return self.done[id(value)]


def _inside(value: Any) -> list[Any] | None:
    """What a value is made of; None where nothing is known of it."""
    if isinstance(value, types.MethodType):
        return [value.__self__]
    if isinstance(value, types.FunctionType):
        return [*(cell.cell_contents for cell in value.__closure__ or ()), value.__defaults__, value.__kwdefaults__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, (tuple, list)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    return list(vars(value).values()) if hasattr(value, "__dict__") else None


def _kind(value: Any) -> Hashable:
    """What tells values of the same contents apart."""
    if isinstance(value, types.MethodType):
        return "method", value.__func__.__code__ if hasattr(value.__func__, "__code__") else id(value.__func__)
    if isinstance(value, types.FunctionType):
        return "function", value.__code__, value.__module__
    if isinstance(value, dict):
        return "dict", tuple(value)
    names = tuple(vars(value)) if hasattr(value, "__dict__") and not isinstance(value, (tuple, list)) else ()
    return type(value), names


def _made(value: Any, inside: list[Any]) -> Any:
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, inside[0])
    if isinstance(value, types.FunctionType):
        *cells, defaults, more = inside
        made = types.FunctionType(
            value.__code__, value.__globals__, value.__name__, defaults, tuple(types.CellType(one) for one in cells)
        )
        made.__kwdefaults__ = more
        return made
    if isinstance(value, functools.partial):
        return functools.partial(inside[0], *inside[1], **inside[2])
    if isinstance(value, tuple):
        return type(value)(*inside) if hasattr(value, "_fields") else type(value)(inside)
    if isinstance(value, list):
        return inside
    if isinstance(value, dict):
        return dict(zip(value, inside, strict=True))
    made = copy.copy(value)
    vars(made).update(zip(vars(value), inside, strict=True))  # past a frozen dataclass, which forbids no copy
    return made
