"""What is compiled by numba, where it is installed; without it the same functions are plain Python, far too slow to be
measured but good enough to be tested."""

import math
from collections.abc import Callable
from typing import Any

from scipy.special import ndtri as plain_ndtri

try:
    import numba
except ImportError:
    numba = None

HAS_NUMBA = numba is not None and not numba.config.DISABLE_JIT


def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled; itself without numba."""
    return numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(function) if HAS_NUMBA else function


def _address_of_ndtri() -> Any:
    import ctypes

    from numba.extending import get_cython_function_address

    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int)
    return kind(get_cython_function_address("scipy.special.cython_special", "ndtri"))


if HAS_NUMBA:
    _ndtri = _address_of_ndtri()

    @jitted
    def ndtri(p: float) -> float:
        """Quantile function of the standard normal distribution: scipy's, called from compiled code."""
        return _ndtri(p, 0)

else:

    def ndtri(p: float) -> float:
        """Quantile function of the standard normal distribution."""
        return float(plain_ndtri(p))


@jitted
def upper_tail(z: float) -> float:
    """P(Z > z), Z standard normal."""
    return 0.5 * math.erfc(z * math.sqrt(0.5))


@jitted
def surprise_of_tail(u: float) -> float:
    """Residual r with r^2 / 2 = -ln P(Z < u): what a value known to lie below a limit adds to least squares."""
    if u < -25:  # the tail's asymptote, where the probability itself underflows
        return math.sqrt(u * u + math.log(2 * math.pi * u * u))
    return math.sqrt(max(-2 * math.log1p(-upper_tail(u)), 0.0)) if u > 0 else math.sqrt(-2 * math.log(upper_tail(-u)))
