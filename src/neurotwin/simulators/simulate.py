"""From a simulator, a population and a protocol to a cohort in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.simulators.checks import require, require_whole
from neurotwin.simulators.engine import NUMPY, Engine, Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.provenance import provenance
from neurotwin.simulators.records import join, record
from neurotwin.simulators.regimens import Regimen
from neurotwin.simulators.simulator import Simulator
from neurotwin.simulators.trial import PLAN, Plan, act_out, draw_block, draw_doses
from neurotwin.solution import OK

BLOCK_SIZE = 1000


def simulate(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    *,
    n_subjects: int,
    seed: int,
    first_subject: int = 0,
    method: Method = "auto",
    engine: Engine = NUMPY,
    noise: bool = True,
    max_rejected: float = 0.01,
) -> Cohort:
    """Virtual patients go through a trial.

    A subject depends on the seed and its number alone: ``first_subject`` continues a cohort. Its id is ``SEED-NUMBER``.
    Rejected subjects (see `engine`) are left out and counted in ``provenance["rejected"]``. The true parameters, and
    what was drawn for the policy, stand in ``truth``.

    Args:
        method: how the equations are solved, see `engine.solve`.
        engine: what solves them.
        noise: False leaves out assay error and limits of quantification.
        max_rejected: greatest share of rejected subjects.

    Raises:
        SimulationError: a protocol that does not fit the simulator, numbers out of range, too many rejected subjects.
    """
    check_request(protocol, simulator, n_subjects, seed, first_subject)
    about = provenance(simulator, population, protocol, n_subjects, seed, method, engine)
    about |= {"first_subject": first_subject, "noise": noise}
    parts, statuses = [], []
    for subjects in _blocks(first_subject, n_subjects):
        block = draw_block(simulator, population, protocol, subjects, seed)
        course = act_out(block, protocol, method=method, engine=engine)
        parts.append(record(block, course, protocol, subjects, course.status == OK, about))
        statuses.append(course.status)
    return join(parts, np.concatenate(statuses), max_rejected)


def simulate_plans(
    simulator: Simulator,
    population: Population,
    protocol: Protocol,
    *,
    plans: Mapping[str, Sequence[Regimen] | None],
    cut: float,
    n_subjects: int,
    seed: int,
    first_subject: int = 0,
    method: Method = "auto",
    engine: Engine = NUMPY,
    noise: bool = True,
    max_rejected: float = 0.01,
) -> dict[str, Cohort]:
    """Counterfactual truth: the same patients, seen at the same visits with the same assay errors, under each plan.

    Up to ``cut`` all cohorts are identical, bit for bit. From then on the doses are those of the plan, whose regimens
    count time from the cut; None goes on as the protocol does. Infusions that run at the cut stop there, as in the
    runtime. A subject rejected under one plan is left out of all. With ``noise=False`` the values are the outcomes.

    Raises:
        SimulationError: as `simulate`, or a cut outside the trial.
    """
    check_request(protocol, simulator, n_subjects, seed, first_subject)
    require(0 < cut < protocol.horizon, "cut", cut, f"between 0 and the horizon of {protocol.horizon:g}", "plans")
    require(len(plans) > 0, "plans", "empty", "at least one plan", "plans")
    for regimens in plans.values():
        replace(protocol, regimens=tuple(regimens or ())).check(simulator)
    about = provenance(simulator, population, protocol, n_subjects, seed, method, engine)
    about |= {"first_subject": first_subject, "noise": noise}
    parts: dict[str, list[Cohort]] = {name: [] for name in plans}
    statuses = []
    for subjects in _blocks(first_subject, n_subjects):
        block = draw_block(simulator, population, protocol, subjects, seed)
        courses = {}
        for name, regimens in plans.items():
            plan = None if regimens is None else _plan(simulator, protocol, regimens, cut, subjects, seed)
            courses[name] = act_out(block, protocol, method=method, engine=engine, plan=plan, cut=cut)
        status = np.max([course.status for course in courses.values()], axis=0)
        for name, course in courses.items():
            described = about | {"plan": name, "cut": cut}
            parts[name].append(record(block, course, protocol, subjects, status == OK, described))
        statuses.append(status)
    return {name: join(cohorts, np.concatenate(statuses), max_rejected) for name, cohorts in parts.items()}


def check_request(protocol: Protocol, simulator: Simulator, n_subjects: int, seed: int, first_subject: int) -> None:
    """Raises SimulationError for numbers out of range and a protocol that does not fit the simulator."""
    require_whole("simulate", 1, n_subjects=n_subjects)
    require_whole("simulate", 0, seed=seed, first_subject=first_subject)
    protocol.check(simulator)


def _blocks(first_subject: int, n_subjects: int) -> list[NDArray[np.int64]]:
    numbers = np.arange(first_subject, first_subject + n_subjects)
    return [numbers[begin : begin + BLOCK_SIZE] for begin in range(0, n_subjects, BLOCK_SIZE)]


def _plan(
    simulator: Simulator,
    protocol: Protocol,
    regimens: Sequence[Regimen],
    cut: float,
    subjects: NDArray[np.int64],
    seed: int,
) -> Plan:
    doses = draw_doses(simulator, regimens, subjects, seed, PLAN, protocol.horizon - cut)
    return Plan(cut, replace(doses, time=doses.time + cut, end=doses.end + cut))
