"""The benchmarks stand outside the package: their modules are found from the top of the repository."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def small_sets():
    """Data sets of a few patients, gamma 4."""
    from benchmarks.cancer.sets import draw_sets

    return draw_sets(4.0, 3, (60, 20, 8))
