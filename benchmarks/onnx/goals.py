"""What was asked of the exported forecast, and what came of it."""

from typing import Any

from benchmarks import page
from benchmarks.onnx.floor import WIDTHS
from benchmarks.onnx.routes import LSODA, MANY, NETWORK, ONE, TORCH, floor_of, onnx_of, solve_of

LATENCY, THROUGHPUT = onnx_of("latency"), onnx_of("throughput")
SHARE = (
    "in onnxruntime the network's products and SiLU alone reach {bound:.3g} GFLOP/s and the solve alone {solve:.3g} "
    "(measured in this run); the rest is the spread of the answer and its quantiles"
)
OPERATORS = (
    "the network alone, without a solver, takes {bound:.3g} times the floor in onnxruntime (measured in this run): "
    "each operator costs some 0.3 us, whatever it does"
)
"""Why a goal of many patients, or of one, was missed."""


def goals_of(rows: list[dict[str, Any]], exports: list[dict[str, Any]], sgemm: float) -> list[dict[str, Any]]:
    """Goals from the rows of one run; None where a route was left out."""
    told = {(row["route"], row["patients"]): row for row in rows}

    def value(route: str, batch: int, key: str) -> float | None:
        return told.get((route, batch), {}).get(key)

    best = min((value(floor_of(width), ONE, "us_p50") or float("inf"), floor_of(width)) for width in WIDTHS)[1]
    p50 = value(LATENCY, ONE, "us_p50")
    errors = [row["error"] for row in rows if row["route"].startswith(("onnxruntime, l", "onnxruntime, t"))]
    many = value(THROUGHPUT, MANY, "gflops")
    floor = value(best, ONE, "us_p50")
    alone = OPERATORS.format(bound=_over(value(NETWORK, ONE, "us_p50"), floor) or float("nan"))
    reached = (value(route, MANY, "gflops") or float("nan") for route in (NETWORK, solve_of("throughput")))
    cause = SHARE.format(**dict(zip(("bound", "solve"), reached, strict=True)))
    return [
        page.goal("error of an exported forecast, to double precision", 1e-5, page.SMALLER, max(errors)),
        page.goal(
            f"one patient: median time over that of the floor ({best})",
            15.0,
            page.SMALLER,
            _over(p50, floor),
            "times",
            alone,
        ),
        page.goal(
            "one patient: the same of the exported solve alone, which is the floor's work",
            15.0,
            page.SMALLER,
            _over(value(solve_of("latency"), ONE, "us_p50"), floor),
            "times",
            alone,
        ),
        page.goal(
            "one patient: scipy LSODA over the exported forecast",
            5.0,
            page.LARGER,
            _over(value(LSODA, ONE, "us_p50"), p50),
            "times",
        ),
        page.goal(
            "one patient: torch over the exported forecast",
            8.0,
            page.LARGER,
            _over(value(TORCH, ONE, "us_p50"), p50),
            "times",
        ),
        page.goal(
            f"{MANY} patients: rate over that of a product of matrices",
            0.9,
            page.LARGER,
            _over(many, sgemm),
            "times",
            cause,
        ),
        page.goal(
            f"{MANY} patients: torch over the exported forecast",
            2.0,
            page.LARGER,
            _over(value(TORCH, MANY, "us_min"), value(THROUGHPUT, MANY, "us_min")),
            "times",
            cause,
        ),
        page.goal(
            "the floor's rate over that of a product of matrices",
            0.5,
            page.LARGER,
            _over(value(best, ONE, "gflops"), sgemm),
            "times",
        ),
        page.goal("largest graph", 150_000, page.SMALLER, max(one["bytes"] for one in exports), "bytes"),
        page.goal("export of the forecast, CPU", 10.0, page.SMALLER, max(one["cpu_s"] for one in exports), "s"),
    ]


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other
