"""The mechanistic engine: a simulator acts out every patient under every arm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import ConfigError
from neurotwin.events import Doses
from neurotwin.simulators.checks import require
from neurotwin.simulators.engine import NUMPY, Engine, Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.records import rejected_error
from neurotwin.simulators.simulate import BLOCK_SIZE, check_request
from neurotwin.simulators.simulator import PopulationDraw, Simulator
from neurotwin.simulators.trial import PLAN, Block, Plan, act_out, draw_block, draw_doses
from neurotwin.solution import OK, REASONS
from neurotwin.trials.courses import Courses, padded
from neurotwin.trials.design import Arm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shifted:
    """A population in which one parameter of everybody is ``factor`` times as large, whatever else is known."""

    population: Population
    parameter: str
    factor: float

    def draw(self, simulator: Simulator, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Raises ConfigError for a parameter that there is not."""
        if self.parameter not in simulator.parameters:
            raise ConfigError(
                f"no parameter {self.parameter!r}", where="trial.shift", expected=" | ".join(simulator.parameters)
            )
        found = self.population.draw(simulator, n, rng)
        own = found.parameters.get(self.parameter, np.full(n, getattr(simulator, self.parameter), dtype=np.float64))
        return found._replace(parameters=found.parameters | {self.parameter: own * self.factor})


def simulate_courses(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    arms: Mapping[str, Arm],
    cut: float,
    *,
    n_subjects: int,
    seed: int,
    method: Method = "auto",
    engine: Engine = NUMPY,
    max_rejected: float = 0.01,
) -> Courses:
    """The same patients, seen at the same visits with the same measurement errors, under each arm.

    Up to ``cut`` the protocol says what is done; from then on the arm does. Patients, visits and errors are those of
    `neurotwin.simulators.simulate.simulate_plans` with the same seed; a patient who cannot be simulated under one arm
    is left out of all.

    Raises:
        ConfigError: visits with a dropout of their own.
        SimulationError: an arm or a protocol that does not fit the simulator, a cut outside it, too many rejected.
    """
    check_request(protocol, simulator, n_subjects, seed, 0)
    require(0 < cut < protocol.horizon, "cut", cut, f"between 0 and the horizon of {protocol.horizon:g}", "trial")
    if protocol.visits.dropout:
        raise ConfigError(
            "the protocol's visits have a dropout of their own",
            where="protocol.visits.dropout",
            expected="0",
            remedy="set that of the trial: dropout.rate=...",
        )
    for arm in arms.values():
        replace(protocol, regimens=tuple(arm.regimens), policy=None).check(simulator)
    parts, statuses = [], []
    for first in range(0, n_subjects, BLOCK_SIZE):
        subjects = np.arange(first, min(first + BLOCK_SIZE, n_subjects))
        block = draw_block(simulator, population, protocol, subjects, seed)
        latent, doses, status = {}, {}, np.zeros(len(subjects), dtype=np.int64)
        for name, arm in arms.items():
            given = draw_doses(simulator, arm.regimens, subjects, seed, PLAN, protocol.horizon - cut)
            plan = Plan(cut, replace(given, time=given.time + cut, end=given.end + cut))
            course = act_out(block, protocol, method=method, engine=engine, plan=plan, cut=cut)
            latent[name], doses[name] = course.value, course.doses
            status = np.maximum(status, course.status)
        ids = np.array([f"{seed}-{number:07d}" for number in subjects])
        parts.append(_courses(block, protocol, ids, cut, latent, doses).take(status == OK))
        statuses.append(status)
    everyone = np.concatenate(statuses)
    counts = {reason: int((everyone == code).sum()) for code, reason in REASONS.items()}
    if error := rejected_error(counts, n_subjects, max_rejected):
        raise error
    return joined(parts)


def _courses(
    block: Block,
    protocol: Protocol,
    ids: NDArray[np.str_],
    cut: float,
    latent: Mapping[str, Array],
    doses: Mapping[str, Doses],
) -> Courses:
    visits, n = block.visits, len(block.leaves)
    width = int(np.bincount(visits.subject, minlength=n).max())
    tables = {name: padded(visits.subject, value, n, width) for name, value in latent.items()}
    measured = {
        name: padded(visits.subject, measure(block, protocol, value), n, width) for name, value in latent.items()
    }
    return Courses(
        block.simulator.schema,
        ids,
        block.statics,
        cut,
        padded(visits.subject, visits.time, n, width),
        measured,
        tables,
        {name: table.take(table.amount != 0).by_subject() for name, table in doses.items()},
    )


def measure(block: Block, protocol: Protocol, value: Array) -> Array:
    """``[visit, obs]`` as the protocol's assays record it; a value beyond a limit is the limit."""
    found = value.copy()
    names = [variable.name for variable in block.simulator.variables]
    for assay in protocol.assays:
        place = names.index(assay.variable)
        found[:, place], _ = assay.measure(value[:, place], block.noise[:, place])
    return found


def joined(parts: list[Courses]) -> Courses:
    """Courses of several blocks of subjects."""
    first = parts[0]
    width = max(part.time.shape[1] for part in parts)
    before = np.cumsum([0, *map(len, parts)]).astype(np.int32)

    def stacked(tables: list[Array]) -> Array:
        gap = [[(0, 0), (0, width - table.shape[1])] + [(0, 0)] * (table.ndim - 2) for table in tables]
        return np.concatenate([np.pad(t, g, constant_values=np.nan) for t, g in zip(tables, gap, strict=True)])

    return replace(
        first,
        ids=np.concatenate([part.ids for part in parts]),
        statics=np.concatenate([part.statics for part in parts]),
        time=stacked([part.time for part in parts]),
        measured={name: stacked([part.measured[name] for part in parts]) for name in first.measured},
        latent={name: stacked([part.latent[name] for part in parts]) for name in first.latent},
        doses={
            name: Doses.concatenate(
                *(
                    replace(part.doses[name], subject=part.doses[name].subject + begin)
                    for part, begin in zip(parts, before, strict=False)
                )
            )
            for name in first.doses
        },
    )
