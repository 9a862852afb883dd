"""A learned neurotwin model as a forecaster of the benchmark."""

import math

import numpy as np
import torch
from benchmarks.cancer.cohorts import SCHEMA
from benchmarks.cancer.simulator import Array, Flags
from benchmarks.cancer.task import Past
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.errors import ConfigError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.models import Surrogate
from neurotwin.solvers import Rows
from neurotwin.timeline import build_timeline

CHUNK = 8192
CHECKED_ON, CHECKED = 6, 16
"""Day on which, and number of patients for which, the carried state is compared with a replay of the whole past."""


class CarriedSurrogate:
    """All patients' packed states, carried from day to day; a plan is forecast from the state of its day.

    A day is one row, as the timeline of a training patient has it: yesterday's treatments, a day, today's volume
    (unless it was not measured); or several, where the solver's steps are shorter. Plans are cut by the timeline.

    Args:
        model: trained on the benchmark's cohort.
        kind: ``[patient]`` types.

    Raises:
        ConfigError: a model of another schema, or one whose state is not the same carried as replayed.
    """

    def __init__(self, model: Surrogate, kind: NDArray[np.int64]) -> None:
        if model.schema != SCHEMA:
            raise ConfigError("the model was trained on another schema", where=model.schema.name, expected=SCHEMA.name)
        self.model, self.kept = model.eval(), []
        static, mask = SCHEMA.encode_statics((kind - 1.0)[:, None])
        self.static, self.static_mask = _tensor(static), _tensor(mask)
        self.state = torch.zeros(len(kind), model.state_size)

    def observe(self, past: Past) -> None:
        """Carry every patient's state a day further."""
        rows = self._day(past)
        if past.day <= CHECKED_ON:
            self.kept.append(Rows(*(column[:CHECKED] for column in rows)))
        self.state = self._assimilate(self.state, rows, fresh=past.day == 0)
        if past.day == CHECKED_ON:
            self._check()

    def forecast(self, patient: NDArray[np.int64], plan: Flags) -> Array:
        """Expected volumes ``[row, step]``."""
        found, index = np.empty(plan.shape[:2]), torch.as_tensor(patient)
        rows, query_row, which = plan_rows(plan, self.model.solver.max_step)
        for first in range(0, len(patient), CHUNK):
            part = slice(first, first + CHUNK)
            own = torch.as_tensor(which[part])
            with torch.no_grad():
                said = self.model.forecast(self.state[index[part]], Rows(*(column[own] for column in rows)))
                mean = said.natural_mean(self.model.scaler)[..., 0]
            found[part] = mean.gather(1, query_row[own]).numpy()
        return found

    def _day(self, past: Past) -> Rows:
        """The rows of the day that led to now; none on the first day, only its measurement."""
        n = len(past.kind)
        steps = max(1, math.ceil(1 / self.model.solver.max_step - 1e-9)) if past.day else 1
        dt, jump = torch.full((n, steps), float(past.day > 0) / steps), torch.zeros(n, steps, 2)
        value, mask = torch.zeros(n, steps, 1), torch.zeros(n, steps, 1)
        if past.day:
            jump[:, 0] = _tensor(np.stack([past.chemo[:, -1], past.radio[:, -1]], axis=-1))
        seen = np.isfinite(past.volume[:, -1])
        value[:, -1, 0], mask[:, -1, 0] = _tensor(np.where(seen, past.volume[:, -1], 0.0)), _tensor(seen)
        nothing = torch.zeros(n, steps)
        return Rows(dt, torch.zeros_like(jump), jump, value, mask, torch.zeros_like(mask), nothing, nothing)

    def _assimilate(self, state: Tensor, rows: Rows, *, fresh: bool) -> Tensor:
        n = len(state)
        flag, start = torch.full((n,), float(fresh)), torch.zeros(n)
        with torch.no_grad():
            return self.model.assimilate(state, flag, start, self.static[:n], self.static_mask[:n], rows)

    def _check(self) -> None:
        whole = Rows(*(torch.cat(columns, dim=1) for columns in zip(*self.kept, strict=True)))
        carried = self.state[:CHECKED]
        replayed = self._assimilate(torch.zeros_like(carried), whole, fresh=True)
        apart = float((carried - replayed).abs().max())
        if not apart <= 1e-3 * max(1.0, float(replayed.abs().max())):
            raise ConfigError(
                f"a state carried from day to day differs by {apart:.2g} from one replayed",
                where=type(self.model).__name__,
                expected="the same: the benchmark carries states",
            )


def plan_rows(plan: Flags, max_step: float) -> tuple[Rows, Tensor, NDArray[np.int64]]:
    """Each different plan once, as rows of a timeline.

    Returns the rows ``[different plan, row]``, the row of each step's question ``[different plan, step]``, and which of
    the different plans each of ``plan`` ``[row, step, 2]`` is.
    """
    different, which = np.unique(plan.reshape(len(plan), -1), axis=0, return_inverse=True)
    n, n_steps = len(different), plan.shape[1]
    subject, step, treatment = np.nonzero(different.reshape(n, n_steps, 2))
    n_static = len(SCHEMA.static_columns)
    timeline = build_timeline(
        start=np.zeros(n),
        static=np.zeros((n, n_static)),
        static_mask=np.zeros((n, n_static)),
        n_variables=len(SCHEMA.variables),
        n_treatments=len(SCHEMA.treatments),
        observations=Observations.of([], [], [], []),
        doses=Doses.of(subject, step, np.nan, treatment, 1.0),
        queries=Queries.of(np.repeat(np.arange(n), n_steps), np.tile(np.arange(n_steps) + 1.0, n)),
        max_step=max_step,
    )
    return Rows.of(timeline), torch.as_tensor(timeline.query_row.reshape(n, n_steps)), which


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
