"""Which channel of the bundle each column of a cohort is, and in which unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import CohortError
from neurotwin.runtime.channels import Channel, Signature
from neurotwin.runtime.reading import scale_time
from neurotwin.schema import Schema

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Columns of one kind.

    Attributes:
        place: ``[column]`` position of the channel in the bundle, -1 where the bundle does not know it.
        factor, offset: ``[column]`` from the cohort's unit to the bundle's.
    """

    place: Index
    factor: Array
    offset: Array

    def converted(self, column: NDArray[Any], value: Array) -> Array:
        """Values in the bundle's unit."""
        return np.asarray(value * self.factor[column] + self.offset[column])


@dataclass(frozen=True)
class Matching:
    """A cohort's columns in a bundle's terms.

    Attributes:
        levels: by static column, ``[level]`` the bundle's position of each of the cohort's levels, -1 where unknown;
            None where the covariate is a number.
        time_factor: from the cohort's time unit to the bundle's.
        ignored: variables and covariates that the bundle does not know.
    """

    variables: Columns
    treatments: Columns
    statics: Columns
    levels: tuple[Index | None, ...]
    time_factor: float
    ignored: tuple[str, ...]

    @classmethod
    def of(cls, schema: Schema, signature: Signature) -> "Matching":
        """Raises CohortError for a column of the bundle's name and another unit, kind or type: of no subject could be
        told what it means."""
        if schema.time_unit not in signature.time_units:
            expected = ", ".join(signature.time_units)
            raise CohortError(f"time unit {schema.time_unit}", where="cohort", expected=expected)
        variables = _columns(schema.variables, signature.variables, "variable")
        treatments = _columns(schema.treatments, signature.treatments, "treatment")
        statics = _columns(schema.statics, signature.statics, "covariate")
        for given in schema.treatments:
            known = next((channel for channel in signature.treatments if channel.name == given.name), None)
            if known is not None and known.kind != given.kind:
                raise CohortError(f"{given.name} is a {given.kind}", where="cohort", expected=f"a {known.kind}")
        if not (variables.place >= 0).any():
            raise CohortError(
                "none of the bundle's variables",
                where="cohort",
                expected=", ".join(one.name for one in signature.variables),
            )
        unknown = [item.name for item, place in zip(schema.variables, variables.place, strict=True) if place < 0]
        unknown += [item.name for item, place in zip(schema.statics, statics.place, strict=True) if place < 0]
        levels = tuple(_levels(item, signature.statics) for item in schema.statics)
        factor = signature.time_units[schema.time_unit]
        return cls(variables, treatments, statics, levels, factor, tuple(unknown))

    def times(self, time: Array) -> Array:
        """In the bundle's unit."""
        if self.time_factor == 1:
            return time
        return np.array([scale_time(one, self.time_factor) for one in time.tolist()], dtype=np.float64)


def _columns(items: Sequence[Any], channels: Sequence[Channel], what: str) -> Columns:
    known = {channel.name: (place, channel) for place, channel in enumerate(channels)}
    place, factor, offset = np.full(len(items), -1, np.int64), np.ones(len(items)), np.zeros(len(items))
    for index, item in enumerate(items):
        if item.name not in known:
            continue
        place[index], channel = known[item.name]
        if channel.levels or getattr(item, "levels", ()):
            continue
        if item.unit not in channel.units:
            raise CohortError(
                f"{what} {item.name} in {item.unit}", where="cohort", expected=" or ".join(channel.units) or "levels"
            )
        factor[index], offset[index] = channel.units[item.unit]
    return Columns(place, factor, offset)


def _levels(item: Any, channels: Sequence[Channel]) -> Index | None:
    channel = next((one for one in channels if one.name == item.name), None)
    if channel is None:
        return None
    if bool(channel.levels) != bool(item.levels):
        expected = "levels" if channel.levels else "a number"
        raise CohortError(f"covariate {item.name} of another type", where="cohort", expected=expected)
    if not item.levels:
        return None
    return np.array([channel.levels.index(one) if one in channel.levels else -1 for one in item.levels], np.int64)
