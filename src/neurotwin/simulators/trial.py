"""One block of virtual patients goes through a protocol: everything random is drawn first, then it is acted out.

Every subject has its own random streams, keyed by its number and by what is drawn. So a subject's course depends on the
seed and its number alone: not on the block it is in, nor on how many random numbers another part of the trial uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.simulators.engine import NUMPY, Engine, Method, solve
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.regimens import Given, Regimen
from neurotwin.simulators.simulator import PopulationDraw, Simulator
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]

MAX_DRAWS = 100
POPULATION, VISITS, TREATMENT, POLICY, ASSAY, PLAN = range(6)


def stream(seed: int, subject: int, purpose: int) -> np.random.Generator:
    """Random numbers of one subject for one purpose."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(subject, purpose))))


class Block(NamedTuple):
    """What was drawn for some subjects.

    Attributes:
        simulator: with the subjects' parameters.
        statics: ``[batch, static]`` raw covariates.
        visits: the queries of all visits, by subject and time.
        leaves: ``[batch]`` when each subject drops out.
        planned: doses of the regimens.
        policy: the policy's draws, stacked over subjects; empty without one.
        noise: ``[visit, obs, 2]`` standard normal.
    """

    simulator: Simulator
    statics: Array
    visits: Queries
    leaves: Array
    planned: Doses
    policy: dict[str, Array]
    noise: Array


class Course(NamedTuple):
    """What became of a block: ``value`` ``[visit, obs]`` without assay error, the ``doses`` given, and each subject's
    ``status`` ``[batch]`` (see `engine.Solution`)."""

    value: Array
    doses: Doses
    status: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """From time ``cut`` on, these doses instead of what the protocol does; periods that run at the cut stop there."""

    cut: float
    doses: Doses


def draw_block(
    simulator: Simulator, population: Population, protocol: Protocol, subjects: NDArray[np.int64], seed: int
) -> Block:
    """Draw the virtual patients with these numbers and everything random about their trial."""
    drawn = draw_people(simulator, population, subjects, seed)
    visits = [protocol.visits.draw(stream(seed, int(number), VISITS), protocol.horizon) for number in subjects]
    counts = [len(times) for times, _ in visits]
    shape = (len(simulator.variables), 2)
    return Block(
        simulator=replace(simulator, **drawn.parameters),
        statics=drawn.statics,
        visits=Queries.of(np.repeat(np.arange(len(subjects)), counts), np.concatenate([times for times, _ in visits])),
        leaves=np.array([leaves for _, leaves in visits]),
        planned=draw_doses(simulator, protocol.regimens, subjects, seed, TREATMENT, protocol.horizon),
        policy=_draw_policy(protocol, subjects, seed),
        noise=np.concatenate(
            [
                stream(seed, int(number), ASSAY).standard_normal((count, *shape))
                for number, count in zip(subjects, counts, strict=True)
            ]
        ),
    )


def draw_people(simulator: Simulator, population: Population, subjects: NDArray[np.int64], seed: int) -> PopulationDraw:
    """Virtual patients who pass the simulator's own `Simulator.screen`; who does not is drawn again.

    Raises:
        SimulationError: some subject did not pass in `MAX_DRAWS` draws.
    """
    streams = [stream(seed, int(number), POPULATION) for number in subjects]
    people: dict[int, PopulationDraw] = {}
    left = np.arange(len(subjects))
    for _ in range(MAX_DRAWS):
        drawn = _stacked([population.draw(simulator, 1, streams[position]) for position in left])
        accepted, found = replace(simulator, **drawn.parameters).screen()
        accepted = np.broadcast_to(accepted, len(left))
        parameters = drawn.parameters | {name: np.asarray(value) for name, value in found.items()}
        for row in np.flatnonzero(accepted):
            one = {name: value[row : row + 1] for name, value in parameters.items()}
            people[int(left[row])] = PopulationDraw(one, drawn.statics[row : row + 1])
        left = left[~accepted]
        if not len(left):
            return _stacked([people[position] for position in range(len(subjects))])
    raise SimulationError(
        f"{len(left)} of {len(subjects)} subjects were not physiologically possible in {MAX_DRAWS} draws",
        where=f"population of {simulator.name}",
        remedy="bring the simulator's parameters nearer to its defaults",
    )


def _stacked(people: Sequence[PopulationDraw]) -> PopulationDraw:
    return PopulationDraw(
        {name: np.concatenate([one.parameters[name] for one in people]) for name in people[0].parameters},
        np.concatenate([one.statics for one in people]),
    )


def draw_doses(
    simulator: Simulator,
    regimens: Sequence[Regimen],
    subjects: NDArray[np.int64],
    seed: int,
    purpose: int,
    horizon: float,
) -> Doses:
    """The doses of some regimens, for subjects numbered 0.. within the block."""
    if not regimens:
        return Doses.of()
    names = [treatment.name for treatment in simulator.treatments]
    rows: list[tuple[int, int, Given]] = []
    for position, number in enumerate(subjects):
        rng = stream(seed, int(number), purpose)
        rows.extend((position, names.index(regimen.treatment), regimen.draw(rng, horizon)) for regimen in regimens)
    counts = [len(given.time) for _, _, given in rows]
    time, end, amount = (np.concatenate([getattr(given, name) for _, _, given in rows]) for name in Given._fields)
    return Doses.of(
        np.repeat([p for p, _, _ in rows], counts), time, end, np.repeat([t for _, t, _ in rows], counts), amount
    )


def _draw_policy(protocol: Protocol, subjects: NDArray[np.int64], seed: int) -> dict[str, Array]:
    if protocol.policy is None:
        return {}
    n_decisions = len(_decision_times(protocol))
    drawn = [protocol.policy.draw(stream(seed, int(number), POLICY), n_decisions) for number in subjects]
    return {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}


def act_out(
    block: Block,
    protocol: Protocol,
    *,
    method: Method = "auto",
    engine: Engine = NUMPY,
    plan: Plan | None = None,
    cut: float | None = None,
) -> Course:
    """Go through the protocol, from one decision to the next.

    Courses with the same ``cut`` are cut at the same instants: they agree bit for bit up to it, whatever the plan.
    """
    simulator, n = block.simulator, len(block.leaves)
    cut = plan.cut if plan is not None else cut
    decisions = _decision_times(protocol)
    nodes = np.unique(np.concatenate([[0.0, protocol.horizon], decisions, [] if cut is None else [cut]]))
    nodes = nodes[nodes <= protocol.horizon]
    doses = block.planned if plan is None else _switch(block.planned, plan)
    state, status = np.asarray(simulator.initial_state(n)), np.zeros(n, dtype=np.int64)
    asked = look_back(simulator, block.visits)
    states = np.full((len(asked), len(simulator.states)), np.nan)
    slot = np.clip(np.searchsorted(nodes, asked.time) - 1, 0, None)
    seen: list[Array] = []
    for number, (begin, end) in enumerate(pairwise(nodes)):
        if protocol.policy is not None and begin in decisions and (plan is None or begin < plan.cut):
            decided, marker = _decide(protocol, block, state, seen, begin, end)
            seen.append(marker)
            doses = Doses.concatenate(doses, decided)
        here = np.flatnonzero(slot == number)
        timeline = _between(simulator, begin, end, doses, asked.take(here), n)
        solution = solve(simulator, timeline, method=method, state=state, status=status, engine=engine)
        states[here] = solution.at_query[asked.subject[here], timeline.query_row]
        state, status = solution.final, solution.status
    return Course(_observed(block, states), doses, status)


def look_back(simulator: Simulator, visits: Queries) -> Queries:
    """The instants that observations at some visits look back on, visit by visit; without a window the visits."""
    if simulator.window is None:
        return visits
    length, samples = simulator.window
    time = np.maximum(visits.time[:, None] - length * np.linspace(1.0, 0.0, samples), 0.0)
    return Queries.of(np.repeat(visits.subject, samples), time.ravel(), np.repeat(visits.post_dose, samples))


def _observed(block: Block, states: Array) -> Array:
    """The variables ``[visit, obs]`` at all visits."""
    subject = block.visits.subject
    everyone = block.simulator.take(subject) if block.simulator.batch_size else block.simulator
    if everyone.window is not None:
        states = states.reshape(len(subject), everyone.window.samples, -1)
    with np.errstate(all="ignore"):  # subjects that have failed
        return np.asarray(everyone.observe(states))


def _decision_times(protocol: Protocol) -> Array:
    if protocol.policy is None:
        return np.zeros(0)
    return np.asarray(np.arange(np.ceil(protocol.horizon / protocol.policy.interval)) * protocol.policy.interval)


def _switch(planned: Doses, plan: Plan) -> Doses:
    """Doses before the cut as planned, periods ended at the cut, then those of the plan."""
    kept = planned.take(planned.time < plan.cut)
    return Doses.concatenate(replace(kept, end=np.minimum(kept.end, plan.cut)), plan.doses)


def _decide(
    protocol: Protocol, block: Block, state: Array, seen: list[Array], begin: float, end: float
) -> tuple[Doses, Array]:
    """The policy's doses at ``begin``, and the variable that it looked at, ``[batch]``."""
    policy, simulator = protocol.policy, block.simulator
    if policy is None:
        raise SimulationError("no policy", where="protocol")
    variable = [item.name for item in simulator.variables].index(policy.variable)
    marker = np.asarray(simulator.observe(state))[:, variable]
    with np.errstate(invalid="ignore"):  # subjects that have failed
        amount = policy.decide(np.stack([*seen, marker], axis=1), block.policy)
    given = [Doses.of()]
    for column, name in enumerate(policy.treatments):
        treatment = [item.name for item in simulator.treatments].index(name)
        subject = np.flatnonzero(amount[:, column] > 0)
        until = np.nan if simulator.treatments[treatment].kind == "bolus" else end
        given.append(Doses.of(subject, begin, until, treatment, amount[subject, column]))
    return Doses.concatenate(*given), marker


def _between(simulator: Simulator, begin: float, end: float, doses: Doses, visits: Queries, n: int) -> Timeline:
    """The stretch from ``begin`` to ``end`` as a timeline that ends there for everyone."""
    doses = simulator.acted_out(doses)
    bolus = doses.is_bolus
    acts = np.where(bolus, doses.time >= begin, doses.end > begin) & (doses.time < end)
    acting = doses.take(acts)
    acting = replace(acting, end=np.minimum(acting.end, end))
    stop = Observations.of(np.arange(n), end, 0, 0.0)
    empty = np.zeros((n, 0))
    return build_timeline(
        start=np.full(n, begin),
        static=empty,
        static_mask=empty,
        n_variables=1,
        n_treatments=len(simulator.treatments),
        observations=stop,
        doses=acting,
        queries=visits,
        max_step=end - begin,
    )
