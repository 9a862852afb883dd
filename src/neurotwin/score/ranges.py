"""What `neurotwin.runtime.reading.Reader` asks of one value, asked of a column: is it plausible, was it trained on?

The rules and their constants are the reader's; a test holds both together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.channels import Channel
from neurotwin.runtime.reading import LARGEST, MARGIN, SAME
from neurotwin.runtime.reasons import Reason
from neurotwin.score.verdicts import Verdicts

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def judge_values(
    value: Array, which: NDArray[Any], subject: NDArray[Any], channels: Sequence[Channel], verdicts: Verdicts
) -> tuple[Flags, Flags]:
    """``[row]`` which values may be used, and of which of those and the others the model was told too much: a record
    that is refused for its value.

    Args:
        value: in the bundle's units.
        which: ``[row]`` position among ``channels``.
    """
    usable, refused = np.ones((2, len(value)), dtype=bool)
    refused[:] = False
    for index, channel in enumerate(channels):
        rows = np.flatnonzero(which == index)
        if not len(rows):
            continue
        given, (low, high) = value[rows], channel.plausible
        bad = ~((given >= low) & (given <= high)) | (np.abs(given) > LARGEST)
        if not channel.head.is_exact:
            bad |= ~channel.head.on_grid(given)
        far, near = beyond_trained(given, channel)
        far &= ~bad
        usable[rows[bad]] = False
        refused[rows[bad | far]] = True
        verdicts.refuse(Reason.IMPLAUSIBLE_INPUT, subject[rows[bad]])
        verdicts.refuse(Reason.EXTRAPOLATION, subject[rows[far]])
        verdicts.warn(Reason.EXTRAPOLATION, subject[rows[near & ~bad]])
    return usable, refused


def judge_totals(total: Array, channels: Sequence[Channel], subject: NDArray[Any], verdicts: Verdicts) -> None:
    """Of ``[subject, treatment]`` largest amounts, rates and levels that act at one instant together."""
    for index, channel in enumerate(channels):
        far, near = beyond_trained(total[:, index], channel)
        given = total[:, index] > 0
        verdicts.refuse(Reason.EXTRAPOLATION, subject[far & given])
        verdicts.warn(Reason.EXTRAPOLATION, subject[near & given])


def beyond_trained(value: Array, channel: Channel) -> tuple[Flags, Flags]:
    """Which values are far outside the range of training, and which a little."""
    if channel.trained is None:
        return np.zeros(len(value), dtype=bool), np.zeros(len(value), dtype=bool)
    low, high = channel.trained
    slack, same = MARGIN * (high - low), SAME * max(abs(low), abs(high))
    far = (value < low - slack - same) | (value > high + slack + same) | _is_far(value, channel)
    return far, ~far & ((value < low - same) | (value > high + same))


def _is_far(value: Array, channel: Channel) -> Flags:
    if channel.head.transform == "identity" or channel.trained is None:
        return np.zeros(len(value), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = channel.head.forward(np.array(channel.trained)).tolist()
        told = channel.head.forward(value)
    slack = MARGIN * (high - low)
    if not np.isfinite(slack):
        return np.zeros(len(value), dtype=bool)
    return np.asarray(~((told >= low - slack - SAME) & (told <= high + slack + SAME)))
