"""The forward kernel: a program takes a tile of patients through all rows and stages."""

# mypy: disable-error-code="assignment, no-untyped-def, untyped-decorator"
# ruff: noqa: N803

import triton
import triton.language as tl

from neurotwin.solvers.triton_kernels.tiles import (
    columns,
    dense_weight,
    drawn_up,
    layers_of,
    matrix,
    number,
    put_columns,
    silu,
    vector,
    with_one,
)

ANY = [
    "batch", "rows", "drift_batch", "drift_row", "clock_batch", "clock_row", "clock_stage", "dt_batch", "dt_row",
    "query_batch", "query_row", "keep_batch", "keep_row",
]  # fmt: skip
"""Numbers that change from batch to batch: no reason to compile anew."""


@triton.jit
def slope_of(
    units, out, last, scale, LAYERS: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Slope ``[BLOCK, moved]`` from the units of all layers."""
    outward = matrix(out, HIDDEN, MOVED, 1, HIDDEN, WIDE_HIDDEN, WIDE_MOVED)
    return (tl.dot(silu(units[LAYERS - 1]), outward, input_precision=PRECISION) + last[None, :]) * scale


@triton.jit
def ends(
    state, slopes, width, share, B: tl.constexpr, DENSE: tl.constexpr, DEGREE: tl.constexpr, STAGES: tl.constexpr
):  # fmt: skip
    """The state where it is asked for and at the row's end, and the weight of all slopes together in the former."""
    asked, reached, move = state, tl.zeros_like(share), tl.zeros_like(state)
    for k in tl.static_range(STAGES):
        answer = width * dense_weight(share, DENSE, DEGREE, k)
        reached += answer
        asked += answer[:, None] * slopes[k]
        move += slopes[k] * B[k]
    return asked, state + width[:, None] * move, reached


@triton.jit(do_not_specialize=ANY)
def forward_kernel(
    begin, first, drift, clock, dt, query, keep,
    of_state, of_clock, mid, bias_mid, out, bias_out,
    at_query, final, inners,
    batch, rows, scale,
    first_batch, first_row, drift_batch, drift_row, clock_batch, clock_row, clock_stage,
    dt_batch, dt_row, query_batch, query_row, keep_batch, keep_row,
    A: tl.constexpr, B: tl.constexpr, DENSE: tl.constexpr, DEGREE: tl.constexpr, STAGES: tl.constexpr,
    LAYERS: tl.constexpr, STATE: tl.constexpr, MOVED: tl.constexpr, HIDDEN: tl.constexpr,
    WIDE_MOVED: tl.constexpr, WIDE_HIDDEN: tl.constexpr, WIDE_REST: tl.constexpr, BLOCK: tl.constexpr,
    SAVES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """As `neurotwin.solvers.whole.Solve`. ``inners`` ``[batch, row, stage, moved]`` gets the states at which slopes are
    taken, for the way back.

    Offsets are 64 bits wide: a batch times its rows times the units may be more than 2^31.
    """
    REST: tl.constexpr = STATE - MOVED
    patient = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = patient < batch
    patient = patient.to(tl.int64)
    moved, units, rest = tl.arange(0, WIDE_MOVED), tl.arange(0, WIDE_HIDDEN), tl.arange(0, WIDE_REST)
    in_moved = there[:, None] & (moved < MOVED)[None, :]
    in_units = there[:, None] & (units < HIDDEN)[None, :]
    in_rest = there[:, None] & (rest < REST)[None, :]
    by_clock, last = vector(of_clock, HIDDEN, WIDE_HIDDEN), vector(bias_out, MOVED, WIDE_MOVED)
    state = columns(begin, patient * STATE, moved, in_moved)
    drifted = columns(begin, patient * STATE + MOVED, rest, in_rest)
    for row in range(rows):
        here = patient * rows + row
        width = number(dt, patient, there, dt_batch, row, dt_row)
        share = number(query, patient, there, query_batch, row, query_row)
        kept = number(keep, patient, there, keep_batch, row, keep_row) != 0.0
        known = columns(first, patient * first_batch + row * first_row, units, in_units)
        slopes = ()
        for _ in tl.static_range(STAGES):
            slopes = slopes + (tl.zeros_like(state),)
        for stage in range(STAGES):
            inner = state + drawn_up(slopes, width, A, STAGES, stage)
            if SAVES:
                put_columns(inners, (here * STAGES + stage) * MOVED, moved, in_moved, inner)
            time = number(clock + stage * clock_stage, patient, there, clock_batch, row, clock_row)
            hidden = layers_of(
                inner, known + time[:, None] * by_clock[None, :], of_state, mid, bias_mid,
                LAYERS, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN, PRECISION,
            )  # fmt: skip
            slope = slope_of(hidden, out, last, scale, LAYERS, MOVED, HIDDEN, WIDE_MOVED, WIDE_HIDDEN, PRECISION)
            slopes = with_one(slopes, STAGES, stage, slope)
        asked, end, reached = ends(state, slopes, width, share, B, DENSE, DEGREE, STAGES)
        state = tl.where(kept[:, None], end, state)
        put_columns(at_query, here * STATE, moved, in_moved, asked)
        if REST > 0:
            passes = columns(drift, patient * drift_batch + row * drift_row, rest, in_rest)
            put_columns(at_query, here * STATE + MOVED, rest, in_rest, drifted + reached[:, None] * passes)
            drifted = tl.where(kept[:, None], drifted + width[:, None] * passes, drifted)
    put_columns(final, patient * STATE, moved, in_moved, state)
    if REST > 0:
        put_columns(final, patient * STATE + MOVED, rest, in_rest, drifted)
