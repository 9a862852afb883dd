"""One plan on its way to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurotwin.episodes import Forecast
from neurotwin.events import Doses
from neurotwin.landmarks import given_free
from neurotwin.runtime.answer import check_output
from neurotwin.runtime.documents import PlanDocument
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import Notes

Array = NDArray[np.float64]


def forecast_of(predictor: Predictor, found: Mapping[str, Array]) -> Forecast:
    """What the graph said at one plan's queries ``[query, ...]``.

    Where outcomes are told, the first query is the plan's start: risks are those of a patient who is free of all then.
    """
    risks = None
    if predictor.signature.outcomes:
        risks = given_free(found["incidence"][1:], found["incidence"][:1])
        found = {name: values[1:] for name, values in found.items()}
    return Forecast(predictor.levels, found["quantiles"], found["draws"], mean=found["mean"], incidence=risks)


@dataclass
class Asked:
    """A plan, what was noted about it, and what the graph said.

    Attributes:
        doses: what is given from the state's clock on, on the patient's clock.
        after: ``[query]`` times from the plan's start; None where the plan's time unit is unknown.
        running: treatments that run when the plan starts.
    """

    plan: PlanDocument
    notes: Notes
    doses: Doses = field(default_factory=Doses.of)
    after: Array | None = None
    n_planned: int = 0
    running: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    forecast: Forecast | None = None

    def settle(self, predictor: Predictor, raw: Forecast) -> None:
        """Calibrate and check what the graph said."""
        if self.after is not None:
            calibrated = predictor.calibrated(raw, self.after)
            checked, self.checks = check_output(predictor, calibrated, self.notes)
            self.forecast = None if self.notes.refused else checked
