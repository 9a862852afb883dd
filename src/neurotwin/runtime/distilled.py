"""What a bundle knows of a forecast that a flow map gives in a solve's place: how far it is off, and over which plans
that was measured."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.runtime.reasons import Reason
from neurotwin.timeline import Timeline
from neurotwin.timeline.given import changes_and_totals

NEARLY = 1 + 1e-9
"""By how much two numbers that are one may differ, converted from two units."""


@dataclass(frozen=True)
class Distilled:
    """The ``distilled`` section of signature.json.

    Attributes:
        longest: time from the state's clock up to which the error was measured.
        changes: most changes of treatment of a plan that it was measured on.
        totals: by treatment, most that such a plan gave.
        edges: upper edges of the horizon bins.
        shares: by variable, 95th percentile of the error in each bin, as a share of a 90 % interval's half-width.
        allowed: share above which a forecast is not called the teacher's.
    """

    longest: float
    changes: int
    totals: Mapping[str, float]
    edges: tuple[float, ...]
    shares: Mapping[str, tuple[float, ...]]
    allowed: float

    @classmethod
    def of(cls, signature: Mapping[str, Any], variables: list[str], treatments: list[str]) -> Self | None:
        """From a signature, None where it has no such section; raises KeyError, TypeError or ValueError for a section
        that is not whole."""
        if "distilled" not in signature:
            return None
        told = signature["distilled"]
        edges = tuple(_number(edge) for edge in told["horizons"])
        shares = {name: tuple(_number(share) for share in told["share"][name]) for name in variables}
        if not edges or list(edges) != sorted(edges) or any(len(row) != len(edges) for row in shares.values()):
            raise ValueError("horizons and shares differ")
        return cls(
            longest=_number(told["longest"]),
            changes=int(told["changes"]),
            totals={name: _number(told["totals"][name]) for name in treatments},
            edges=edges,
            shares=shares,
            allowed=_number(told["allowed_share"]),
        )

    def doubts(self, timeline: Timeline, ahead: NDArray[np.float64], unit: str) -> Iterator[tuple[Reason, str]]:
        """Why, and where, a plan's forecast is not known to be the solve's: its error was not measured over such plans,
        or was found too large.

        Args:
            timeline: of the plan, one subject.
            ahead: ``[query]`` times from the state's clock.
            unit: of time.
        """
        if float(ahead.max()) > self.longest * NEARLY:
            yield (Reason.EXTRAPOLATION, f"plan.query: distilled up to {self.longest:g} {unit}")
        changes, totals = changes_and_totals(timeline)
        if changes[0] > self.changes:
            yield (Reason.EXTRAPOLATION, f"plan.treatments: distilled on up to {self.changes} changes")
        for (name, most), total in zip(self.totals.items(), totals[0], strict=True):
            if total > most * NEARLY:
                yield (Reason.EXTRAPOLATION, f"plan.treatments: {name} in total, distilled on up to {most:g}")
        bins = np.unique(np.minimum(np.searchsorted(self.edges, ahead / NEARLY), len(self.edges) - 1))
        for name, shares in self.shares.items():
            if (worst := max(shares[index] for index in bins)) > self.allowed:
                yield (
                    Reason.SOLVER_FAILURE,
                    f"forecast: {name} is up to {worst:.2g} of an interval's half-width off its solve, "
                    f"{self.allowed:g} allowed",
                )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError("not a size")
    return number
