"""Compiles the kernels for a GPU of compute capability 9.0 that need not be there, by the calls that would launch them.

Run by test_triton_solve.py in a process of its own: it takes Triton's driver away.
"""

import itertools
from types import SimpleNamespace

import torch
import triton
from mlp_cases import case, field_of, gradients
from triton.backends.compiler import GPUTarget

from neurotwin.solvers import Midpoint, Rk4
from neurotwin.solvers.triton_kernels import solve, triton_solve
from neurotwin.solvers.whole import Whole

SHARED = 227 * 1024
"""Bytes that a program may share on an H100 or H200."""
FEW_BYTES = 1024
"""Of a thread's stack: more would be numbers that do not fit its registers."""


class NoDriver:
    """Enough of a driver for Triton to compile."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")


def compiled(kernel, made):
    """The kernel with launches that only compile; a direction that took other arguments would fail here."""
    run = kernel.run

    def only_compile(*args, warmup, **options):
        made.append(run(*args, warmup=True, **options))

    kernel.run = only_compile


if __name__ == "__main__":
    triton.runtime.driver.set_active(NoDriver())
    made = []
    for kernel in (solve.forward_kernel, solve.backward_kernel):
        compiled(kernel, made)
    cases = [
        (Rk4, {"layers": 2, "hidden": 64, "moved": 8}, 9),
        (Rk4, {"layers": 3, "hidden": 33, "moved": 5, "rest": 4}, 1),
        (Midpoint, {"layers": 1, "hidden": 128, "moved": 16, "control": 0, "static": 0}, 3),
    ]
    for method, options, rows in cases:
        field, given = field_of(**options), case(**{**options, "rows": rows, "batch": 20})
        tableau = method.tableau
        whole = Whole(triton_solve(tableau, 1.0), field, tableau.c, given.rows, given.start, given.static)
        at_query, final = whole.whole(given.state)
        gradients(field, SimpleNamespace(at_query=at_query, final=final), given)
    assert len(made) == 2 * len(cases), len(made)
    for one, number in zip(made, itertools.count(), strict=False):
        assert one.metadata.shared <= SHARED and one.asm["cubin"], (number, one.metadata.shared)
