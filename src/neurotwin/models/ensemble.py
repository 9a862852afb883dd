"""A deep ensemble: several trained surrogates that answer as one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError
from neurotwin.models.hazards import together
from neurotwin.models.prediction import Prediction
from neurotwin.models.surrogate import Course, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.solvers import Rows


class Ensemble(Surrogate):
    """Members trained apart, from other seeds or as other models, on the same data (Lakshminarayanan, Pritzel,
    Blundell, NeurIPS 2017).

    The core is the members' cores one after the other; covariates, clock and the summary of the past are shared. A
    history is told to each member, and the joint draws of a forecast are those of all members: K = members x draws.
    Spread between members is doubt about the weights, which no member has by itself. The noise around a draw is the
    root mean square of the members'.

    Members must have been trained on the same subjects with the same scaling: members of other folds would have seen
    patients on whom the first one's bundle is calibrated.

    Args:
        members: in evaluation mode, with as many draws each, cut to the same step.
        scaling: theirs.

    Raises:
        ConfigError: fewer than two members, or members that do not fit together.
    """

    learns_spread = False

    def __init__(self, members: Sequence[Surrogate], scaling: Scaling) -> None:
        _check(members)
        first = members[0]
        sizes = [_width(member) for member in members]
        super().__init__(first.schema, scaling, core_size=sum(sizes), solver=first.solver, draws=1)
        self.members, self.sizes = nn.ModuleList(members), sizes
        self.n_draws, self.n_learned = sum(member.n_draws for member in members), first.n_learned
        self.recursive = all(member.recursive for member in members)

    @property
    def has_error(self) -> bool:
        return all(member.has_error for member in self._all())

    @property
    def tells_risk(self) -> bool:
        return all(member.tells_risk for member in self._all())

    def initial(self, static: Tensor) -> Tensor:
        return torch.cat([member.initial(static) for member in self._all()], dim=-1)

    def act(self, core: Tensor, rows: Rows, clock: Tensor, static: Tensor, *, observe: bool) -> Course:
        parts = zip(self._all(), core.split(self.sizes, dim=-1), strict=True)
        courses = [member.act(part, rows, clock, static, observe=observe) for member, part in parts]
        errors = [course.error for course in courses if course.error is not None]
        costs = [course.cost for course in courses if course.cost is not None]
        return Course(
            torch.cat([course.at_query for course in courses], dim=-1),
            torch.cat([course.final for course in courses], dim=-1),
            courses[0].clock,
            torch.cat(errors, dim=-1) if self.has_error else None,
            torch.stack(costs).sum(0) if costs else None,
        )

    def head(self, core: Tensor) -> tuple[Tensor, Tensor]:
        parts = zip(self._all(), core.split(self.sizes, dim=-1), strict=True)
        locations, scales = zip(*(member.head(part) for member, part in parts), strict=True)
        return torch.stack(locations).mean(0), torch.stack(scales).square().mean(0).sqrt()

    def forecast(self, state: Tensor, rows: Rows) -> Prediction:
        core, shared = state.split([sum(self.sizes), self.state_size - sum(self.sizes)], dim=-1)
        parts = zip(self._all(), core.split(self.sizes, dim=-1), strict=True)
        answers = [member.forecast(torch.cat([part, shared], dim=-1), rows) for member, part in parts]
        errors = [answer.error for answer in answers if answer.error is not None]
        costs = [answer.cost for answer in answers if answer.cost is not None]
        risks = [answer.risk for answer in answers if answer.risk is not None]
        return Prediction(
            torch.cat([answer.location for answer in answers], dim=-1),
            torch.stack([answer.scale for answer in answers]).square().mean(0).sqrt(),
            torch.stack(errors).mean(0) if self.has_error else None,
            torch.stack(costs).sum(0) if costs else None,
            together(risks) if risks else None,
        )

    def _all(self) -> list[Surrogate]:
        return [member for member in self.members if isinstance(member, Surrogate)]


def _width(member: Surrogate) -> int:
    begin, end = member.layout["core"]
    return end - begin


def _check(members: Sequence[Surrogate]) -> None:
    if len(members) < 2:
        raise ConfigError(f"{len(members)} member", where="ensemble", expected="at least 2")
    first = members[0]
    for number, member in enumerate(members[1:], 2):
        unlike = [
            name
            for name, same in (
                ("schema", member.schema == first.schema),
                ("max_step", member.solver.max_step == first.solver.max_step),
                ("draws", member.n_draws == first.n_draws),
                ("scaling", _same_scaling(member, first)),
                ("kind of hazards", member.tells_risk == first.tells_risk),
            )
            if not same
        ]
        if unlike:
            raise ConfigError(
                f"member {number} has another {unlike[0]} than the first",
                where="ensemble",
                expected="members of one schema, scaling, max_step and number of draws",
                remedy="train them on the same data and rotation; only seed and network may differ",
            )


def _same_scaling(one: Surrogate, other: Surrogate) -> bool:
    mine, theirs = dict(one.scaler.named_buffers()), dict(other.scaler.named_buffers())
    return (
        one.scaler.time == other.scaler.time
        and mine.keys() == theirs.keys()
        and all(torch.equal(value, theirs[name]) for name, value in mine.items())
    )
