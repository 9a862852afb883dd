"""A whole solve of an `MlpField` in as few operators as it takes: how it goes into an exported graph.

In a graph for one patient the number of operators is the cost. The tableau is folded into the layers
(`neurotwin.solvers.fold`), and what a row's clock adds to its stages is one more column beside that of the bias.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neurotwin.solvers.fold import Fold, Stage, fold
from neurotwin.solvers.mlp_field import MlpField
from neurotwin.solvers.rows import Rows, over_rows
from neurotwin.solvers.solver import FixedStep, Jump, Solver, VectorField

Variant = Literal["latency", "throughput", "exact"]
VARIANTS: tuple[Variant, ...] = ("latency", "throughput")
"""Those that fold."""
EXACT: Variant = "exact"
_variant: ContextVar[Variant] = ContextVar("variant", default="latency")


@contextmanager
def exported_for(variant: Variant) -> Iterator[None]:
    """What graphs that are exported meanwhile should be fast at: ``latency``, of few patients, or ``throughput``, of
    many. For many, what the first layer gets from controls is computed in the loop, row by row, so that it stays in
    the cache; for few, before it, for all rows at once. ``exact`` does not fold: more operators, each of which does
    what the model's own does."""
    token = _variant.set(variant)
    try:
        yield
    finally:
        _variant.reset(token)


def folded_for(
    vector_field: VectorField, solver: Solver, rows: Rows, begins: Tensor, static: Tensor
) -> "Folded | None":
    """The folded solve; None for a field that is no `MlpField`, a method that estimates its error, or one whose tableau
    does not fold."""
    if _variant.get() == EXACT or not isinstance(vector_field, MlpField):
        return None
    if not isinstance(solver, FixedStep) or solver.has_error:
        return None
    folded = fold(solver.tableau)
    return None if folded is None else Folded(folded, vector_field, solver, rows, begins, static)


class Folded:
    """Solves all rows of an `MlpField` by one step each.

    What a row is told stands in narrow tensors, which small products widen to the state's columns: onnxruntime
    broadcasts along the last axis ten times slower than it multiplies.

    Args:
        folded: the solver's tableau.
        begins: ``[batch, row]`` clock at the beginning of each row.
        static: ``[batch, static]``.
    """

    def __init__(
        self, folded: Fold, field: MlpField, solver: FixedStep, rows: Rows, begins: Tensor, static: Tensor
    ) -> None:
        self.fold, self.field, self.rows, self.begins, self.static = folded, field, rows, begins, static
        self.inside = _variant.get() == "throughput"
        last = field.linears[-1]
        drift = [] if field.drift is None else [field.drift(torch.zeros_like(rows.dt), rows.control)]
        bias = last.bias.expand(*rows.dt.shape, -1) if drift else last.bias
        self.constant = torch.cat([bias, *drift], dim=-1)
        self._fold_weights(last.weight.t(), last.bias, self.constant.shape[-1] - len(last.bias), solver)
        self._tell_rows(solver)

    def _fold_weights(self, out: Tensor, bias: Tensor, rest: int, solver: FixedStep) -> None:
        """The layers' weights with the tableau in them; ``rest`` columns of the state are not moved by the network."""
        size, columns = len(bias), 2 if self.field.use_clock else 1
        of_state, of_control, self.of_static, of_clock = (
            part.t() for part in self.field.linears[0].weight.split(self.field.sizes, dim=1)
        )
        # Clones: two views of one weight may not enter a scan that is exported.
        self.of_control, self.of_clock = of_control.clone(), of_clock.clone()
        self.of_state = F.pad(of_state, (0, 0, 0, rest))
        *before, end = self.fold.stages
        self.out = [*(F.pad(one.own * out, (0, columns)) for one in before), F.pad(end.own * out, (0, rest))]
        self.ones = F.pad(out.new_ones(columns), (size, 0))
        self.join = F.pad(end.beta * torch.eye(size).to(out), (0, rest, 0, columns))
        self.into: list[Tensor] = []
        self.spread: list[Tensor] = []
        for number, (stage, node) in enumerate(zip(before, solver.tableau.c[1:], strict=True)):
            told = [of_state / stage.scale, node / stage.ones * (bias @ of_state).unsqueeze(0)]
            spread = [[1.0] * (size + 1)]
            if self.field.use_clock:
                told.append(of_clock / stage.ones)
                spread = [[1.0] * (size + 1) + [0.0]]
                spread += [[0.0] * (size + 1) + [float(other == number)] for other in range(len(before))]
            self.into.append(torch.cat(told))
            if self.field.use_clock or not self.spread:  # without a clock, that of the first stage does for all
                self.spread.append(out.new_tensor(spread))
        shares = np.array(self.fold.answers)
        of_constant = np.eye(1, shares.shape[1])[0] - shares[-1]  # the weights of all stages sum to theta
        widths = [size + columns] * len(before) + [size + rest] * 2
        self.answers = [
            out.new_tensor(np.tile(share[:, None], width).tolist())
            for share, width in zip([*shares, of_constant], widths, strict=True)
        ]
        self.take = F.pad(torch.eye(size).to(out), (0, rest, 0, columns))
        self.all = out.new_ones(1, size + rest)

    def _tell_rows(self, solver: FixedStep) -> None:
        """What is known of rows, ``[batch, row, ...]``."""
        rows, layer = self.rows, self.field.linears[0]
        width = rows.dt / self.field.time
        powers = [width * rows.query_at]
        for _ in self.fold.answers[0][1:]:
            powers.append(powers[-1] * rows.query_at)
        self.width, self.powers, spans = width.unsqueeze(-1), torch.stack(powers, dim=-1), [width]
        self.clock: Tensor | None = None
        if self.field.use_clock:
            first, *later = (self.field.clock(torch.add(self.begins, rows.dt, alpha=node)) for node in solver.tableau.c)
            self.clock = first.unsqueeze(-1)
            spans += [clock - first for clock in later]
        self.spans = torch.stack(spans, dim=-1)
        known = self.static.shape[-1] > 0
        self.known = torch.addmm(layer.bias, self.static, self.of_static) if known else layer.bias
        self.controlled = rows.control.shape[-1] > 0

    def solve(self, state: Tensor, jump: Jump | None) -> tuple[Tensor, Tensor]:
        """``at_query`` ``[batch, row, state]`` and the final state, from ``state`` ``[batch, state]``."""
        on = self.rows.peek == 0  # padding has no length
        carried = torch.where(on.unsqueeze(-1), self.width, 0.0) if jump is None else self.width
        told = {"carried": carried, "spans": self.spans}
        told |= {} if jump is None else {"kept": self.rows.kept}
        told |= {"constant": self.constant} if self.constant.ndim > 1 else {}
        if self.inside:
            told |= {"powers": self.powers} | ({} if self.clock is None else {"clock": self.clock})
        else:
            told |= self._before(carried)
        names = list(told)

        def body(
            carry: tuple[Tensor, ...], row: Rows, t: Tensor, *along: Tensor
        ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            (before,), given = carry, dict(zip(names, along, strict=True))
            begun = before if jump is None else jump(t, before, row.jump, self.static)
            if self.inside:
                given |= self._inside(row.control, given)
            done = self._stages(begun, given)
            # A row that is not kept has length 0 here. Networks of SiLU units grow at most linearly, so the slope of
            # a finite state is finite and this leaves the state as it was.
            end = torch.addcmul(begun, given["carried"], done[-1])
            after = end if jump is None else torch.where(given["kept"], end, before)
            if self.inside:
                return (after,), (self._asked(begun, given["powers"], given.get("constant", self.constant), done),)
            return (after,), (*done, begun) if jump is not None else (*done,)

        (final,), columns = over_rows(body, (state,), self.rows, self.begins, *told.values())
        if self.inside:
            return columns[0], final
        done = list(columns)
        begun = self._begun(state, told["carried"], done[-1]) if jump is None else done.pop()
        return self._asked(begun, self.powers, self.constant, done), final

    @staticmethod
    def _begun(state: Tensor, carried: Tensor, slope: Tensor) -> Tensor:
        """States at the beginning of rows, ``[batch, row, state]``: summed in the order in which the loop did, which
        need not tell them then."""
        sums = torch.cat([state.unsqueeze(1), carried * slope], dim=1).cumsum(1)
        begun: Tensor
        begun, _ = sums.split([slope.shape[1], 1], dim=1)
        return begun.contiguous()  # else an export would take the number of rows, in its stride, as fixed

    def _before(self, carried: Tensor) -> dict[str, Tensor]:
        """For few patients: all rows at once."""
        told = {f"wide {number}": self.spans @ spread for number, spread in enumerate(self.spread)}
        told["carried"] = carried @ self.all
        first = [self.rows.control @ self.of_control] if self.controlled else []
        first += [] if self.clock is None else [self.clock @ self.of_clock]
        if first:
            told["first"] = sum(first[1:], first[0]) + (self.known if self.known.ndim == 1 else self.known.unsqueeze(1))
        return told

    def _inside(self, control: Tensor, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """For many patients: of one row, so that it stays in the cache."""
        told = {f"wide {number}": given["spans"] @ spread for number, spread in enumerate(self.spread)}
        told["carried"] = given["carried"] @ self.all
        told["first"] = torch.addmm(self.known, control, self.of_control) if self.controlled else self.known
        if "clock" in given:
            told["first"] = torch.addmm(told["first"], given["clock"], self.of_clock)
        return told

    def _stages(self, state: Tensor, given: dict[str, Tensor]) -> list[Tensor]:
        """All q of a row; the last one is the slope of its step, bias and drift included."""
        base = torch.addmm(given.get("first", self.known), state, self.of_state)
        units = base
        done: list[Tensor] = []
        for number, stage in enumerate(self.fold.stages):
            if number:
                units = torch.addmm(
                    base, given[f"wide {min(number, len(self.spread)) - 1}"] * done[-1], self.into[number - 1]
                )
            for layer in self.field.linears[1:-1]:
                units = F.linear(F.silu(units), layer.weight, layer.bias)
            active = F.silu(units)
            added = self._added(stage, done)
            if number < len(self.fold.stages) - 1:
                begin = self.ones if added is None else added
                done.append(torch.addmm(begin, active, self.out[number], beta=stage.beta))
                continue
            constant = given.get("constant", self.constant)
            begin = constant if added is None else torch.addmm(constant, added, self.join)
            done.append(torch.addmm(begin, active, self.out[number]))
        return done

    @staticmethod
    def _added(stage: Stage, done: list[Tensor]) -> Tensor | None:
        total: Tensor | None = None
        for number, sign in sorted(stage.terms, key=lambda term: -term[1]):  # the first one has a plus
            one = done[number]
            total = one if total is None else total + one if sign > 0 else total - one
        return total

    def _asked(self, begun: Tensor, powers: Tensor, constant: Tensor, done: list[Tensor]) -> Tensor:
        """States where queries ask, of one row or of all."""
        *weights, of_slope, of_constant = (powers @ answer for answer in self.answers)
        *before, slope = done
        total = torch.addcmul(begun, of_slope, slope)
        total = torch.addcmul(total, of_constant, constant)
        if before:
            parts = [weight * one for weight, one in zip(weights, before, strict=True)]
            total = total + sum(parts[1:], parts[0]) @ self.take
        return total
