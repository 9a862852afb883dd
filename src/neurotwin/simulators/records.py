"""From what became of virtual patients to the records that a cohort holds of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.errors import SimulationError
from neurotwin.events import Doses, Observations
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.simulator import Simulator
from neurotwin.simulators.trial import Block, Course
from neurotwin.solution import REASONS

Array = NDArray[np.float64]


def record(
    block: Block,
    course: Course,
    protocol: Protocol,
    subjects: NDArray[np.int64],
    kept: NDArray[np.bool_],
    about: dict[str, Any],
) -> Cohort:
    """The records of a block, less the rejected subjects."""
    simulator, index = block.simulator, np.flatnonzero(kept)
    observations = _observations(block, course, protocol, about["noise"])
    given = course.doses.take((course.doses.time <= block.leaves[course.doses.subject]) & (course.doses.amount != 0))
    truth = _truth(simulator, len(subjects))
    truth |= {f"policy_{name}": value for name, value in block.policy.items() if value.ndim == 1}
    return Cohort.build(
        simulator.schema,
        [f"{about['seed']}-{number:07d}" for number in subjects[index]],
        block.statics[index],
        observations.by_subject().of_subjects(index),
        given.by_subject().of_subjects(index),
        split_key=simulator.name,
        truth={name: value[index] for name, value in truth.items()},
        provenance=about,
    )


def _observations(block: Block, course: Course, protocol: Protocol, noise: bool) -> Observations:
    assays = {assay.variable: assay for assay in protocol.assays} if noise else {}
    tables = []
    for index, variable in enumerate(block.simulator.variables):
        value, censor = course.value[:, index], np.zeros(len(course.value), np.int8)
        if variable.name in assays:
            value, censor = assays[variable.name].measure(value, block.noise[:, index])
        tables.append(Observations.of(block.visits.subject, block.visits.time, index, value, censor))
    return Observations.concatenate(*tables)


def _truth(simulator: Simulator, n: int) -> dict[str, Array]:
    """The parameters, one column per number; constants that are arrays are left out."""
    columns = {}
    for name, parameter in simulator.parameters.items():
        value = np.asarray(getattr(simulator, name), dtype=np.float64)
        if not parameter.shape:
            columns[name] = np.broadcast_to(value, (n,)).copy()
        elif value.ndim > len(parameter.shape):
            columns |= {f"{name}_{number}": column for number, column in enumerate(value.reshape(n, -1).T)}
    return columns


def join(parts: list[Cohort], status: NDArray[np.int64], max_rejected: float) -> Cohort:
    """One cohort of several, with the rejected counted."""
    counts = {reason: int((status == code).sum()) for code, reason in REASONS.items()}
    if error := rejected_error(counts, len(status), max_rejected):
        raise error
    first, observations, doses = parts[0], [], []
    for part, begin in zip(parts, np.cumsum([0, *map(len, parts)]).astype(np.int32), strict=False):
        observations.append(replace(part.observations, subject=part.observations.subject + begin))
        doses.append(replace(part.doses, subject=part.doses.subject + begin))
    return replace(
        first,
        ids=np.concatenate([part.ids for part in parts]),
        fold=np.concatenate([part.fold for part in parts]),
        statics=np.concatenate([part.statics for part in parts]),
        observations=Observations.concatenate(*observations),
        doses=Doses.concatenate(*doses),
        truth={name: np.concatenate([part.truth[name] for part in parts]) for name in first.truth},
        provenance=first.provenance | {"rejected": counts},
    )


def rejected_error(counts: Mapping[str, int], n_subjects: int, max_rejected: float) -> SimulationError | None:
    """The error to raise if more than the allowed share of subjects was rejected."""
    total = sum(counts.values())
    if total <= max_rejected * n_subjects:
        return None
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
    return SimulationError(
        f"{total} of {n_subjects} trajectories were rejected ({reasons})",
        where="simulate",
        expected=f"at most {max_rejected:.2%}",
        remedy="check parameters and doses, choose a finer method, or raise max_rejected",
    )
