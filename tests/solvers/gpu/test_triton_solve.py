"""The Triton kernels: in Triton's interpreter where there is no GPU, and compiled for one without having it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="no package triton (it is there for Linux alone)"
)


def in_own_process(*arguments, **environment):
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    variables["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), variables.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@needs_triton
@pytest.mark.full
def test_in_the_interpreter():
    told = in_own_process(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(HERE / "interpreted.py")),
        TRITON_INTERPRET="1",
    )
    assert " passed" in told and "skipped" not in told


@needs_triton
@pytest.mark.full
def test_it_compiles_for_a_gpu_and_fits(tmp_path):
    """Triton compiles for a device that is not there; what a program shares must fit (227 KiB on an H100 or H200)."""
    in_own_process(str(HERE / "compiled.py"), TRITON_CACHE_DIR=str(tmp_path), TRITON_INTERPRET="0")


def test_nothing_is_imported_unless_it_is_asked_for():
    code = (
        "import sys, neurotwin.models, neurotwin.training; "
        "assert 'neurotwin.solvers.triton_kernels' not in sys.modules; "
        "assert 'neurotwin.solvers.cuda_graphs' not in sys.modules; "
        "assert 'neurotwin.solvers.fused' not in sys.modules; "
        "assert 'torch.utils.cpp_extension' not in sys.modules"
    )
    in_own_process("-c", code)
