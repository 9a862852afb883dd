"""What the processes of one training tell each other; with a single process all of it is for nothing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import distributed


def several() -> bool:
    """Do several processes train together?"""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def rank() -> int:
    """Which of them this one is."""
    return distributed.get_rank() if several() else 0


def summed(values: Sequence[float], device: torch.device) -> list[float]:
    """Each value summed over all processes; all of them have to ask."""
    if not several():
        return list(values)
    whole = torch.tensor(list(values), dtype=torch.float64, device=device)
    distributed.all_reduce(whole)
    return [float(value) for value in whole]


def gathered(item: Any) -> list[Any]:
    """What each process holds, in their order; all of them have to ask."""
    if not several():
        return [item]
    items: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(items, item)
    return items
