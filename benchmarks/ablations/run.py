"""What single parts are worth: python benchmarks/ablations/run.py [--part student_t visits ...] [--again] [--quick]

Each part is measured with and without what it is about; rows go to results.json, tables to README.md. A row that is
there is not made again. Cohorts as for benchmarks/real (docs/datasets.md).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "real"))

import torch
from ablation_parts import balanced, heads, inner, page, permuted

Job = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
SEEDS = (0, 1)
BRIEF = 5
"""Steps of a quick run."""


def jobs(part: str, *, quick: bool) -> Iterator[Job]:
    """Key (variant, seed) and maker of each row of a part."""
    steps = BRIEF if quick else None
    if part == "student_t":
        for seed in SEEDS:
            for head in heads.HEADS:
                make = partial(heads.row_of, "laleh", head, "stepped", seed, steps=steps)
                yield {"variant": head, "seed": seed}, make
    elif part == "permutation":
        for variant in ("permuted", "as recorded"):
            yield {"variant": variant}, partial(permuted.row_of, "paquid", variant, "plain", 0, steps=steps)
    elif part == "boosting":
        for variant in inner.BOOSTING:
            yield {"variant": variant}, partial(inner.boosting_row, "laleh", variant)
    elif part == "visits":
        for seed in SEEDS:
            for variant in inner.VISITS:
                yield {"variant": variant, "seed": seed}, partial(inner.visit_row, "laleh", variant, seed, steps)
    else:
        for weight in balanced.WEIGHTS:
            yield {"variant": f"{weight:g}"}, partial(balanced.row_of, "gru", weight, 1 if quick else None)


def main() -> None:
    """Make the rows that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=page.PARTS, default=list(page.PARTS))
    parser.add_argument("--rows", type=int, default=1000, help="stop after so many new ones; the next run goes on")
    parser.add_argument("--again", action="store_true", help="also what is there")
    parser.add_argument("--quick", action="store_true", help="a few steps, which tell nothing; nothing is written")
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = 0
    for part in given.part:
        for key, make in jobs(part, quick=given.quick):
            whole = {"part": part, **key}
            there = any(page.same(row, whole) for row in page.rows_at_hand())
            if made >= given.rows or (there and not (given.again or given.quick)):
                continue
            begun = time.process_time()
            row = whole | make() | {"processor_seconds": round(time.process_time() - begun, 1)}
            print(row, flush=True)
            made += 1
            if not given.quick:
                page.add(row, whole)


if __name__ == "__main__":
    main()
