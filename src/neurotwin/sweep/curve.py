"""What a run has logged so far: its losses after each epoch, read while it trains."""

import csv
import math
import re
from pathlib import Path


def read_curve(run: Path, column: str) -> dict[int, float]:
    """Epoch -> value of a column of metrics.csv, and of the logs that earlier attempts left beside it.

    The last line may be half written, and is then not there yet.
    """
    found: dict[int, float] = {}
    for log in sorted(run.glob("metrics*.csv"), key=_place):
        try:
            lines = log.read_text().splitlines(keepends=True)
        except OSError:  # put aside at this moment
            continue
        for row in csv.DictReader(line for line in lines if line.endswith("\n")):
            value, epoch = _number(row.get(column)), _number(row.get("epoch"))
            if value is not None and epoch is not None and math.isfinite(epoch):
                found[int(epoch)] = value
    return found


def _place(log: Path) -> tuple[int, int]:
    """metrics.1.csv, metrics.2.csv, ..., then metrics.csv."""
    number = re.fullmatch(r"metrics\.(\d+)\.csv", log.name)
    return (0, int(number[1])) if number else (1, 0)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
