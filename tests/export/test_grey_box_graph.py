"""A grey box leaves torch: mechanism, nonlinear jump and learned residual in one ONNX graph, rows and batch dynamic."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from simulator_cases import SIMULATORS, configured, doses_for, population_of, timeline_of

from neurotwin.export.graphs import PLAN_INPUTS, write_onnx
from neurotwin.models.mechanism.grey_box import GreyBox
from neurotwin.solvers import Rk4, Rows, odesolve


class Graph(torch.nn.Module):
    """The states where a plan asks, and the last one."""

    def __init__(self, box, max_step):
        super().__init__()
        self.box, self.solver = box, Rk4(max_step)

    def forward(self, state, dt, control, jump, query_at, peek):
        empty = dt.new_zeros(*dt.shape, 1)
        clock = torch.zeros_like(state[:, 0])
        rows = Rows(dt, control, jump, empty, empty, empty, query_at, peek)
        solution = odesolve(
            self.box.vector_field,
            state,
            rows,
            start=clock,
            static=state[:, :0],
            solver=self.solver,
            jump=self.box.jump,
        )
        return solution.at_query, solution.final


def inputs(simulator, free, n, steps):
    """A plan of ``n`` drawn patients."""
    drawn = population_of(simulator, n, seed=n).parameters
    mine = replace(simulator, **drawn)
    times = np.array([3.0, 4.6, steps]) * simulator.max_step
    doses = doses_for(simulator, n, unit=2 * simulator.max_step)
    rows = Rows.of(timeline_of(simulator, times, doses, n, max_step=simulator.max_step))
    parameters = np.stack([drawn[key] for key in free], axis=1)
    state = np.concatenate([np.asarray(mine.initial_state(n)), parameters], axis=1)
    return {"state": torch.from_numpy(state).float()} | {key: getattr(rows, key) for key in PLAN_INPUTS[1:]}


def check(name, tmp_path, residual):
    simulator = configured("simulator", name)
    drawn = population_of(simulator, 2).parameters
    free = [key for key in drawn if not simulator.parameters[key].shape][:4]
    width = len(simulator.states)
    scale = np.maximum(np.abs(np.asarray(simulator.initial_state(1)))[0], 1e-2).tolist()
    told = width + len(free) + len(simulator.treatments)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(told, 8), torch.nn.SiLU(), torch.nn.Linear(8, width))
    graph = Graph(GreyBox(simulator, free=free, scale=scale, residual=net if residual else None), simulator.max_step)
    path = tmp_path / "graph.onnx"
    write_onnx(graph, inputs(simulator, free, 2, 9), ["at_query", "final"], path, {})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n, steps in ((1, 5), (4, 14)):
        given = inputs(simulator, free, n, steps)
        with torch.no_grad():
            theirs = graph(*given.values())
        mine = session.run(None, {key: value.numpy() for key, value in given.items()})
        for ours, reference in zip(mine, theirs, strict=True):
            size = reference.abs().amax(dim=tuple(range(reference.ndim - 1))).clamp(min=1e-3).numpy()
            assert (np.abs(ours - reference.numpy()) / size).max() < 1e-5


def test_mechanism_jump_and_residual_export_at_parity(tmp_path):
    check("geng_nsclc", tmp_path, residual=True)


NOT_YET = {"tau_network"}
"""Its 80 x 80 matrix is checked again each time that the mechanism is rebuilt, which torch's tracing cannot follow."""


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in SIMULATORS if name not in NOT_YET])
def test_every_mechanism_exports_at_parity(name, tmp_path):
    check(name, tmp_path, residual=False)
