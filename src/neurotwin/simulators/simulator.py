"""The contract of a simulator: parameters with units and ranges, states, treatments, and four functions.

A simulator is a frozen dataclass whose fields are its parameters: a number, or an array ``[batch]`` with one value per
subject. Its equations are written against the array library of their input (array API), add no Python branches on
values and change nothing in place, so that one file serves numpy truth, batched torch, and a mechanism inside a model.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.events import Doses
from neurotwin.schema import Schema, Static, Treatment, Variable

Array = Any
"""An array of any library that array-api-compat knows."""
Value = float | Any
"""A number, or an array ``[batch]``."""


class Parameter(NamedTuple):
    """What a parameter is: ``unit`` (UCUM), allowed ``range`` (inclusive), ``source``, and whether the default was
    ``published`` or is this project's ``proposal``. ``shape`` is that of one subject's value."""

    unit: str
    range: tuple[float, float]
    source: str
    kind: Literal["published", "proposal"] = "published"
    shape: tuple[int, ...] = ()


class State(NamedTuple):
    """A column of the state: ``unit`` (UCUM) and the ``bounds`` outside which a trajectory is rejected."""

    name: str
    unit: str
    bounds: tuple[float, float] = (-math.inf, math.inf)


class Window(NamedTuple):
    """What an observation looks back on: the ``length`` of time before it, in the simulator's unit, at ``samples``
    equally spaced instants, both ends included. Instants before time 0 are moved to time 0."""

    length: float
    samples: int


class Screening(NamedTuple):
    """Which drawn subjects are physiologically possible (``accepted`` ``[batch]``), and ``parameters`` by field name
    that the test has found for them, such as the settled initial state."""

    accepted: NDArray[np.bool_]
    parameters: dict[str, NDArray[np.float64]]


class PopulationDraw(NamedTuple):
    """Virtual patients: ``parameters`` by field name, each ``[batch]``, and raw ``statics`` ``[batch, static]`` (a
    number, or the index of a level)."""

    parameters: dict[str, NDArray[np.float64]]
    statics: NDArray[np.float64]


@dataclass(frozen=True)
class Simulator(ABC):
    """A published model. The state is packed, ``[batch, state]``; time ``t`` is ``[batch]``, in ``time_unit``.

    Class attributes:
        name: name of the schema of its cohorts.
        parameters: one `Parameter` per field.
        max_step: longest step at which RK4 keeps the golden accuracy.
        typical_statics: raw covariates of the subject to whom the default parameters belong.
        window: what an observation looks back on, for variables such as a beat's highest pressure or the amplitude of
            a rhythm; None where the state of an instant tells all.
        delivered: treatments recorded as boluses that `acted_out` turns into periods.

    Raises:
        SimulationError: a parameter that is not a finite number within its range, or arrays of different lengths.
            Only numbers and numpy arrays are checked: tensors made by a network are the network's business.
    """

    name: ClassVar[str]
    time_unit: ClassVar[str]
    max_step: ClassVar[float]
    parameters: ClassVar[Mapping[str, Parameter]]
    states: ClassVar[tuple[State, ...]]
    treatments: ClassVar[tuple[Treatment, ...]]
    variables: ClassVar[tuple[Variable, ...]]
    statics: ClassVar[tuple[Static, ...]] = ()
    typical_statics: ClassVar[tuple[float, ...]] = ()
    window: ClassVar[Window | None] = None
    delivered: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in self.parameters:
            if isinstance(value := getattr(self, name), (list, tuple)):
                object.__setattr__(self, name, np.asarray(value))
        lengths = {_check(self, name, parameter) for name, parameter in self.parameters.items()} - {None}
        if len(lengths) > 1:
            counts = " and ".join(map(str, sorted(filter(None, lengths))))
            raise SimulationError(
                f"parameters of {counts} subjects", where=type(self).__name__, expected="arrays of one length"
            )

    @abstractmethod
    def initial_state(self, n: int) -> Array:
        """State before the first event, ``[n, state]``, from the parameters."""

    @abstractmethod
    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        """Slope ``[batch, state]``; ``control`` ``[batch, treatment]`` holds the rates and levels (0 for boluses)."""

    @abstractmethod
    def observe(self, state: Array) -> Array:
        """The variables, ``[batch, obs]``, without assay error.

        ``state`` is ``[batch, state]``; with a `window` it is ``[batch, sample, state]``, the last sample being now.
        """

    def acted_out(self, doses: Doses) -> Doses:
        """Recorded doses as the engine delivers them: a meal as bites, an insulin bolus as a minute's infusion.

        Must be applied before the timeline is built. Only needed for the treatments in ``delivered``.
        """
        return doses

    def screen(self) -> Screening:
        """Physiological rejection rules, applied to drawn subjects; those not accepted are drawn again.

        Called on the simulator with array parameters. By default everyone is accepted.
        """
        return Screening(np.ones(self.batch_size or 1, dtype=bool), {})

    def jump(self, state: Array, amount: Array) -> Array:
        """State right after the boluses ``amount`` ``[batch, treatment]``; exactly ``state`` where all are 0."""
        return state

    def propagate(self, t: Array, dt: Array, state: Array, control: Array) -> Array:
        """State after ``dt`` ``[batch]`` under constant ``control``, in closed form. Optional.

        Raises:
            SimulationError: the model has no closed form.
        """
        raise SimulationError("no closed form", where=type(self).__name__, remedy="use the method rk4, dop853 or lsoda")

    def typical_parameters(self, covariates: Mapping[str, Array]) -> dict[str, Array]:
        """Parameters that covariates change, for the subject with these ``covariates`` and no other variability.

        ``covariates`` holds the encoded columns by name (`Schema.static_columns`; a level is a column of 0 and 1),
        each ``[batch]``. ``self`` is the model of the typical subject.
        """
        return {}

    def published_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """``n`` virtual patients with the variability published for the model.

        Raises:
            SimulationError: none is implemented.
        """
        remedy = f"use population={'proposed' if 'proposed' in self.populations else 'typical'}"
        raise SimulationError("no published population", where=type(self).__name__, remedy=remedy)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """``n`` virtual patients with a variability that this project proposes, as its sheet says.

        Raises:
            SimulationError: none is implemented.
        """
        remedy = f"use population={'published' if 'published' in self.populations else 'typical'}"
        raise SimulationError("no proposed population", where=type(self).__name__, remedy=remedy)

    @property
    def populations(self) -> tuple[str, ...]:
        """Which populations the model has, the one to take by default first."""
        names = ("published", "proposed")
        return tuple(
            name
            for name in names
            if getattr(type(self), f"{name}_population") is not getattr(Simulator, f"{name}_population")
        )

    @property
    def schema(self) -> Schema:
        """What the columns of this model's cohorts mean."""
        return Schema(
            name=self.name,
            time_unit=self.time_unit,
            variables=self.variables,
            treatments=self.treatments,
            statics=self.statics,
        )

    @property
    def has_closed_form(self) -> bool:
        """Does `propagate` work?"""
        return type(self).propagate is not Simulator.propagate

    @property
    def batch_size(self) -> int | None:
        """Number of subjects that the array parameters belong to; None where one value serves all."""
        axes = {name: len(item.shape) for name, item in self.parameters.items()}
        lengths = (getattr(self, name).shape[0] for name, n in axes.items() if np.ndim(getattr(self, name)) > n)
        return next(lengths, None)

    def take(self, subjects: Any) -> Self:
        """The same model with the parameters of some subjects."""
        return replace(
            self,
            **{
                name: getattr(self, name)[subjects]
                for name, item in self.parameters.items()
                if np.ndim(getattr(self, name)) > len(item.shape)
            },
        )

    def refuse_overrides(self, *names: str) -> None:
        """For a population: raises SimulationError if fields that it draws were set to another value."""
        for item in fields(self):
            if item.name in names and not np.array_equal(getattr(self, item.name), cast(Any, item.default)):
                raise SimulationError(
                    f"{item.name} is set to {getattr(self, item.name)}, but the population draws it",
                    where=type(self).__name__,
                    remedy=f"use population=typical, or leave {item.name} at {item.default}",
                )


def stack_state(n: int, *columns: Value) -> Array:
    """Initial values (numbers or arrays ``[n]``) as a state ``[n, state]`` of their array library."""
    arrays = [column for column in columns if not isinstance(column, (int, float))]
    if not arrays:
        return np.tile(np.asarray(columns, dtype=np.float64), (n, 1))
    xp = array_namespace(*arrays)
    like = arrays[0]
    return xp.stack([xp.zeros((n,), dtype=like.dtype, device=like.device) + column for column in columns], axis=-1)


def _check(simulator: Simulator, name: str, parameter: Parameter) -> int | None:
    """Check one field; returns its number of subjects, or None where one value serves all."""
    value, (low, high) = getattr(simulator, name), parameter.range
    where, expected = f"{type(simulator).__name__}.{name}", f"{low:g} to {high:g} {parameter.unit}"
    if isinstance(value, (float, int)) and not isinstance(value, bool) and not parameter.shape:
        if low <= value <= high and math.isfinite(value):
            return None
        raise SimulationError(f"{name} = {value:g} {parameter.unit}", where=where, expected=expected)
    if not isinstance(value, (np.ndarray, np.number)):
        if hasattr(value, "shape"):
            return None  # a tensor: not looked into, so that it can be traced
        raise SimulationError(f"{name} is {value!r}", where=where, expected=f"a number or a numeric array, {expected}")
    return _check_array(name, np.asarray(value), parameter, where, expected)


def _check_array(name: str, value: NDArray[Any], parameter: Parameter, where: str, expected: str) -> int | None:
    (low, high), n_axes = parameter.range, len(parameter.shape)
    if value.dtype.kind not in "fiu":
        raise SimulationError(f"{name} holds {value.dtype}", where=where, expected=f"numbers, {expected}")
    if value.ndim > n_axes + 1 or value.shape[value.ndim - n_axes :] != parameter.shape:
        shapes = f"shape {parameter.shape}, or one such value per subject"
        raise SimulationError(f"{name} has shape {value.shape}", where=where, expected=shapes)
    bad = value[~((value >= low) & (value <= high) & np.isfinite(value))]
    if bad.size:
        count = f" ({bad.size} of {value.size} values)"
        raise SimulationError(f"{name} = {bad.flat[0]:g} {parameter.unit}{count}", where=where, expected=expected)
    return len(value) if value.ndim > n_axes else None
