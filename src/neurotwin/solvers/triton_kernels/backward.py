"""The backward kernel: the discrete adjoint, the units of each stage computed again from its state."""

# mypy: disable-error-code="assignment, no-untyped-def, untyped-decorator"
# ruff: noqa: N803

import triton
import triton.language as tl

from neurotwin.solvers.triton_kernels.tiles import (
    chosen,
    coefficient,
    columns,
    dense_weight,
    layers_of,
    matrix,
    number,
    put,
    put_columns,
    silu,
    silu_slope,
    vector,
)


@triton.jit
def layers_back(
    slope, units, of_mid, of_bias, of_out, of_last, mid, out,
    LAYERS: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the gradient of a network's output to that of its first layer's units; ``of_...`` are the sums so far of the
    gradients of ``mid``, ``bias_mid``, ``out`` and ``bias_out``."""
    top = units[LAYERS - 1]
    of_out = tl.dot(tl.trans(slope), silu(top), acc=of_out, input_precision=PRECISION)
    of_last += tl.sum(slope, 0)
    outward = matrix(out, MOVED, HIDDEN, HIDDEN, 1, WIDE_MOVED, WIDE_HIDDEN)
    found = tl.dot(slope, outward, input_precision=PRECISION) * silu_slope(top)
    new_mid, new_bias = (), ()
    for back in tl.static_range(LAYERS - 1):
        # From the last layer to the first: each sum is put in front of those that are there.
        below = units[LAYERS - 2 - back]
        weight = tl.dot(tl.trans(found), silu(below), acc=of_mid[LAYERS - 2 - back], input_precision=PRECISION)
        new_mid = (weight,) + new_mid
        new_bias = (of_bias[LAYERS - 2 - back] + tl.sum(found, 0),) + new_bias
        layer = mid + (LAYERS - 2 - back) * HIDDEN * HIDDEN
        onward = matrix(layer, HIDDEN, HIDDEN, HIDDEN, 1, WIDE_HIDDEN, WIDE_HIDDEN)
        found = tl.dot(found, onward, input_precision=PRECISION) * silu_slope(below)
    return found, new_mid, new_bias, of_out, of_last


@triton.jit
def seeds(
    carried, asked, step, width, share,
    B: tl.constexpr, DENSE: tl.constexpr, DEGREE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of a row's slopes, from those of its end and its answer; and the weight of all slopes in the answer."""
    found, reached = (), tl.zeros_like(share)
    for k in tl.static_range(STAGES):
        answer = width * dense_weight(share, DENSE, DEGREE, k)
        reached += answer
        found = found + ((step * B[k])[:, None] * carried + answer[:, None] * asked,)
    return found, reached


@triton.jit
def spread(of_slopes, of_inner, width, A: tl.constexpr, STAGES: tl.constexpr, stage):
    """Gradients of the slopes, with what a stage's state adds to those of the earlier ones."""
    found = ()
    for k in tl.static_range(STAGES):
        found = found + (of_slopes[k] + (width * coefficient(A, STAGES, stage, k))[:, None] * of_inner,)
    return found


@triton.jit
def no_sums(LAYERS: tl.constexpr, WIDE_HIDDEN: tl.constexpr):
    """Zeros for the gradients of ``mid`` and ``bias_mid``."""
    of_mid, of_bias = (), ()
    for _ in tl.static_range(LAYERS - 1):
        of_mid = of_mid + (tl.zeros([WIDE_HIDDEN, WIDE_HIDDEN], tl.float32),)
        of_bias = of_bias + (tl.zeros([WIDE_HIDDEN], tl.float32),)
    return of_mid, of_bias


@triton.jit
def put_sums(
    at, of_into, of_times, of_mid, of_bias, of_out, of_last,
    LAYERS: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr,
):  # fmt: skip
    """Write the gradients of all weights one after the other, as `neurotwin.solvers.whole.Weights` has them."""
    at = put(at, of_into, HIDDEN, MOVED, WIDE_HIDDEN, WIDE_MOVED)
    at = put(at, of_times[None, :], 1, HIDDEN, 1, WIDE_HIDDEN)
    for layer in tl.static_range(LAYERS - 1):
        at = put(at, of_mid[layer], HIDDEN, HIDDEN, WIDE_HIDDEN, WIDE_HIDDEN)
    for layer in tl.static_range(LAYERS - 1):
        at = put(at, of_bias[layer][None, :], 1, HIDDEN, 1, WIDE_HIDDEN)
    at = put(at, of_out, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN)
    put(at, of_last[None, :], 1, MOVED, 1, WIDE_MOVED)


ANY = [
    "batch", "rows", "length", "clock_batch", "clock_row", "clock_stage", "dt_batch", "dt_row",
    "query_batch", "query_row", "keep_batch", "keep_row",
]  # fmt: skip
"""Numbers that change from batch to batch: no reason to compile anew."""


@triton.jit(do_not_specialize=ANY)
def backward_kernel(
    inners, first, clock, dt, query, keep,
    of_state, of_clock, mid, bias_mid, out, bias_out,
    of_query, of_final, of_begin, of_first, of_drift, sums,
    batch, rows, scale, length,
    first_batch, first_row, clock_batch, clock_row, clock_stage,
    dt_batch, dt_row, query_batch, query_row, keep_batch, keep_row,
    A: tl.constexpr, B: tl.constexpr, DENSE: tl.constexpr, DEGREE: tl.constexpr, STAGES: tl.constexpr,
    LAYERS: tl.constexpr, STATE: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr, WIDE_REST: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """From gradients of the course to those of what went in. A program goes through every tile that is its own and
    writes its sums of the weights' gradients to ``sums`` ``[program, length]``: to be added in one order."""
    REST: tl.constexpr = STATE - MOVED
    moved, units, rest = tl.arange(0, WIDE_MOVED), tl.arange(0, WIDE_HIDDEN), tl.arange(0, WIDE_REST)
    by_clock = vector(of_clock, HIDDEN, WIDE_HIDDEN)
    of_mid, of_bias = no_sums(LAYERS, WIDE_HIDDEN)
    of_out, of_last = tl.zeros([WIDE_MOVED, WIDE_HIDDEN], tl.float32), tl.zeros([WIDE_MOVED], tl.float32)
    of_into, of_times = tl.zeros([WIDE_HIDDEN, WIDE_MOVED], tl.float32), tl.zeros([WIDE_HIDDEN], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(batch, BLOCK), tl.num_programs(0)):
        patient = tile * BLOCK + tl.arange(0, BLOCK)
        there = patient < batch
        patient = patient.to(tl.int64)
        in_moved = there[:, None] & (moved < MOVED)[None, :]
        in_units = there[:, None] & (units < HIDDEN)[None, :]
        in_rest = there[:, None] & (rest < REST)[None, :]
        carried = columns(of_final, patient * STATE, moved, in_moved)
        drifted = columns(of_final, patient * STATE + MOVED, rest, in_rest)
        for done in range(rows):
            row = rows - 1 - done
            here = patient * rows + row
            asked = columns(of_query, here * STATE, moved, in_moved)
            width = number(dt, patient, there, dt_batch, row, dt_row)
            share = number(query, patient, there, query_batch, row, query_row)
            step = tl.where(number(keep, patient, there, keep_batch, row, keep_row) != 0.0, width, 0.0)
            known = columns(first, patient * first_batch + row * first_row, units, in_units)
            of_slopes, reached = seeds(carried, asked, step, width, share, B, DENSE, DEGREE, STAGES)
            carried += asked
            of_known = tl.zeros([BLOCK, WIDE_HIDDEN], tl.float32)
            for past in range(STAGES):
                stage = STAGES - 1 - past
                inner = columns(inners, (here * STAGES + stage) * MOVED, moved, in_moved)
                time = number(clock + stage * clock_stage, patient, there, clock_batch, row, clock_row)
                hidden = layers_of(
                    inner, known + time[:, None] * by_clock[None, :], of_state, mid, bias_mid,
                    LAYERS, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN, PRECISION,
                )  # fmt: skip
                found, of_mid, of_bias, of_out, of_last = layers_back(
                    chosen(of_slopes, STAGES, stage) * scale, hidden, of_mid, of_bias, of_out, of_last, mid, out,
                    LAYERS, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN, PRECISION,
                )  # fmt: skip
                of_known += found
                of_times += tl.sum(time[:, None] * found, 0)
                of_into = tl.dot(tl.trans(found), inner, acc=of_into, input_precision=PRECISION)
                into = matrix(of_state, HIDDEN, MOVED, MOVED, 1, WIDE_HIDDEN, WIDE_MOVED)
                of_inner = tl.dot(found, into, input_precision=PRECISION)
                carried += of_inner
                of_slopes = spread(of_slopes, of_inner, width, A, STAGES, stage)
            put_columns(of_first, here * HIDDEN, units, in_units, of_known)
            if REST > 0:
                wanted = columns(of_query, here * STATE + MOVED, rest, in_rest)
                passes = step[:, None] * drifted + reached[:, None] * wanted
                put_columns(of_drift, here * REST, rest, in_rest, passes)
                drifted += wanted
        put_columns(of_begin, patient * STATE, moved, in_moved, carried)
        put_columns(of_begin, patient * STATE + MOVED, rest, in_rest, drifted)
    put_sums(
        sums + tl.program_id(0).to(tl.int64) * length, of_into, of_times, of_mid, of_bias, of_out, of_last,
        LAYERS, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN,
    )  # fmt: skip
