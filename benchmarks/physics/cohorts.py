"""Cohorts of virtual patients whose covariates are their parameters: made block by block, kept, and joined.

    from benchmarks.physics.cohorts import cohort_of
    cohort = cohort_of(TASKS["glucose"], "test", 1000)

A block is a cohort folder of its own, so a run that was stopped goes on with the next block.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from benchmarks.physics.tasks import Schedule, Stage, Task
from numpy.typing import NDArray

from neurotwin import compose
from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations, Queries
from neurotwin.schema import Schema, Static
from neurotwin.simulators.engine import solve
from neurotwin.simulators.protocols import Protocol, Visits
from neurotwin.simulators.records import join
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.simulator import Simulator
from neurotwin.simulators.trial import draw_people
from neurotwin.solvers import TorchEngine
from neurotwin.timeline import Timeline, build_timeline

Part = Literal["training", "calibration", "test"]
SEEDS: dict[Part, int] = {"training": 20_261, "test": 20_262, "calibration": 20_263}
WORK = Path("runs/benchmarks/physics")
BLOCK = 1000
ENGINE = TorchEngine(compiled=True)


def cohort_of(task: Task, part: Part, patients: int) -> Cohort:
    """The first ``patients`` of a part, without assay error; blocks that are there are read."""
    size = min(patients, BLOCK)
    blocks = [Cohort.load(_block(task, part, number, size)) for number in range(-(-patients // size))]
    whole = join(blocks, np.zeros(len(blocks) * size, dtype=np.int64), 0.0)
    # A block may be older than the scale that a variable is now modelled on, which changes no value.
    schema = whole.schema.model_copy(update={"variables": task.variables})
    return replace(whole, schema=schema).take(np.arange(min(patients, len(whole))))


def setting_of(task: Task, schedule: Schedule | None = None) -> tuple[Simulator, Any, Protocol]:
    """Simulator, population and protocol: the regimens of the configured protocol at the schedule's visits (those that
    are asked, unless another is given)."""
    wanted = [f"simulator={task.simulator}", f"protocol={task.protocol}", "population=proposed"]
    config = compose.compose("simulate", wanted)
    simulator, population, protocol = (
        compose.build(config[name], name) for name in ("simulator", "population", "protocol")
    )
    seen = schedule or task.asked
    visits = Visits(start=seen.start, interval=seen.interval)
    regimens = protocol.regimens if task.treated else ()
    return simulator, population, Protocol(horizon=seen.horizon, visits=visits, regimens=regimens)


def _block(task: Task, part: Part, number: int, size: int = BLOCK) -> Path:
    schedule = task.training_schedule if part == "training" else task.asked
    seen = "" if schedule == task.asked else f"_{schedule.horizon:g}_{schedule.interval:g}"
    small = "" if size == BLOCK else f"_{size}"
    folder = WORK / "blocks" / task.name / f"{part}_{number:03d}{seen}{small}"
    if not (folder / "cohort.json").exists():
        make = _overlapping if task.overlapping else _simulated
        made = make(task, schedule, SEEDS[part], np.arange(number * size, (number + 1) * size))
        told_parameters(task, made).save(folder)
    return folder


def _simulated(task: Task, schedule: Schedule, seed: int, subjects: NDArray[np.int64]) -> Cohort:
    return simulate(
        *setting_of(task, schedule),
        n_subjects=len(subjects),
        first_subject=int(subjects[0]),
        seed=seed,
        method="rk4",
        engine=ENGINE,
        noise=False,
    )


def _overlapping(task: Task, schedule: Schedule, seed: int, subjects: NDArray[np.int64]) -> Cohort:
    """As `_simulated`, untreated, for visits so close that the windows they look back on overlap: the course is asked
    once at each instant of a grid, from which all windows are cut."""
    simulator, population, protocol = setting_of(task, schedule)
    people = draw_people(simulator, population, subjects, seed)
    model = replace(simulator, **people.parameters)
    states = grid_states(model, schedule.horizon)
    length, samples = model.window or (0.0, 1)
    spacing = length / (samples - 1)
    visits, _ = protocol.visits.draw(np.random.default_rng(0), schedule.horizon)
    place = np.round(visits / spacing).astype(np.int64)[:, None] + np.arange(1 - samples, 1)
    place = np.maximum(place, 0)  # as the simulator has it: what lies before time 0 is moved to it
    value = np.stack([np.asarray(model.observe(states[:, window])) for window in place], axis=1)
    index = np.indices(value.shape)
    seen = Observations.of(index[0].ravel(), visits[index[1].ravel()], index[2].ravel(), value.ravel())
    truth = {name: np.broadcast_to(getattr(model, name), len(subjects)).astype(np.float64) for name in model.parameters}
    return Cohort.build(
        model.schema,
        [f"{seed}-{number:07d}" for number in subjects],
        people.statics,
        seen,
        Doses.of(),
        split_key=model.name,
        truth=truth,
        provenance={"simulator": model.name, "seed": seed, "first_subject": int(subjects[0]), "grid": spacing},
    )


def grid_states(model: Simulator, horizon: float, engine: TorchEngine = ENGINE) -> NDArray[np.float64]:
    """States ``[subject, instant, state]`` at every sampling instant of the model's window from 0 on, untreated."""
    timeline = grid_timeline(model, horizon)
    solution = solve(model, timeline, method="rk4", engine=engine)
    begin = np.asarray(model.initial_state(len(timeline.start)))[:, None]
    return np.concatenate([begin, solution.at_query], axis=1)


def grid_timeline(model: Simulator, horizon: float) -> Timeline:
    """One row per sampling interval of the model's window."""
    n, (length, samples) = model.batch_size or 1, model.window or (1.0, 2)
    grid = np.arange(1, round(horizon * (samples - 1) / length) + 1) * length / (samples - 1)
    return build_timeline(
        start=np.zeros(n),
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=1,
        n_treatments=len(model.treatments),
        observations=Observations.of([], [], [], []),
        doses=Doses.of(),
        queries=Queries.of(np.repeat(np.arange(n), len(grid)), np.tile(grid, n)),
        max_step=length / (samples - 1),
    )


def told_parameters(task: Task, cohort: Cohort) -> Cohort:
    """The cohort with the task's variables, time unit and covariates."""
    names = [variable.name for variable in cohort.schema.variables]
    wanted = [names.index(variable.name) for variable in task.variables]
    seen = cohort.observations.take(np.isin(cohort.observations.variable, wanted))
    position = np.zeros(len(names), dtype=np.int16)
    position[wanted] = np.arange(len(wanted))
    seen = replace(seen, variable=position[seen.variable])
    told = task.covariates(cohort.truth)
    schema = Schema(
        name=f"physics_{task.name}",
        time_unit=cohort.schema.time_unit,
        variables=task.variables,
        treatments=cohort.schema.treatments if task.treated else (),
        statics=tuple(Static(name=name) for name in told),
    )
    return replace(
        cohort, schema=schema, observations=seen, statics=np.stack([told[static.name] for static in schema.statics], 1)
    )


def pieces_of(seen: Schedule, stage: Stage, cohort: Cohort, rng: np.random.Generator) -> Cohort:
    """`Stage.each` pieces of every patient's course as subjects of their own: `Stage.segment` visits, from one drawn at
    random on, where the whole state is seen. Times count from the first visit of the piece, at 0."""
    n = len(cohort)
    first = ((seen.visits - stage.segment + 1) * rng.random(n * stage.each) ** stage.early).astype(np.int64)
    owner = np.repeat(np.arange(n), stage.each)
    begin = seen.start + first * seen.interval
    end = begin + (stage.segment - 1) * seen.interval
    whole = cohort.take(np.arange(n))
    observations = _within(whole.observations, owner, begin, end)
    given = whole.doses.of_subjects(owner)
    # Of a dose that runs at the begin of a piece or at its end, what lies within; none begins at or after the end.
    acts = (given.end > begin[given.subject]) & (given.time < end[given.subject])
    given = given.take(acts)
    shift, last = begin[given.subject], end[given.subject]
    given = replace(given, time=np.maximum(given.time - shift, 0.0), end=np.minimum(given.end, last) - shift)
    return replace(
        cohort,
        ids=np.array([f"{cohort.ids[patient]}-{number}" for number, patient in enumerate(owner)]),
        fold=cohort.fold[owner],
        statics=cohort.statics[owner],
        observations=observations,
        doses=given,
        truth={},
    )


def _within(
    seen: Observations, owner: NDArray[np.int64], begin: NDArray[np.float64], end: NDArray[np.float64]
) -> Observations:
    part = seen.of_subjects(owner)
    inside = (part.time >= begin[part.subject] - 1e-9) & (part.time <= end[part.subject] + 1e-9)
    part = part.take(inside)
    return replace(part, time=part.time - begin[part.subject])
