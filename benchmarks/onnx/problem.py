"""What is forecast: one patient, or many, along 90 daily rows, by a neural ODE of 8 states and 64 units."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.export import Source
from neurotwin.export.graphs import PLAN_INPUTS, ForecastGraph
from neurotwin.models import NeuralOde
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema, Static, Treatment, Variable
from neurotwin.solvers import Rk4, Rows

STATE, UNITS, ROWS, STAGES = 8, 64, 90, 4
SUBJECTS = 60

Arrays = dict[str, NDArray[np.float32]]


def schema() -> Schema:
    """A tumour's size, two infusions, two covariates."""
    return Schema(
        name="bench",
        time_unit="d",
        variables=(Variable(name="size", unit="mm", plausible=(0, 1000)),),
        treatments=tuple(Treatment(name=name, unit="mg/d", kind="infusion") for name in ("drug", "drip")),
        statics=(Static(name="age", unit="a"), Static(name="weight", unit="kg")),
    )


def cohort(seed: int = 0) -> Cohort:
    """Subjects with ten visits each: enough to scale by, and to export a bundle."""
    rng, known = np.random.default_rng(seed), schema()
    seen, given = [Observations.of([], [], [], [])], [Doses.of()]
    for subject in range(SUBJECTS):
        time = np.r_[0.0, np.sort(rng.uniform(1, 90, 9))].round(3)
        seen.append(Observations.of(subject, time, 0, 50 + 15 * rng.normal(size=len(time))))
        for treatment in range(2):
            begin = np.sort(rng.uniform(0, 80, 3)).round(2)
            given.append(Doses.of(subject, begin, begin + 3, treatment, rng.uniform(1, 3, 3)))
    return Cohort.build(
        known,
        [f"s{subject:03d}" for subject in range(SUBJECTS)],
        np.stack([rng.uniform(20, 80, SUBJECTS), rng.uniform(50, 100, SUBJECTS)], axis=1),
        Observations.concatenate(*seen),
        Doses.concatenate(*given),
        split_key="bench",
        provenance={"simulator": "bench"},
    )


class CourseGraph(torch.nn.Module):
    """State and plan -> the course of the 8 states ``[batch, row, 8]``: the solve, and nothing that is told of it."""

    def __init__(self, model: NeuralOde) -> None:
        super().__init__()
        self.model = model

    def forward(self, state: Tensor, dt: Tensor, control: Tensor, jump: Tensor, query_at: Tensor, peek: Tensor) -> Any:
        """The forecast graph's inputs."""
        part, empty = self.model.unpack(state), dt.new_zeros(*dt.shape, 1)
        rows = self.model.scaler.rows(Rows(dt, control, jump, empty, empty, empty, query_at, peek))
        clock, static = part["clock"].squeeze(-1), part["static"]
        return (self.model.act(part["core"], rows, clock, static, observe=False).at_query[..., :STATE],)


class Problem:
    """The model, its weights drawn and not trained, and plans of patients.

    Attributes:
        model: `neurotwin.models.NeuralOde` with one draw, so that a forecast is one solve.
        flops: multiplications and additions of one patient's solve, with what controls and covariates add counted once
            per row and once per patient.
    """

    def __init__(self, rows: int = ROWS, seed: int = 0) -> None:
        self.cohort, self.rows = cohort(), rows
        self.scaling = Scaling.fit(self.cohort.part("train"))
        torch.manual_seed(seed)
        memory = STATE - len(self.cohort.schema.variables)
        self.model = NeuralOde(
            self.cohort.schema, self.scaling, Rk4(1.0), memory=memory, hidden=UNITS, draws=1, use_clock=False
        ).eval()
        for layer in self.model.field.linears:  # type: ignore[union-attr,operator]
            torch.nn.init.normal_(layer.weight, std=1.5 / layer.in_features**0.5)
            torch.nn.init.normal_(layer.bias, std=0.3)
        self.graph = ForecastGraph(self.model).eval()
        slope = STATE * UNITS + UNITS * UNITS + UNITS * STATE
        self.flops = 2 * (rows * (STAGES * slope + self.model.n_control * UNITS) + self.model.n_static * UNITS)

    def inputs(self, batch: int, seed: int = 1) -> Arrays:
        """The forecast graph's inputs: asked at the end of each day."""
        rng, shape = np.random.default_rng(seed), (batch, self.rows)
        state = torch.as_tensor(rng.standard_normal((batch, self.model.state_size)), dtype=torch.float32)
        first, last = self.model.layout["clock"]
        state[:, first:last] = 0.0
        control = rng.uniform(0, 3, (*shape, 2)) * (rng.random((*shape, 2)) < 0.3)
        given = (state.numpy(), np.ones(shape), control, np.zeros((*shape, 2)), np.ones(shape), np.zeros(shape))
        return {name: np.ascontiguousarray(one, np.float32) for name, one in zip(PLAN_INPUTS, given, strict=True)}

    @cached_property
    def double(self) -> ForecastGraph:
        """The forecast in double precision."""
        return ForecastGraph(copy.deepcopy(self.model).double()).eval()

    def truth(self, inputs: Arrays) -> NDArray[np.float64]:
        """The mean ``[batch, row, 1]``, in double precision."""
        with torch.no_grad():
            return self.double(*(torch.as_tensor(one).double() for one in inputs.values()))[0].numpy()

    def course(self, inputs: Arrays) -> NDArray[np.float64]:
        """The 8 states ``[batch, row, 8]``, in double precision."""
        graph = CourseGraph(self.double.model)
        with torch.no_grad():
            return graph(*(torch.as_tensor(one).double() for one in inputs.values()))[0].numpy()

    def source(self, folder: Path) -> Source:
        """What an export needs."""
        parts = {name: len(self.cohort.part(name)) for name in ("train", "validation", "test")}
        data: dict[str, Any] = {"cohort": "bench", "sha256": "0" * 64, "provenance": self.cohort.provenance}
        data |= {"rotation": 0, "subjects": parts, "observations": parts}
        how = {"cut": "random", "min_visits": 2, "max_horizon": None, "horizons": [30.0]}
        config = {"seed": 1, "data": {"cohort": "bench"}, "evaluation": how}
        return Source(self.model, self.scaling, self.cohort, data, config, {})
