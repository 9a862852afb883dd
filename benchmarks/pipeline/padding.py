"""How much of a batch is padding, as subjects come and put together by the length of their records."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.data import CohortData, EpisodeBatches

HOW = {"batch_size": 64, "min_visits": 3}
MAX_STEP = 2.0  # d, the experiment's


def padding_rows(cohort: Path, subjects: int, windows: Sequence[int]) -> list[dict[str, Any]]:
    """Of one epoch of training: mean rows per batch (past and plan), share of rows that do nothing, and CPU
    milliseconds to make a batch."""
    data = CohortData(cohort, **HOW)
    part = data.train_part()
    found = []
    for window in windows:
        begin = time.process_time()
        source = EpisodeBatches(part, seed=(0, 0, 0), max_step=MAX_STEP, window=window, **data.how)
        batches = [source[number] for number in range(len(source))]
        spent = time.process_time() - begin
        rows = [item for batch in batches for item in (batch.history, batch.plan)]
        active = sum(float(item.active.sum()) for item in rows)
        found.append(
            {
                "subjects": subjects,
                "window": window,
                "rows": float(np.mean([batch.history.dt.shape[1] + batch.plan.dt.shape[1] for batch in batches])),
                "wasted": 1 - active / sum(item.dt.numel() for item in rows),
                "ms": 1e3 * spent / len(batches),
            }
        )
    return found
