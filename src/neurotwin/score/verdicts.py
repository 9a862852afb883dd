"""Reasons to abstain or to warn, of many subjects at once: what `neurotwin.runtime.reading.Notes` is for one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.reasons import Reason

BITS = {reason: np.uint32(1 << place) for place, reason in enumerate(Reason)}
OK, DEGRADED, ABSTAIN = "ok", "degraded", "abstain"


class Verdicts:
    """Sets of reasons, one bit each.

    Attributes:
        refused: ``[subject]`` why the model must not speak.
        warned: ``[subject]`` what it speaks in spite of.
    """

    def __init__(self, n_subjects: int) -> None:
        self.refused, self.warned = np.zeros((2, n_subjects), np.uint32)

    def refuse(self, reason: Reason, subjects: NDArray[Any] | slice) -> None:
        """Of subjects by mask or positions, repeats allowed."""
        self.refused[subjects] |= BITS[reason]

    def warn(self, reason: Reason, subjects: NDArray[Any] | slice) -> None:
        """Of subjects by mask or positions, repeats allowed."""
        self.warned[subjects] |= BITS[reason]

    @property
    def silent(self) -> NDArray[np.bool_]:
        """``[subject]`` of whom the model must not speak."""
        return np.asarray(self.refused != 0)

    def told(self) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """``[subject]`` status, and reasons as words with a space between, in the order of an answer."""
        status = np.where(self.silent, ABSTAIN, np.where(self.warned != 0, DEGRADED, OK)).astype(object)
        sets, place = np.unique(np.where(self.silent, self.refused, self.warned), return_inverse=True)
        words = [" ".join(sorted(str(reason) for reason, bit in BITS.items() if one & bit)) for one in sets]
        return status, np.array(words, dtype=object)[place]
