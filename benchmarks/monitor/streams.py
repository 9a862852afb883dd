"""Streams of patients drawn from a pool: what they were before a change, and after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.monitoring.checks import check_all
from neurotwin.monitoring.features import Table, input_features
from neurotwin.monitoring.performance import performance_features, try_to_ask
from neurotwin.monitoring.reference import Reference
from neurotwin.monitoring.stream import watch
from neurotwin.runtime import Predictor

TRAINED, HELD_OUT = 600, 200
"""Patients of a reference: those of training tell the inputs, others how good forecasts were."""
LEVEL = 0.9


@dataclass(frozen=True)
class Pool:
    """Features of many patients of one simulator, and how many columns are inputs."""

    table: Table
    inputs: int

    @classmethod
    def of(cls, cohort: Cohort, bundle: Path | None) -> "Pool":
        """With forecasts by a bundle, if there is one."""
        table = input_features(cohort)
        inputs = len(table.features)
        if bundle is not None:
            predictor = Predictor.load(bundle)
            answered = try_to_ask(predictor, predictor.calibration, cohort, min_visits=predictor.signature.min_visits)
            if answered is not None:
                table = table.beside(performance_features(answered, predictor.calibration, len(cohort)))
        return cls(table, inputs)

    @property
    def forecasts(self) -> "Pool":
        """Calibration and accuracy alone, as if nobody looked at the inputs."""
        return Pool(Table(self.table.features[self.inputs :], self.table.values[:, self.inputs :]), 0)

    def reference(self, patients: np.ndarray) -> Reference:
        """Of the first ``TRAINED`` of these patients, the accuracy of the next ``HELD_OUT``."""
        split = [range(self.inputs), range(self.inputs, len(self.table.features))]
        parts = [
            Table(tuple(self.table.features[k] for k in columns), self.table.values[np.ix_(rows, list(columns))])
            for columns, rows in zip(split, (patients[:TRAINED], patients[TRAINED : TRAINED + HELD_OUT]), strict=True)
        ]
        return Reference.of(*[part for part in parts if part.features])


def draw(
    before: Pool, after: Pool, *, streams: int, length: int, begin: int, seed: int
) -> Iterator[tuple[Reference, Table]]:
    """A fresh reference and a stream of other patients, changed from patient ``begin`` on."""
    for number in range(streams):
        generator = np.random.default_rng((seed, number))
        chosen = generator.choice(len(before.table), TRAINED + HELD_OUT + length, replace=False)
        own = chosen[TRAINED + HELD_OUT :]
        values = np.concatenate([before.table.values[own[:begin]], after.table.values[own[begin:]]])
        yield before.reference(chosen), Table(before.table.features, values)


def delays(
    before: Pool, after: Pool, *, streams: int, length: int, begin: int = 0, seed: int = 1, window: int = 100
) -> list:
    """Of each stream, patients from the change to the first alarm after it (None: no alarm), the feature that raised
    it, and whether there was an alarm before the change."""
    found = []
    for reference, table in draw(before, after, streams=streams, length=length, begin=begin, seed=seed):
        flags = watch(table, reference, level=LEVEL, window=window).flags
        late = [flag for flag in flags if flag.patients > begin]
        early = any(flag.patients <= begin for flag in flags)
        first = late[0] if late else None
        found.append((None if first is None else first.patients - begin, first and first.feature, early))
    return found


def alarms(before: Pool, after: Pool, *, runs: int, n: int, seed: int = 2) -> tuple[int, int]:
    """Runs with an alarm on cohorts of ``n`` patients; and those with any single test below 1 %, uncorrected."""
    count = naive = 0
    for reference, table in draw(before, after, streams=runs, length=n, begin=0, seed=seed):
        checks, _ = check_all(table, reference, level=LEVEL, false_alarm=0.01)
        count += any(one.verdict == "alarm" for one in checks)
        naive += any((one.chance or 1.0) <= 0.01 for one in checks)
    return count, naive
