"""Linear equations with constant coefficients, x' = A x + b: the closed form, in matrix products alone.

No eigenvalues are needed, so that equal ones do no harm, and every array library can do it, with gradients and in an
exported graph. Scaling and squaring is done on exp(M) - 1 instead of exp(M): (1 + X)^2 - 1 = 2 X + X^2 keeps the
relative accuracy of slow modes, however often it is squared (cf. N. J. Higham, "Functions of Matrices", 2008, ch. 10).
"""

from typing import Any

from array_api_compat import array_namespace

Array = Any

SQUARINGS, TERMS = 20, 8
"""The Taylor series is cut at 2e-19 relative for a norm below 2^(SQUARINGS - 5), which is 32768."""


def expm1_matrix(matrix: Array) -> Array:
    """exp(M) - 1 for ``matrix`` ``[..., n, n]`` with a norm below 32768; it does not hold beyond."""
    small = matrix / 2.0**SQUARINGS
    power = small / TERMS
    for term in range(TERMS - 1, 0, -1):
        power = (small + small @ power) / term
    for _ in range(SQUARINGS):
        power = 2.0 * power + power @ power
    return power


def propagate_linear(matrix: Array, source: Array, dt: Array, state: Array) -> Array:
    """The solution of x' = A x + b after ``dt``.

    Args:
        matrix: A, ``[batch, n, n]`` or ``[n, n]``, per unit of time.
        source: b, ``[batch, n]``.
        dt: ``[batch]``.
        state: x at the beginning, ``[batch, n]``.

    Returns:
        ``[batch, n]``; exactly ``state`` where ``dt`` is 0.
    """
    xp = array_namespace(state)
    span = dt[..., None, None]
    upper = xp.concat([matrix * span, source[..., None] * span], axis=-1)
    full = xp.concat([upper, xp.zeros_like(upper[..., :1, :])], axis=-2)
    extended = xp.concat([state, xp.ones_like(state[..., :1])], axis=-1)
    return state + (expm1_matrix(full) @ extended[..., None])[..., :-1, 0]
