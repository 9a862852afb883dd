"""What the HTML report is made of: plain records, filled from an evaluation, from a runtime, or by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurotwin.errors import InputError
from neurotwin.evaluation.results import EvaluationReport, Scale

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Measured values, in the order of time. Both ``[point]``."""

    time: Array
    value: Array

    @classmethod
    def of(cls, time: ArrayLike = (), value: ArrayLike = ()) -> "Points":
        """From anything array-like; raises InputError when the two do not fit each other or are not finite."""
        time, value = _column(time), _column(value)
        if time.shape != value.shape:
            raise InputError(f"{len(time)} times, {len(value)} values", where="Points", expected="as many of both")
        return cls(time, value)


@dataclass(frozen=True)
class Curve:
    """A forecast over time with its interval. All ``[time]``, in the variable's unit."""

    time: Array
    median: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, time: ArrayLike, median: ArrayLike, low: ArrayLike, high: ArrayLike) -> "Curve":
        """From anything array-like; raises InputError when the columns do not fit each other or are not finite."""
        columns = [_column(one) for one in (time, median, low, high)]
        if not len(columns[0]) or len({len(column) for column in columns}) > 1:
            raise InputError(f"columns of lengths {[len(column) for column in columns]}", where="Curve")
        return cls(*columns)


@dataclass(frozen=True)
class Period:
    """A treatment on the time axis: from ``begin`` to ``end``, or at an instant when ``end`` is None."""

    name: str
    begin: float
    end: float | None = None


@dataclass(frozen=True)
class Trajectory:
    """One held-out subject: what was known at ``cut``, the forecast, and what came true."""

    title: str
    variable: str
    unit: str
    time_unit: str
    level: float
    cut: float
    history: Points
    forecast: Curve
    later: Points
    treatments: tuple[Period, ...] = ()
    log_axis: bool = False


@dataclass(frozen=True)
class PlanComparison:
    """Two plans for one subject: a curve each, and the paired difference ``second - first`` with its own interval.

    ``counterfactual`` tells what the comparison rests on: ``simulated-only`` or ``observational``. ``truth`` has the
    true courses under both plans where a simulator knows them.
    """

    title: str
    variable: str
    unit: str
    time_unit: str
    level: float
    cut: float
    names: tuple[str, str]
    first: Curve
    second: Curve
    difference: Curve
    counterfactual: Literal["simulated-only", "observational"]
    history: Points = field(default_factory=Points.of)
    truth: tuple[Points, Points] | None = None
    log_axis: bool = False
    note: str = ""


@dataclass(frozen=True)
class CohortFacts:
    """What the data are. ``kind`` tells real patients from simulated subjects; counts are of subjects."""

    name: str
    kind: Literal["real", "simulated"]
    description: str
    n_train: int
    n_calibration: int
    n_test: int
    n_observations: int
    source: str = ""


@dataclass(frozen=True)
class Task:
    """One section of the report: a cohort, a question, the answers and how good they were.

    Attributes:
        title, question: what is forecast, and for whom.
        cohort: what the data are.
        evaluation: on the test subjects.
        main: the predictor that the section is about; the others are what it is compared with.
        shown: variables and scales in the order of their importance; all of them when empty. The first gets the plots.
        labels: how predictors are called in the text; their own names where there is none.
        trajectories: some test subjects.
        comparison: two plans for one subject.
        notes: what a reader has to know about these numbers.
    """

    title: str
    question: str
    cohort: CohortFacts
    evaluation: EvaluationReport
    main: str
    shown: tuple[tuple[str, Scale], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    trajectories: tuple[Trajectory, ...] = ()
    comparison: PlanComparison | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.main not in self.evaluation.predictors:
            raise InputError(
                f"no predictor {self.main}",
                where=f"task {self.title}",
                expected=f"one of {', '.join(self.evaluation.predictors)}",
            )
        if unknown := [one for one in self.shown if one not in self.scored]:
            raise InputError(
                f"{unknown[0]} was not scored", where=f"task {self.title}", expected=f"some of {self.scored}"
            )

    @property
    def scored(self) -> list[tuple[str, Scale]]:
        """Variables and scales that the evaluation has, in its order."""
        return list(dict.fromkeys((one.variable, one.scale) for one in self.evaluation.scores))

    def label(self, predictor: str) -> str:
        """How a predictor is called in the text."""
        return self.labels.get(predictor, predictor)


def _column(values: ArrayLike) -> Array:
    column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if column.ndim != 1 or not np.isfinite(column).all():
        raise InputError(f"shape {column.shape}, or a value is not finite", where="report", expected="finite numbers")
    return column
