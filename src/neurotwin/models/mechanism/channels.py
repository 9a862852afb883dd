"""Which channel of a cohort is which of a mechanism: by name, checked when a model is built."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurotwin.errors import ConfigError
from neurotwin.schema import Schema


class Channels(nn.Module):
    """Constant matrices between a cohort's channels and a mechanism's.

    Each variable and treatment of the cohort must be one of the mechanism's, of the same unit and kind, under its own
    name or under the one that a mapping gives. What the mechanism has beyond that is neither seen nor given.

    Attributes:
        seen: ``[mechanism variable, obs]``, 1 where they are the same.
        given: ``[control, mechanism treatment]``, 1 where they are the same.

    Args:
        mechanism: a simulator.
        schema: of the cohort.
        variables, treatments: name in the cohort -> name in the mechanism, for those whose names differ.

    Raises:
        ConfigError: a channel that the mechanism does not have or has in another unit or kind, another unit of time,
            or a mechanism that cannot be carried row by row.
    """

    seen: Tensor
    given: Tensor

    def __init__(
        self,
        mechanism: Any,
        schema: Schema,
        variables: Mapping[str, str] | None = None,
        treatments: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        name = type(mechanism).__name__
        if mechanism.window is not None:
            raise ConfigError(
                f"{name} observes over a window of time",
                where="model.mechanism",
                expected="a mechanism whose state of an instant tells what is seen",
                remedy="choose another mechanism, or model=neural_ode",
            )
        if mechanism.time_unit != schema.time_unit:
            raise ConfigError(
                f"{name} counts time in {mechanism.time_unit}, the cohort in {schema.time_unit}",
                where="model.mechanism",
                expected="one unit of time",
            )
        self.register_buffer("seen", _matches(name, "variable", schema.variables, mechanism.variables, variables or {}))
        given = _matches(name, "treatment", schema.treatments, mechanism.treatments, treatments or {})
        self.register_buffer("given", given.T.contiguous())
        taken = [item.name for item in mechanism.treatments]
        for item, column in zip(schema.treatments, given.T, strict=True):
            if taken[int(column.argmax())] in mechanism.delivered:
                raise ConfigError(
                    f"{name} takes {item.name} as periods, not at an instant",
                    where="model.mechanism",
                    remedy="record it as an infusion, or choose another mechanism",
                )


def _matches(owner: str, what: str, theirs: Any, own: Any, mapping: Mapping[str, str]) -> Tensor:
    """``[own, theirs]``: which of the mechanism's channels each of the cohort's is."""
    where = f"model.{what}s"
    known = {item.name: index for index, item in enumerate(own)}
    if strange := sorted(set(mapping) - {item.name for item in theirs}):
        names = " | ".join(item.name for item in theirs)
        raise ConfigError(f"the cohort has no {what} {strange[0]!r}", where=where, expected=names)
    matrix = torch.zeros(len(own), len(theirs))
    for column, item in enumerate(theirs):
        name = mapping.get(item.name, item.name)
        if name not in known:
            raise ConfigError(
                f"{owner} has no {what} {name!r}",
                where=where,
                expected=" | ".join(known) or "none",
                remedy=f"map it: model.{what}s.{item.name}=NAME, or choose another mechanism",
            )
        match = own[known[name]]
        if item.unit != match.unit or getattr(item, "kind", "") != getattr(match, "kind", ""):
            shown = [f"{one.unit} {getattr(one, 'kind', '')}".strip() for one in (item, match)]
            raise ConfigError(
                f"{what} {item.name} is in {shown[0]}, {owner}'s {name} in {shown[1]}",
                where=where,
                expected="one unit and kind",
                remedy="convert it at ingest",
            )
        matrix[known[name], column] = 1.0
    return matrix
