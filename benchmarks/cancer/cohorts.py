"""Training and validation patients as a neurotwin cohort: what a learned model is trained on.

The volume is modelled as its logarithm, with no offset: increments of ln volume are then exactly what the relative
growth of the simulator makes of them, at every size. A logarithm needs volumes above 0, and only the last entry of a
patient who recovered is 0: that entry is left out (a tumour that is gone has no diameter), as it is on every test
track. No scored row has such an entry in its past.

Treatments are boluses of amount 1 on a day, given after that day's measurement. The published training patients are
folds 0 (training), the published validation patients folds 3 (validation) and 4 (held back for `neurotwin evaluate`).
No test patient is in the cohort.
"""

from pathlib import Path

import numpy as np
from benchmarks.cancer.sets import WORK, Sets
from benchmarks.cancer.simulator import Factual, Patients
from benchmarks.cancer.tracks import Track, measure
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable

SCHEMA = Schema(
    name="cancer_benchmark",
    time_unit="d",
    variables=(Variable(name="tumour_volume", unit="cm3", transform="log", plausible=(0.0, 2000.0)),),
    treatments=(
        Treatment(name="chemotherapy", unit="1", kind="bolus"),
        Treatment(name="radiotherapy", unit="1", kind="bolus"),
    ),
    statics=(Static(name="patient_type", levels=("1", "2", "3")),),
)


def cohort_folder(sets: Sets, track: Track, *, gamma: float, seed: int, work: Path = WORK) -> Path:
    """Folder of the cohort, written unless it is there."""
    folder = work / "cohorts" / f"{track.name}_gamma{gamma:g}_seed{seed}"
    if not (folder / "cohort.json").exists():
        make_cohort(sets, track, gamma=gamma, seed=seed).save(folder)
    return folder


def make_cohort(sets: Sets, track: Track, *, gamma: float, seed: int) -> Cohort:
    """The published training and validation patients as measured on a track."""
    parts = (("train", sets.train, sets.train_patients), ("validation", sets.validation, sets.validation_patients))
    ids: list[str] = []
    kinds, folds, observations, doses = [], [], [], []
    for name, factual, patients in parts:
        measured = measure(factual.volume, factual.last, track, gamma=gamma, seed=seed, part=name)
        observations.append(observations_of(measured, len(ids)))
        doses.append(_doses(factual, len(ids)))
        kinds.append(statics_of(patients))
        folds.append(np.zeros(len(patients), int) if name == "train" else 3 + np.arange(len(patients)) % 2)
        ids += [f"{name}-{number}" for number in range(len(patients))]
    return Cohort.build(
        SCHEMA,
        ids,
        np.concatenate(kinds),
        Observations.concatenate(*observations),
        Doses.concatenate(*doses),
        split_key="published",
        fold=np.concatenate(folds).tolist(),
        provenance={"benchmark": "cancer", "gamma": gamma, "seed": seed, "track": vars(track)},
    )


def statics_of(patients: Patients) -> NDArray[np.float64]:
    """``[patient, 1]`` level index of the patient type."""
    return (patients.kind - 1.0)[:, None]


def observations_of(measured: NDArray[np.float64], first: int = 0) -> Observations:
    """Flat table of the volumes measured ``[patient, day]``; subjects are numbered from ``first``."""
    patient, day = np.nonzero(np.isfinite(measured))
    return Observations.of(first + patient, day, 0, measured[patient, day])


def _doses(factual: Factual, first: int) -> Doses:
    """What was given before the last day: a later dose shows in nothing."""
    tables = []
    for treatment, flags in enumerate((factual.chemo, factual.radio)):
        patient, day = np.nonzero((flags > 0) & (np.arange(flags.shape[1]) < factual.last[:, None]))
        tables.append(Doses.of(first + patient, day, np.nan, treatment, 1.0))
    return Doses.concatenate(*tables)
