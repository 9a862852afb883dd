"""Differences of which everything is known."""

from types import SimpleNamespace

import numpy as np

from neurotwin.calibrating.pairs import Gaps

SIGNATURE = SimpleNamespace(
    variables=(SimpleNamespace(name="volume", unit="cm3"),),
    treatments=(SimpleNamespace(name="chemo", unit="mg"), SimpleNamespace(name="drip", unit="mg/h")),
    time_unit="d",
)
PREDICTOR = SimpleNamespace(signature=SIGNATURE, calibration=SimpleNamespace(level=0.9))


def made_gaps(n=600, visits=4, seed=0, power=0.5):
    """The draws' reach h spreads over three decades, the error is normal of SD h ** power; every second patient has the
    drip beside chemo."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n), visits)
    reach = 10 ** rng.uniform(-1.5, 1.5, subject.size)
    median = rng.normal(0, 5, subject.size)
    totals = np.zeros((subject.size, 2, 2))
    totals[:, 0, 0], totals[:, 1, 1] = 5.0, np.where(subject % 2, 3.0, 0.0)
    return Gaps(
        subject=subject, channel=np.zeros(subject.size, np.int64), after=np.tile(np.arange(1.0, visits + 1), n),
        truth=median + rng.normal(size=subject.size) * reach**power, low=median - reach, median=median,
        high=median + reach, size=np.full(subject.size, 20.0), totals=totals,
    )  # fmt: skip
