"""Scaling: the numbers that bring every channel to the order of one. The only place that normalises.

Fitted on training subjects alone, folded into the exported graphs, and readable in the bundle.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError
from neurotwin.schema import Schema

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Scales by channel.

    Attributes:
        time: one unit of the model's own time, in the schema's time unit (a quarter of the median follow-up).
        mean, deviation: ``[obs]`` of the variables on their modelling scale.
        treatment: ``[control]`` typical amount, rate or level.
        static_mean, static_deviation: ``[static column]``; 0 and 1 for levels.
        observed_low, observed_high: ``[obs]`` range seen, in the variable's unit.
        static_low, static_high: ``[static column]`` range seen.
        treatment_high: ``[control]`` highest amount, rate or level seen.
        longest: longest time ahead that training could ask for.
    """

    time: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    treatment: tuple[float, ...]
    static_mean: tuple[float, ...]
    static_deviation: tuple[float, ...]
    observed_low: tuple[float, ...]
    observed_high: tuple[float, ...]
    static_low: tuple[float, ...]
    static_high: tuple[float, ...]
    treatment_high: tuple[float, ...]
    longest: float

    @classmethod
    def fit(cls, cohort: Cohort) -> Self:
        """Fit to the training part of a cohort.

        Raises CohortError where a variable has values that its head does not record.
        """
        schema, seen = cohort.schema, cohort.observations
        _check_records(cohort)
        channels = [seen.value[seen.variable == index] for index in range(len(schema.variables))]
        modelled = [variable.forward(values) for variable, values in zip(schema.variables, channels, strict=True)]
        given = [
            np.abs(cohort.doses.amount[cohort.doses.treatment == index]) for index in range(len(schema.treatments))
        ]
        static, mask = schema.encode_statics(cohort.statics)
        is_level = np.array(["=" in column for column in schema.static_columns], dtype=bool)
        columns = [static[mask[:, index] > 0, index] for index in range(static.shape[1])]
        last = np.zeros(len(cohort))
        np.maximum.at(last, seen.subject, seen.time)
        follow_up = last - cohort.start
        return cls(
            time=float(np.median(follow_up) / 4) or 1.0,
            mean=_each(modelled, np.mean, 0.0),
            deviation=_each(modelled, _deviation, 1.0),
            treatment=_each([amounts[amounts > 0] for amounts in given], np.mean, 1.0),
            static_mean=tuple(np.where(is_level, 0.0, _each(columns, np.mean, 0.0)).tolist()),
            static_deviation=tuple(np.where(is_level, 1.0, _each(columns, _deviation, 1.0)).tolist()),
            observed_low=_each(channels, np.min, 0.0),
            observed_high=_each(channels, np.max, 0.0),
            static_low=_each(columns, np.min, 0.0),
            static_high=_each(columns, np.max, 0.0),
            treatment_high=_each(given, np.max, 0.0),
            longest=float(follow_up.max()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Back from `to_dict`."""
        numbers: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value for name, value in content.items()
        }
        return cls(**numbers)

    def check(self, schema: Schema) -> None:
        """Raises ValueError when the numbers are not those of this schema."""
        sizes = (len(self.mean), len(self.treatment), len(self.static_mean))
        expected = (len(schema.variables), len(schema.treatments), len(schema.static_columns))
        if sizes != expected:
            raise ValueError(f"scaling has {sizes} variables, treatments, static columns; the schema has {expected}")


def _check_records(cohort: Cohort) -> None:
    """A value off the grid, or at the end of an open interval, says that the head is not the variable's."""
    seen = cohort.observations.take(cohort.observations.censor == 0)
    for index, variable in enumerate(cohort.schema.variables):
        value, head = seen.value[seen.variable == index], variable.recorded_as
        wrong = ~head.on_grid(value)
        if head.transform == "logit":
            wrong = (value <= head.low) | (value >= head.high)
        if wrong.any():
            raise CohortError(
                f"{int(wrong.sum())} of {len(value)} values of {variable.name} are none that its head records",
                where="schema",
                expected=f"{head.kind} from {head.low:g} to {head.high:g}"
                + (f" in steps of {head.step:g}" if head.step else ""),
                remedy="declare the head that the variable has, such as bounded",
            )


def _deviation(values: Array) -> float:
    """Standard deviation; 1 for a constant channel, which then stays constant after scaling."""
    spread = float(values.std())
    # Rounding gives a constant channel a spread of about 1e-16 of its value.
    return spread if spread > 1e-9 * float(np.abs(values).max()) else 1.0


def _each(channels: list[Array], statistic: Any, empty: float) -> tuple[float, ...]:
    return tuple(float(statistic(values)) if len(values) else empty for values in channels)
