"""What tests of sweeps share."""

from collections import Counter
from pathlib import Path

RATE = "optimizer.lr=tag(log,interval(1e-3,1e-1))"


def words_of(diary):
    """How often each word stands in the diary of stub trainings, by folder."""
    found = [line.split()[:2] for line in diary.read_text().splitlines()]
    return Counter((word, Path(folder).name) for word, folder in found)
