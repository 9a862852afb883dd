"""What both kernels do with a tile of patients: weights, the network, sums over the stages of a method.

Functions of Triton: what ``static_range`` and tuples say is unrolled when a kernel is compiled. A tile is
``[BLOCK, columns]``, its columns padded with zeros to a power of two of at least 16, as products of tiles need them.
"""

# mypy: disable-error-code="assignment, no-untyped-def, no-any-return, type-arg, untyped-decorator"
# ruff: noqa: N803

import triton
import triton.language as tl


@triton.jit
def silu(units):
    """x / (1 + exp(-x))."""
    return units * tl.sigmoid(units)


@triton.jit
def silu_slope(units):
    """The derivative of `silu`."""
    share = tl.sigmoid(units)
    return share * (1.0 + units * (1.0 - share))


@triton.jit
def matrix(at, rows, columns, row_step, column_step, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """``[ROWS, COLUMNS]``: a weight ``[rows, columns]``, and zeros beyond it."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    return tl.load(at + i * row_step + j * column_step, mask=(i < rows) & (j < columns), other=0.0)


@triton.jit
def vector(at, size, SIZE: tl.constexpr):
    """``[SIZE]``: a weight ``[size]``, and zeros beyond it."""
    j = tl.arange(0, SIZE)
    return tl.load(at + j, mask=j < size, other=0.0)


@triton.jit
def number(at, patient, there, batch_step, row, row_step):
    """``[BLOCK]``: a number of each patient at a row."""
    return tl.load(at + patient * batch_step + row * row_step, mask=there, other=0.0)


@triton.jit
def columns(at, place, column, inside):
    """``[BLOCK, columns]`` from where each patient's begin."""
    return tl.load(at + place[:, None] + column[None, :], mask=inside, other=0.0)


@triton.jit
def put_columns(at, place, column, inside, value):
    """Write what `columns` reads."""
    tl.store(at + place[:, None] + column[None, :], value, mask=inside)


@triton.jit
def put(at, value, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Write ``value`` as a contiguous ``[rows, columns]``, and say where the next one begins."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    tl.store(at + i * columns + j, value, mask=(i < rows) & (j < columns))
    return at + rows * columns


@triton.jit
def dense_weight(fraction, DENSE: tl.constexpr, DEGREE: tl.constexpr, STAGE: tl.constexpr):
    """Weight of a stage in the continuous extension, at fractions of the step; ``DENSE`` is flat ``[stage,
    degree]``."""
    value = fraction * DENSE[STAGE * DEGREE + DEGREE - 1]
    for d in tl.static_range(1, DEGREE):
        value = (value + DENSE[STAGE * DEGREE + DEGREE - 1 - d]) * fraction
    return value


@triton.jit
def drawn_up(slopes, width, A: tl.constexpr, STAGES: tl.constexpr, stage):
    """What earlier slopes move a stage's state by."""
    move = tl.zeros_like(slopes[0])
    for k in tl.static_range(STAGES - 1):
        move += slopes[k] * coefficient(A, STAGES, stage, k)
    return width[:, None] * move


@triton.jit
def chosen(values, COUNT: tl.constexpr, which):
    """One of some tiles."""
    value = values[0]
    for k in tl.static_range(1, COUNT):
        value = tl.where(which == k, values[k], value)
    return value


@triton.jit
def with_one(values, COUNT: tl.constexpr, which, value):
    """The same tiles, but for one."""
    found = ()
    for k in tl.static_range(COUNT):
        found = found + (tl.where(which == k, value, values[k]),)
    return found


@triton.jit
def coefficient(A: tl.constexpr, STAGES: tl.constexpr, stage, K: tl.constexpr):
    """``a[stage, K]`` of a tableau ``A``, flat ``[stage, stage]``, for a stage that is known when the kernel runs."""
    value = 0.0
    for s in tl.static_range(K + 1, STAGES):
        value = tl.where(stage == s, A[s * STAGES + K], value)
    return value


@triton.jit
def layers_of(
    inner, told, of_state, mid, bias_mid,
    LAYERS: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The units ``[BLOCK, hidden]`` of each layer before their activation, at states ``inner``; ``told`` is what the
    first layer gets besides the state.

    Weights are read where they are used, once per stage: they lie in the cache, while registers that held them over
    all stages would overflow. The barrier keeps the compiler from reading them before the loop.
    """
    tl.debug_barrier()
    into = matrix(of_state, MOVED, HIDDEN, 1, MOVED, WIDE_MOVED, WIDE_HIDDEN)
    units = (tl.dot(inner, into, acc=told, input_precision=PRECISION),)
    for layer in tl.static_range(1, LAYERS):
        onward = matrix(mid + (layer - 1) * HIDDEN * HIDDEN, HIDDEN, HIDDEN, 1, HIDDEN, WIDE_HIDDEN, WIDE_HIDDEN)
        bias = vector(bias_mid + (layer - 1) * HIDDEN, HIDDEN, WIDE_HIDDEN)
        units = units + (tl.dot(silu(units[layer - 1]), onward, input_precision=PRECISION) + bias[None, :],)
    return units
