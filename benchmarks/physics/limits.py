"""What limits a surrogate, found by asking the simulator itself.

`error_without_beats`: the simulator of `circulation` tells values of the last full beat. Whether a drug that starts
0.3 s before a visit is seen there depends on where in the beat it starts, so a value is a staircase of the time between
the two, with one step per beat. Here the events of each patient are moved by up to half a beat either way, and a
straight line through the answers is taken as the best that can be said without beats; the distance from it is left.

`turned_fates`: a patient of `sepsis` whose fate turns when the inoculum is a little larger or smaller is as hard to
foretell as that change is small.
"""

from dataclasses import replace

import numpy as np
from benchmarks.physics.clocks import block_of
from benchmarks.physics.cohorts import ENGINE
from benchmarks.physics.tasks import Task
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.simulators.reynolds_sepsis import fate
from neurotwin.simulators.trial import act_out

PATIENTS = 60
SHIFTS = np.linspace(-0.5, 0.5, 9)
"""Of all events of a patient, in beats."""
CHANGE = 0.02
"""Of the inoculum, which is drawn from a range of fifty times."""


def error_without_beats(task: Task, cohort: Cohort, scale: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Of the first patients of a cohort: median and 95th percentile of the error over ``scale`` ``[channel]``, by
    channel."""
    people = cohort.take(np.arange(min(len(cohort), PATIENTS)))
    beat = 60.0 / people.truth["heart_rate"]
    courses = []
    for shift in SHIFTS:
        given = people.doses
        later = shift * beat[given.subject]
        moved = replace(people, doses=replace(given, time=given.time + later, end=given.end + later))
        block, protocol = block_of(task, moved)
        names = [variable.name for variable in block.simulator.variables]
        wanted = [names.index(variable.name) for variable in task.variables]
        value = act_out(block, protocol, method="rk4", engine=ENGINE).value[:, wanted]
        courses.append(value.reshape(len(people), -1, len(wanted)))
    table = np.stack(courses)
    line = np.stack([np.ones_like(SHIFTS), SHIFTS], 1)
    left = table - np.einsum("ij,jabc->iabc", line @ np.linalg.pinv(line), table)
    error = (np.abs(left).mean((0, 2)) / scale).T
    return {
        variable.name: {"median": float(np.median(one)), "p95": float(np.quantile(one, 0.95))}
        for variable, one in zip(task.variables, error, strict=True)
    }


def turned_fates(task: Task, cohort: Cohort) -> NDArray[np.bool_]:
    """``[patient]`` whether the fate is another where the inoculum is `CHANGE` larger, or smaller."""
    fates = []
    for factor in (1.0 - CHANGE, 1.0, 1.0 + CHANGE):
        truth = cohort.truth | {"initial_pathogen": factor * cohort.truth["initial_pathogen"]}
        block, protocol = block_of(task, replace(cohort, truth=truth))
        value = act_out(block, protocol, method="rk4", engine=ENGINE).value
        fates.append(np.asarray(fate(value.reshape(len(cohort), -1, value.shape[1])[:, -1])))
    less, same, more = fates
    return np.asarray((less != same) | (more != same))
