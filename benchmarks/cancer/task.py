"""What a forecaster is shown and asked: the one road by which references and learned models are judged.

A forecaster goes through the days with all test patients at once. On each day it is shown everything known on that
day, and then asked for plans that begin that day. What it is shown is cut out of the data before it is handed over,
so nothing of a later day can reach a forecast.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from benchmarks.cancer.simulator import CHEMO_DECAY, CHEMO_DOSE, N_DAYS, Array, Flags
from benchmarks.cancer.testsets import TestSet
from numpy.typing import NDArray


@dataclass(frozen=True)
class Past:
    """What is known of the patients on ``day``, before that day's treatment.

    Attributes:
        day: the current day.
        kind: ``[patient]`` patient type 1, 2 or 3.
        volume: ``[patient, day + 1]`` measured volumes, cm3; NaN where there was no measurement.
        chemo, radio: ``[patient, day]`` what was given on the days before.
    """

    day: int
    kind: NDArray[np.int64]
    volume: Array
    chemo: Flags
    radio: Flags

    @property
    def concentration(self) -> Array:
        """``[patient]`` chemotherapy left over from the day before, mg/m3, before it decays to the current day."""
        return concentration_after(self.chemo)


class Forecaster(Protocol):
    """Any model or reference."""

    def observe(self, past: Past) -> None:
        """Called for each day 0, 1, 2, ... in order, before the questions of that day."""

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """Expected volume ``[row, step]``, cm3, a day after each step of a plan.

        Args:
            patient: ``[row]`` whom it is about.
            plan: ``[row, step, 2]`` (chemotherapy, radiotherapy) on the current day, the day after, ...
        """


def concentration_after(chemo: Flags) -> Array:
    """``[patient]`` concentration right after the last of the days ``[patient, day]``, mg/m3."""
    level = np.zeros(len(chemo))
    for given in chemo.T:
        level = CHEMO_DECAY * level + CHEMO_DOSE * given
    return level


def forecast_rows(test: TestSet, observed: Array, forecaster: Forecaster) -> Array:
    """Forecasts ``[row, step]`` for all rows of a test set.

    Args:
        observed: ``[patient, day]`` what was measured, see `neurotwin`'s benchmark tracks; NaN where nothing was.
    """
    found = np.full(test.outcome.shape, np.nan)
    order = np.argsort(test.day, kind="stable")
    bounds = np.searchsorted(test.day[order], np.arange(N_DAYS + 1))
    for day in range(N_DAYS):
        rows = order[bounds[day] : bounds[day + 1]]
        if bounds[day] == len(order):
            break
        forecaster.observe(past_of(test, observed, day))
        if len(rows):
            found[rows] = forecaster.forecast(test.patient[rows], test.plan[rows])
    return found


def past_of(test: TestSet, observed: Array, day: int) -> Past:
    """What is known on a day, as copies."""
    return Past(
        day,
        test.patients.kind.copy(),
        observed[:, : day + 1].copy(),
        test.chemo[:, :day].copy(),
        test.radio[:, :day].copy(),
    )
