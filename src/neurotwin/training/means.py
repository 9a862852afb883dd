"""Means over an epoch that a checkpoint can hold, so that a resumed epoch ends with those of a whole one."""

from typing import Any

from neurotwin.training.ranks import gathered


class EpochMeans:
    """Weighted sums by name, added batch by batch in double precision."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, total: float, weight: float) -> None:
        """Add what a batch had: a sum, and what it is to be divided by."""
        before = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = (before[0] + total, before[1] + weight)

    def means(self) -> dict[str, float]:
        """Sums over weights; a weight of 0 counts as 1."""
        return {name: total / (weight or 1.0) for name, (total, weight) in self.sums.items()}

    def together(self) -> "EpochMeans":
        """Those of all processes; all of them have to ask."""
        whole = EpochMeans()
        for sums in gathered(self.sums):
            for name, (total, weight) in sums.items():
                whole.add(name, total, weight)
        return whole

    def clear(self) -> None:
        """Begin a new epoch."""
        self.sums = {}

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: list(pair) for name, pair in self.sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back from `state_dict`."""
        self.sums = {name: (float(total), float(weight)) for name, (total, weight) in state.items()}
