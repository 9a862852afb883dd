"""Learning-rate schedules."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, steps: int, *, warmup: float = 0.1, floor: float = 0.02) -> LambdaLR:
    """Rise linearly over the first ``warmup`` of the steps, then fall along a cosine to ``floor`` of the rate.

    Loshchilov, Hutter, SGDR, ICLR 2017, without restarts.
    """
    rise = max(1, int(warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = min(1.0, (step - rise) / max(1, steps - rise))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
