"""Courses of the teacher: what the flow map learns from, and what it is measured against."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurotwin.cohort import Cohort
from neurotwin.data import random_cuts
from neurotwin.episodes import Episodes, make_episodes
from neurotwin.models import Surrogate
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows
from neurotwin.training.distill.plans import SHARES, with_plans


class Courses(NamedTuple):
    """Courses of a batch, in model units.

    Attributes:
        core: ``[batch, draw, core]`` at the plan's start.
        static, clock: ``[batch, static]`` and ``[batch, 1]`` then.
        rows: the plans, in model units.
        place: ``[batch, query]`` row of each query.
        target: ``[batch, draw, query, learned]`` where the teacher went.
    """

    core: Tensor
    static: Tensor
    clock: Tensor
    rows: Rows
    place: Tensor
    target: Tensor

    def take(self, chosen: Tensor) -> Self:
        """Some of the batch."""
        parts: list[Any] = [
            Rows(*(column[chosen] for column in item)) if isinstance(item, Rows) else item[chosen] for item in self
        ]
        return type(self)(*parts)

    def told(self, memory: Tensor) -> Tensor:
        """``[batch, query, ...]`` of what stands at each row."""
        return memory[torch.arange(len(memory)).unsqueeze(1), self.place]


@dataclass(frozen=True)
class CourseSource:
    """Draws courses of a teacher from subjects of a cohort.

    Attributes:
        teacher: in evaluation mode.
        cohort: subjects whose histories lead to the states that courses start from.
        scaling: the ranges of random plans.
        horizon: longest time after the state's clock.
        min_visits: of a history.
        asked: queries of a course.
        draws: courses of a subject, from other draws of its state.
    """

    teacher: Surrogate
    cohort: Cohort
    scaling: Scaling
    horizon: float
    min_visits: int
    asked: int = 24
    draws: int = 2

    def draw(self, rng: np.random.Generator, n: int) -> list[Courses]:
        """At least ``n`` subjects' courses, in batches."""
        found: list[Courses] = []
        while sum(len(item.core) for item in found) < n:
            found.append(self.batch(rng, min(n, len(self.cohort), 256)))
        return found

    def batch(self, rng: np.random.Generator, n: int) -> Courses:
        """Courses of ``n`` subjects (fewer where a random cut leaves nothing to come)."""
        episodes, _ = self.episodes(rng, n)
        state, plan, place = self.asked_of(episodes)
        part = self.teacher.unpack(state)
        core = part["core"].unsqueeze(1)
        if self.teacher.n_draws > 1:
            chosen = torch.as_tensor(rng.integers(0, self.teacher.n_draws, (len(core), self.draws)))
            width = torch.as_tensor(rng.uniform(0, 1.2, (len(core), self.draws, 1)), dtype=core.dtype)
            with torch.no_grad():
                drawn = self.teacher.drawn(part)
            core = core + width * (drawn[torch.arange(len(core)).unsqueeze(1), chosen] - core)
        return self.courses(core, part, plan, place)

    def courses(self, core: Tensor, part: dict[str, Tensor], plan: Rows, place: Tensor) -> Courses:
        """Where the teacher goes from ``core`` ``[batch, draw, core]`` under plans in natural units."""
        rows, draws = self.teacher.scaler.rows(plan), core.shape[1]
        many = Rows(*(field.repeat_interleave(draws, dim=0) for field in rows))
        clock, static = (part[name].repeat_interleave(draws, dim=0) for name in ("clock", "static"))
        with torch.no_grad():
            course = self.teacher.act(core.flatten(0, 1), many, clock.squeeze(-1), static, observe=False)
        went = course.at_query[..., : self.teacher.n_learned].unflatten(0, (-1, draws))
        index = torch.arange(len(core)).unsqueeze(1)
        target = went.transpose(1, 2)[index, place].transpose(1, 2)
        return Courses(core, part["static"], part["clock"], rows, place, target.contiguous())

    def episodes(self, rng: np.random.Generator, n: int, kind: int | None = None) -> tuple[Episodes, NDArray[np.int_]]:
        """Episodes of ``n`` subjects with plans, and the kind of each plan; all of one kind if it is given."""
        part = self.cohort.take(rng.permutation(len(self.cohort))[:n])
        visits = np.diff(part.observations.time)
        late = float(np.median(visits[visits > 0])) if (visits > 0).any() else 0.0
        cuts = random_cuts(part, rng, self.min_visits) + late * rng.random(len(part)) * (rng.random(len(part)) < 0.5)
        episodes, _, _ = make_episodes(part, cuts, min_visits=self.min_visits)
        kinds = rng.choice(len(SHARES), len(episodes), p=SHARES) if kind is None else np.full(len(episodes), kind)
        return with_plans(episodes, self.scaling, rng, horizon=self.horizon, asked=self.asked, kind=kinds), kinds

    def asked_of(self, episodes: Episodes) -> tuple[Tensor, Rows, Tensor]:
        """The teacher's states, the plans as rows (natural units), and the row of each query ``[batch, query]``."""
        step = self.teacher.solver.max_step
        history, plan = episodes.history(step), episodes.plan(step)
        start, static, mask = (
            torch.as_tensor(array, dtype=torch.float32)
            for array in (history.start, episodes.static, episodes.static_mask)
        )
        blank = torch.zeros(len(episodes), self.teacher.state_size)
        with torch.no_grad():
            state = self.teacher.assimilate(blank, torch.ones_like(start), start, static, mask, Rows.of(history))
        return state, Rows.of(plan), torch.as_tensor(plan.query_row).reshape(len(episodes), -1)


def joined(parts: list[Courses]) -> Courses:
    """Batches as one; rows are padded."""
    longest = max(part.rows.dt.shape[1] for part in parts)

    def padded(field: Tensor) -> Tensor:
        return torch.cat([field, field.new_zeros(len(field), longest - field.shape[1], *field.shape[2:])], dim=1)

    def all_of(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    fields = zip(*(part.rows for part in parts), strict=True)
    rows = Rows(*(torch.cat([padded(field) for field in column]) for column in fields))
    return Courses(all_of("core"), all_of("static"), all_of("clock"), rows, all_of("place"), all_of("target"))
