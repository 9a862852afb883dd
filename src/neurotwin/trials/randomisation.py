"""Who gets which arm: at random, simply or in permuted blocks, within strata."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.trials.groups import Split


@dataclass(frozen=True)
class Randomisation:
    """Allocation of subjects in the order in which they come.

    Args:
        method: ``simple``, each by itself; ``blocks``, permuted blocks within each stratum.
        ratio: of the arms, control first.
        block: length of a block, a multiple of the ratio's sum; None: twice the sum.
        strata: divisions within whose combinations blocks are permuted; the tests are stratified by them too.
    """

    method: Literal["simple", "blocks"] = "blocks"
    ratio: Sequence[int] = (1, 1)
    block: int | None = None
    strata: Sequence[Split] = ()

    def __post_init__(self) -> None:
        where = "randomisation"
        if any(part < 1 for part in self.ratio):
            raise ConfigError(f"ratio is {list(self.ratio)}", where=where, expected="whole numbers from 1 on")
        if self.method not in ("simple", "blocks"):
            raise ConfigError(f"method is {self.method!r}", where=where, expected="simple | blocks")
        if self.block is not None and (self.block < 1 or self.block % sum(self.ratio)):
            raise ConfigError(f"block is {self.block}", where=where, expected=f"a multiple of {sum(self.ratio)}")
        if self.method == "simple" and self.strata:
            raise ConfigError("strata with simple randomisation", where=where, expected="method=blocks, or no strata")

    def check(self, n_arms: int) -> None:
        """Raises ConfigError where the ratio is not that of so many arms."""
        if len(self.ratio) != n_arms:
            raise ConfigError(f"ratio is {list(self.ratio)}", where="randomisation", expected=f"{n_arms} numbers")

    def assign(self, stratum: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """``[subject]`` arm of each, whose ``stratum`` ``[subject]`` is given."""
        if self.method == "simple":
            share = np.cumsum(self.ratio) / sum(self.ratio)
            return np.searchsorted(share, rng.random(len(stratum)), side="right").astype(np.int64)
        size = self.block or 2 * sum(self.ratio)
        block = np.repeat(np.arange(len(self.ratio)), np.array(self.ratio) * (size // sum(self.ratio)))
        arm = np.empty(len(stratum), dtype=np.int64)
        for one in np.unique(stratum):
            mine = np.flatnonzero(stratum == one)
            blocks = rng.permuted(np.tile(block, (-(-len(mine) // size), 1)), axis=1)
            arm[mine] = blocks.ravel()[: len(mine)]
        return arm
