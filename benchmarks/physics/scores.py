"""How a surrogate is judged on virtual patients that it has not seen. Defined before any result was looked at.

- The *scale* of a channel is the distance between the 5th and the 95th percentile of the truth over all unseen
  patients and judged visits. Unlike a range it depends on no single patient, and a channel that is mostly
  at rest does not get a scale of nothing.
- The *error* of a patient in a channel is the mean absolute error over the course, over that scale: the area between
  the two courses. Where something happens at the wrong time it is the height of the step times the share of the time
  that is wrong, so that timing and level count in one currency. (A root mean square would count the same shift by the
  square root of its length; it stands in the results as well.)
- The goals hold for the *worst channel*: the median and the 95th percentile over patients.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.physics.questions import questions_of
from benchmarks.physics.tasks import Task
from numpy.typing import NDArray

from neurotwin.calibration import Calibration
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast, Predict, Targets
from neurotwin.evaluation import calibrated
from neurotwin.evaluation.calibration import fit_calibration
from neurotwin.simulators.epileptor import WINDOW
from neurotwin.simulators.reynolds_sepsis import FATES, fate

Array = NDArray[np.float64]
LEVEL = 0.9
BINS = 4


@dataclass(frozen=True)
class Courses:
    """Truth and forecast of all patients at the same visits, ``[patient, visit, channel]``, with the interval's ends;
    ``time`` ``[patient, visit]`` in the cohort's unit."""

    time: Array
    truth: Array
    median: Array
    low: Array
    high: Array

    def until(self, visit: int) -> "Courses":
        """The visits before number ``visit``."""
        return Courses(*(field[:, :visit] for field in vars(self).values()))


def judged_part(task: Task, cohort: Cohort) -> Cohort:
    """The cohort's visits that are judged, and the last one, which tells the fate."""
    time = cohort.observations.time
    return replace(
        cohort, observations=cohort.observations.take((time <= task.judged_until) | (time >= task.asked.horizon))
    )


def forecast_courses(task: Task, predict: Predict, calibration: Calibration, cohort: Cohort) -> Courses:
    """What is foretold of every patient, with calibrated intervals."""
    episodes, targets = questions_of(task, judged_part(task, cohort))
    return courses_of(episodes, targets, calibrated(predict, calibration)(episodes))


def courses_of(episodes: Episodes, targets: Targets, forecast: Forecast) -> Courses:
    """Tables of equal length out of answers to single questions."""
    n, channels = len(episodes), len(episodes.schema.variables)
    truth = np.full((len(episodes.queries), channels), np.nan)
    truth[targets.query, targets.variable] = targets.value
    ends = [int(np.argmin(np.abs(forecast.levels - level))) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)]
    columns = [truth, forecast.median, *(forecast.quantiles[:, :, end] for end in ends)]
    time = episodes.queries.time.reshape(n, -1)
    return Courses(time, *(column.reshape(n, -1, channels) for column in columns))


def fitted_calibration(task: Task, predict: Predict, cohort: Cohort) -> Calibration:
    """Conformal factors of validation patients, one for each channel and quarter of the judged course."""
    judged = cohort.observations.take(cohort.observations.time <= task.judged_until)
    episodes, targets = questions_of(task, replace(cohort, observations=judged))
    last = float(episodes.queries.time.max())
    edges = [*(last * number / BINS for number in range(1, BINS)), np.inf]
    return fit_calibration(predict(episodes), targets, episodes, level=LEVEL, horizons=edges)


def judge(task: Task, courses: Courses, cohort: Cohort) -> dict[str, Any]:
    """Everything that is asked about a task's unseen patients."""
    judged = int((courses.time[0] <= task.judged_until).sum())
    found: dict[str, Any] = {"patients": len(courses.time), "channels": {}}
    part = courses.until(judged)
    errors, squares, scale = errors_of(part)
    covered = ((part.truth >= part.low) & (part.truth <= part.high)).mean(1)
    for index, variable in enumerate(task.variables):
        found["channels"][variable.name] = {
            "unit": variable.unit,
            "scale": float(scale[index]),
            **spread_of(errors[:, index]),
            "rms_median": float(np.median(squares[:, index])),
            "rms_p95": float(np.quantile(squares[:, index], 0.95)),
            "coverage": float(covered[:, index].mean()),
        }
    if task.name == "sepsis":
        found["fates"] = fates_of(courses)
    if task.name == "seizure":
        found["seizures"] = seizures_of(courses, cohort)
    return found


def errors_of(courses: Courses) -> tuple[Array, Array, Array]:
    """Mean absolute and root mean square error over the scale, ``[patient, channel]``, and the scale ``[channel]``."""
    low, high = np.quantile(courses.truth, [0.05, 0.95], axis=(0, 1))
    scale = np.where(high > low, high - low, 1.0)
    apart = np.abs(courses.median - courses.truth) / scale
    return apart.mean(1), np.sqrt((apart**2).mean(1)), scale


def spread_of(error: Array) -> dict[str, float]:
    """Median and 95th percentile over patients."""
    return {"median": float(np.median(error)), "p95": float(np.quantile(error, 0.95))}


def fates_of(courses: Courses) -> dict[str, Any]:
    """Share of patients whose fate, read from the last visit by the simulator's own rule, is foretold."""
    true, wrong = np.asarray(fate(courses.truth[:, -1])), wrong_fates(courses)
    shares = {name: float((true == number).mean()) for number, name in enumerate(FATES)}
    return {"right": float((~wrong).mean()), "wrong": int(wrong.sum()), "shares": shares}


def wrong_fates(courses: Courses) -> NDArray[np.bool_]:
    """``[patient]`` whether another fate is foretold than came true."""
    true, told = (np.asarray(fate(table[:, -1])) for table in (courses.truth, courses.median))
    return np.asarray(true != told)


def seizures_of(courses: Courses, cohort: Cohort) -> dict[str, Any]:
    """First onset and its duration, read from truth and forecast by the same rule (`first_seizure`), in ms."""
    channel = [variable.name for variable in cohort.schema.variables].index("ictal_share")
    true, told = (
        np.array([first_seizure(*pair) for pair in zip(courses.time, table[:, :, channel], strict=True)])
        for table in (courses.truth, courses.median)
    )
    found: dict[str, Any] = {"alike": float((np.isfinite(true) == np.isfinite(told)).all(1).mean())}
    for index, name in enumerate(("onset", "duration")):
        both = np.isfinite(true[:, index]) & np.isfinite(told[:, index])
        low, high = np.quantile(true[both, index], [0.05, 0.95])
        apart = np.abs(told[both, index] - true[both, index])
        found[name] = {"patients": int(both.sum()), "scale": float(high - low), "median_ms": float(np.median(apart))}
        found[name] |= spread_of(apart / (high - low))
    return found


def first_seizure(time: Array, share: Array) -> tuple[float, float]:
    """Onset and duration of the first seizure: where the share of the window that is in seizure crosses one half, half
    a window earlier. NaN where there is none, or where it has not ended."""
    above = share > 0.5
    rises, falls = np.flatnonzero(~above[:-1] & above[1:]), np.flatnonzero(above[:-1] & ~above[1:])
    if not len(rises):
        return np.nan, np.nan

    def crossing(place: int) -> float:
        part = (0.5 - share[place]) / (share[place + 1] - share[place])
        return float(time[place] + part * (time[place + 1] - time[place]))

    onset = crossing(rises[0])
    later = falls[falls > rises[0]]
    return onset - WINDOW.length / 2, crossing(later[0]) - onset if len(later) else np.nan
