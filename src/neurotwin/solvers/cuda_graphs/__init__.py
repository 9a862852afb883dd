"""A loop over rows as one CUDA graph: recorded once per shape, then replayed without a word from the host."""

from neurotwin.solvers.cuda_graphs.blocking import Blocking
from neurotwin.solvers.cuda_graphs.loops import Graphs

__all__ = ["Blocking", "Graphs"]
