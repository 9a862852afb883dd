"""The loop over rows, recorded once for each shape and replayed."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neurotwin.errors import SolverError
from neurotwin.solvers.cuda_graphs.blocking import Blocking
from neurotwin.solvers.cuda_graphs.capture import CudaTape, gradients_of
from neurotwin.solvers.cuda_graphs.closures import Parts
from neurotwin.solvers.rows import Body, Rows, over_rows

MOST_TAPES = 16
"""Recordings kept, each with the memory of a whole solve; the one that was not used for longest goes first."""


class Tape(Protocol):
    """See `neurotwin.solvers.cuda_graphs.capture.CudaTape`."""

    outputs: list[Tensor]
    seeds: list[Tensor | None]
    gradients: list[Tensor | None]

    def forward(self) -> None:
        """Write the outputs."""

    def backward(self) -> None:
        """Write the gradients."""


class Graphs:
    """Does what `neurotwin.solvers.over_rows` does, from recordings.

    A recording holds for a body of the same code on tensors of the same shapes; numbers of rows are rounded up with
    rows of nothing (at most an eighth more), so that few are made. Weights are read where they lie: an optimizer's
    step needs no new one. A solve that still waits for its way back keeps its recording; another solve of the same
    shape then has one of its own.

    Args:
        record: makes a tape; another one than `CudaTape` for tests.

    Attributes:
        active: while a loop runs or is recorded.
    """

    def __init__(self, record: Callable[..., Tape] = CudaTape) -> None:
        self.record = record
        self.tapes: OrderedDict[Hashable, list[Recording]] = OrderedDict()
        self.active = False

    def __call__(
        self, body: Body, carry: tuple[Tensor, ...], rows: Rows, *more: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """As `neurotwin.solvers.over_rows`.

        Raises:
            SolverError: an operation of the body that no graph can hold, named with its line.
        """
        self.active = True
        try:
            return self._over(body, carry, rows, more)
        finally:
            self.active = False

    def _over(
        self, body: Body, carry: tuple[Tensor, ...], rows: Rows, more: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        count = rows.dt.shape[1]
        parts = Parts(body, [*carry, *rows, *more])
        n_carry, n_known = len(carry), len(carry) + len(rows) + len(more)
        wide = rounded(count)
        given = [
            *carry,
            *(_longer(one, wide, like_last=name == "control") for name, one in zip(rows._fields, rows, strict=True)),
            *(_longer(one, wide, like_last=True) for one in more),
            *parts.tensors[n_known:],
        ]
        wants = torch.is_grad_enabled() and any(one.requires_grad for one in (*given, *parts.weights))
        key = _key(parts, given, n_carry, wants)
        recording = self._free(key)
        if recording is None:
            recording = Recording(self.record, parts, given, n_carry, n_known, wants)
            self._keep(key, recording)
        found = recording(given, parts.weights)
        asked = found[recording.n_last :]
        return tuple(found[: recording.n_last]), tuple(one[:, :count] for one in asked)

    def __deepcopy__(self, memo: Any) -> "Graphs":
        return Graphs(self.record)

    def __reduce__(self) -> Any:
        return Graphs, ()  # a recording belongs to this process

    def _free(self, key: Hashable) -> "Recording | None":
        if key not in self.tapes:
            return None
        self.tapes.move_to_end(key)
        return next((one for one in self.tapes[key] if not one.busy), None)

    def _keep(self, key: Hashable, recording: "Recording") -> None:
        self.tapes.setdefault(key, []).append(recording)
        self.tapes.move_to_end(key)
        while sum(map(len, self.tapes.values())) > MOST_TAPES and len(self.tapes) > 1:
            self.tapes.popitem(last=False)  # one in use lives on with the solve that uses it


class Recording:
    """A body's loop on tensors that stay where they are.

    Args:
        record: makes the tape.
        parts: of the body.
        given: the tensors of one call: carry, rows, what goes along, and what the body closes over.
        n_carry, n_known: how many are the carry, and how many are arguments of the loop.
        wants: whether gradients are wanted.
    """

    def __init__(
        self, record: Callable[..., Tape], parts: Parts, given: list[Tensor], n_carry: int, n_known: int, wants: bool
    ) -> None:
        self.busy, self._held = False, (parts.held, parts.weights)
        with torch.inference_mode(False), torch.set_grad_enabled(wants):
            self.inputs = [one.detach().clone().requires_grad_(wants and one.requires_grad) for one in given]
            # Aliases: gradients by the weights themselves would meet the hooks, and the streams, of other graphs.
            aliases = [nn.Parameter(one.detach(), requires_grad=wants and one.requires_grad) for one in parts.weights]
            # Where the body holds an argument too, it reads the same memory.
            body = parts.rebuilt(self.inputs, aliases)
            carry, rest = tuple(self.inputs[:n_carry]), self.inputs[n_carry:n_known]
            width = len(Rows._fields)

            def run() -> tuple[Tensor, ...]:
                # Casts of mixed precision are made once per run, in the run itself.
                torch.clear_autocast_cache()
                with parts.exchanged(aliases):
                    last, asked = over_rows(body, carry, Rows(*rest[:width]), *rest[width:])
                torch.clear_autocast_cache()
                self.n_last = len(last)
                return (*last, *asked)

            self.wanted = [one for one in (*self.inputs, *aliases) if one.requires_grad]
            device = given[0].device
            devices = [device] if device.type == "cuda" else []
            # What trying draws at random is put back.
            with torch.random.fork_rng(devices):
                _try(run, self.wanted, [one for one in parts.weights if one.requires_grad] if wants else [])
                self.tape = record(run, self.wanted, device)
            torch.clear_autocast_cache()  # of what going back computed again

    def __call__(self, given: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The last carry and the outputs."""
        if not self.wanted:
            return self.forward(given)
        chosen = [one for one in weights if one.requires_grad]
        found: tuple[Tensor, ...] = _Replay.apply(_Lease(self), len(given), *given, *chosen)  # type: ignore[no-untyped-call]
        return found

    def forward(self, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Copy in, replay, copy out: the next replay writes over the tape's own."""
        with torch.no_grad():
            torch._foreach_copy_(self.inputs, list(given))
            self.tape.forward()
            return tuple(one.clone() for one in self.tape.outputs)

    def backward(self, seeds: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients by what was ``wanted``."""
        for mine, theirs in zip(self.tape.seeds, seeds, strict=True):
            if mine is not None:
                mine.zero_() if theirs is None else mine.copy_(theirs)
        self.tape.backward()
        # An optimizer may keep a gradient it is given, so it must be no one else's.
        return [None if one is None else one.clone() for one in self.tape.gradients]


class _Lease:
    """The use of a recording by one solve, until it has gone back or is forgotten."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.ended = recording, False
        recording.busy = True

    def end(self) -> None:
        if not self.ended:
            self.ended, self.recording.busy = True, False

    def __del__(self) -> None:
        self.end()


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, lease: _Lease, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = lease.recording.forward(tensors[:count])
        ctx.lease, ctx.takes = lease, [one.requires_grad for one in tensors]
        ctx.mark_non_differentiable(
            *(one for one, seed in zip(found, lease.recording.tape.seeds, strict=True) if seed is None)
        )
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple[Tensor | None, ...]:
        if ctx.lease.ended:
            raise SolverError(
                "a recorded solve goes back only once",
                where="solver.backend cuda_graph",
                remedy="call backward without retain_graph on one sum, or use solver.backend=torch",
            )
        gradients = iter(ctx.lease.recording.backward(seeds))
        ctx.lease.end()
        return (None, None, *(next(gradients) if takes else None for takes in ctx.takes))


def rounded(count: int) -> int:
    """A number of rows that many share: at most an eighth more."""
    step = max(1, 1 << max(0, count.bit_length() - 4))
    return -(-count // step) * step


def _longer(tensor: Tensor, rows: int, *, like_last: bool) -> Tensor:
    """With rows of nothing after the last. What is no event goes on as it was: no field need bear other numbers."""
    lacking = rows - tensor.shape[1]
    if not lacking:
        return tensor
    last = tensor[:, -1:].expand(-1, lacking, *tensor.shape[2:])
    nothing = like_last and tensor.dtype != torch.bool
    return torch.cat([tensor, last if nothing else torch.zeros_like(last)], dim=1)


def _key(parts: Parts, given: list[Tensor], n_carry: int, wants: bool) -> Hashable:
    kind = given[0].device.type
    tensors = tuple((one.shape, one.dtype, one.device, wants and one.requires_grad) for one in given)
    weights = tuple(wants and one.requires_grad for one in parts.weights)
    cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return parts.form, tensors, weights, n_carry, wants, cast, torch.get_float32_matmul_precision()


def _try(run: Callable[[], tuple[Tensor, ...]], wanted: list[Tensor], weights: list[nn.Parameter]) -> None:
    """Run once and look for what a graph cannot hold; ``weights`` are those that the run should not have met."""
    with Blocking() as blocking:
        found = run()
        if wanted:
            seeds = [torch.zeros_like(one) if one.requires_grad else None for one in found]
            gradients = gradients_of(found, seeds, [*wanted, *weights])
    if blocking.found:
        told = sorted({f"{one.operation} at {one.where}" for one in blocking.found})
        raise SolverError(
            f"the loop cannot be captured in a CUDA graph: the host waits for {'; '.join(told)}",
            where="solver.backend cuda_graph",
            expected="a vector field, jumps and updates of operations on the device alone",
            remedy="keep its decisions in tensors (torch.where), or use solver.backend=torch",
        )
    if wanted and any(one is not None for one in gradients[len(wanted) :]):
        raise SolverError(
            "the loop cannot be captured in a CUDA graph: a module keeps its weights in a second place",
            where="solver.backend cuda_graph",
            remedy="read weights from the module's parameters, or use solver.backend=torch",
        )
