"""Seconds per patient, from parameters and events to the answer: the exported surrogate beside the solver it replaces.

CPU time of the process, one thread, least of the repeats, the same patients and visits in one run. Cutting the events
into rows is timed on both sides; compiling, exporting and loading are not.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from benchmarks.physics.cohorts import ENGINE, grid_states, setting_of
from benchmarks.physics.questions import questions_of
from benchmarks.physics.scores import judged_part
from benchmarks.physics.tasks import Task
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes
from neurotwin.events import Queries
from neurotwin.export.graphs import AssimilateGraph, ForecastGraph, SupportScore, write_onnx
from neurotwin.export.parity import history_arrays, plan_arrays, run_onnx
from neurotwin.models import Surrogate
from neurotwin.simulators.protocols import Protocol, Visits
from neurotwin.simulators.trial import Block, act_out

REPEATS, SOLVER_REPEATS = 3, 1


class Exported:
    """A surrogate's two graphs in onnxruntime, one thread."""

    def __init__(self, model: Surrogate, episodes: Episodes) -> None:
        self.model, few = model, episodes.take(np.arange(3))
        size = model.state_size
        support = SupportScore(torch.zeros(size), torch.zeros(size, 1))
        forecast = ForecastGraph(model)
        state = np.zeros((3, size), np.float32)
        history, plan = (table(model.solver.max_step) for table in (few.history, few.plan))
        jobs = (
            (
                AssimilateGraph(model, support),
                history_arrays(history, state),
                ["new_state", "support"],
            ),
            (forecast, plan_arrays(plan, state), forecast.output_names),
        )
        with TemporaryDirectory() as folder:
            self.sessions = [_session(job, Path(folder) / "graph.onnx") for job in jobs]

    def __call__(self, episodes: Episodes) -> NDArray[np.float32]:
        """Quantiles ``[subject, row, obs, quantile]``."""
        step = self.model.solver.max_step
        blank = np.zeros((len(episodes), self.model.state_size), np.float32)
        state = run_onnx(self.sessions[0], history_arrays(episodes.history(step), blank))[0]
        return run_onnx(self.sessions[1], plan_arrays(episodes.plan(step), state))[1]


def _session(job: tuple[torch.nn.Module, dict[str, Any], list[str]], path: Path) -> ort.InferenceSession:
    module, example, outputs = job
    write_onnx(module, {name: torch.as_tensor(value) for name, value in example.items()}, outputs, path, {})
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 3
    return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def seconds_of(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least CPU time of some repeats."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def clock(task: Task, model: Surrogate, cohort: Cohort, told: NDArray[np.float64]) -> dict[str, Any]:
    """Milliseconds per patient of both, for all patients of the cohort at once and for one alone, and how far the
    exported surrogate's quantiles are from those of the torch model (``told`` ``[query, obs, quantile]``)."""
    episodes, _ = questions_of(task, judged_part(task, cohort))
    exported, one, n = Exported(model, episodes), episodes.take(np.arange(1)), len(cohort)
    answer = exported(episodes)[episodes.queries.subject, episodes.plan(model.solver.max_step).query_row]
    return {
        "patients": n,
        "parity": float(np.abs(answer - told).max() / np.abs(told).max()),
        "surrogate_ms": 1e3 * seconds_of(lambda: exported(episodes)) / n,
        "surrogate_one_ms": 1e3 * seconds_of(lambda: exported(one), 10),
        "solver_ms": 1e3 * seconds_of(solver_of(task, cohort), SOLVER_REPEATS) / n,
    }


def solver_of(task: Task, cohort: Cohort) -> Callable[[], Any]:
    """What the project's compiled solver does for the patients of a cohort, after it has compiled."""
    if task.overlapping:
        simulator, _, _ = setting_of(task)
        model = replace(simulator, **{name: cohort.truth[name] for name in simulator.parameters})
        grid_states(model, 10.0)
        return lambda: grid_states(model, task.asked.horizon)
    block, protocol = block_of(task, cohort)
    short = float(block.visits.time.max()) / 50
    act_out(block, replace(protocol, horizon=short, visits=Visits(interval=short)), method="rk4", engine=ENGINE)
    return lambda: act_out(block, protocol, method="rk4", engine=ENGINE)


def block_of(task: Task, cohort: Cohort) -> tuple[Block, Protocol]:
    """The patients, events and judged visits of a cohort as the simulator takes them."""
    simulator, _, protocol = setting_of(task)
    model, patients = replace(simulator, **{name: cohort.truth[name] for name in simulator.parameters}), len(cohort)
    seen = judged_part(task, cohort).observations
    times = np.unique(seen.time[seen.subject == 0])
    block = Block(
        simulator=model,
        statics=np.zeros((patients, 0)),
        visits=Queries.of(np.repeat(np.arange(patients), len(times)), np.tile(times, patients)),
        leaves=np.full(patients, np.inf),
        planned=cohort.doses,
        policy={},
        noise=np.zeros((0, len(model.variables), 2)),
    )
    return block, protocol
