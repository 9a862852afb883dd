"""A tape for the CPU: it computes again where a CUDA graph would be replayed, on the same fixed memory."""

import torch

from neurotwin.solvers.cuda_graphs.capture import gradients_of


class EagerTape:
    """As `neurotwin.solvers.cuda_graphs.capture.CudaTape`; ``made`` are all tapes so far."""

    made = []

    def __init__(self, run, wanted, device):
        self.run, self.wanted = run, wanted
        found = run()
        self.outputs = [one.detach().clone() for one in found]
        self.seeds = [torch.zeros_like(one) if one.requires_grad else None for one in found] if wanted else []
        gradients = gradients_of(found, self.seeds, wanted) if wanted else []
        self.gradients = [None if one is None else one.clone() for one in gradients]
        EagerTape.made.append(self)

    def forward(self):
        with torch.inference_mode(False), torch.set_grad_enabled(bool(self.wanted)):
            self.found = self.run()
        for mine, one in zip(self.outputs, self.found, strict=True):
            mine.copy_(one.detach())

    def backward(self):
        for mine, one in zip(self.gradients, gradients_of(self.found, self.seeds, self.wanted), strict=True):
            if mine is not None:
                mine.copy_(one)
        del self.found  # a recording's intermediate numbers do for one way back
