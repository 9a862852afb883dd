"""A function recorded in CUDA graphs: one for it, one for its gradient."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from neurotwin.errors import SolverError

WARM_UPS = 2
"""Runs before a recording, for what libraries set up when they are first used."""
Run = Callable[[], tuple[Tensor, ...]]
"""Reads tensors that stay where they are, and gives new ones."""


class CudaTape:
    """A recorded run of a function on tensors that stay where they are.

    Its memory is its own: the numbers between a replay forward and the next one backward are kept there, so a tape
    serves one solve at a time. What follows holds for anyone who changes it:

    - Warming up, forward and backward use one side stream, which autograd remembers for the way back; memory that
      both graphs share is only shared between captures on one stream.
    - ``thread_local``: other threads (workers that pin memory, the watchdog of a process group) go on meanwhile.
    - The cache of autocast would carry casts of weights from one run to the next, where a replay does not renew them:
      the function empties it.
    - Dropout: torch gives the default generator's offset to a replay, so each draws anew.

    Args:
        run: the function.
        wanted: what to differentiate by; nothing for no gradient.

    Attributes:
        outputs: written by `forward`.
        seeds: per output, the gradient that `backward` reads; None for an output without one.
        gradients: per ``wanted``, written by `backward`; None where an output does not depend on it.
    """

    def __init__(self, run: Run, wanted: Sequence[Tensor], device: torch.device) -> None:
        self._device, stream = device, torch.cuda.Stream(device)
        self.seeds: list[Tensor | None] = []
        self.gradients: list[Tensor | None] = [None] * len(wanted)
        with torch.cuda.device(device), _told():
            _warmed_up(run, wanted, stream, device)
            self._ahead = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._ahead, stream=stream, capture_error_mode="thread_local"):
                found = run()
            if wanted:
                self._back = torch.cuda.CUDAGraph()
                self.seeds = [torch.zeros_like(one) if one.requires_grad else None for one in found]
                pool = self._ahead.pool()
                with torch.cuda.graph(self._back, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    gradients = gradients_of(found, self.seeds, wanted)
                self.gradients = [None if one is None else one.detach() for one in gradients]
        # Without their history: autograd's own graph of the recording is done with.
        self.outputs = [one.detach() for one in found]

    def forward(self) -> None:
        """Replay."""
        with torch.cuda.device(self._device):
            self._ahead.replay()

    def backward(self) -> None:
        """Replay the gradient of the last `forward`."""
        with torch.cuda.device(self._device):
            self._back.replay()


def gradients_of(
    outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], wanted: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Of the outputs that have a seed."""
    pairs = [(one, seed) for one, seed in zip(outputs, seeds, strict=True) if seed is not None]
    if not pairs:
        return (None,) * len(wanted)
    chosen, given = zip(*pairs, strict=True)
    return torch.autograd.grad(chosen, list(wanted), given, allow_unused=True)


def _warmed_up(run: Run, wanted: Sequence[Tensor], stream: torch.cuda.Stream, device: torch.device) -> None:
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            found = run()
            if wanted:
                gradients_of(found, [torch.zeros_like(one) if one.requires_grad else None for one in found], wanted)
    torch.cuda.current_stream(device).wait_stream(stream)


@contextmanager
def _told() -> Iterator[None]:
    """A failed capture as an error of this package; a lack of memory as what it is."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise SolverError(
            f"the loop cannot be captured in a CUDA graph: {str(error).strip().splitlines()[0]}",
            where="solver.backend cuda_graph",
            remedy="solver.backend=torch solves it",
        ) from error
