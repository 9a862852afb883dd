"""Twins of trial subjects: from what was seen up to randomisation, the course expected under an arm."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast
from neurotwin.errors import CohortError, ConfigError
from neurotwin.events import Observations, Queries
from neurotwin.runtime import Predictor
from neurotwin.simulators.protocols import Measurement
from neurotwin.trials.courses import Courses
from neurotwin.trials.endpoints import Endpoint

Array = NDArray[np.float64]
BANDWIDTH = 0.3
"""Of the kernel on a covariate that is a number, in its standard deviations."""
LEAST_EFFECTIVE = 20.0
"""Effective number of virtual patients that a forecast rests on; the likelihood is tempered until there are so many."""
LEAST_ERROR = 0.01
"""Relative error of a variable that is measured without one."""


class Twins(Protocol):
    """Forecasts of subjects."""

    @property
    def words(self) -> str:
        """What they are."""
        ...

    def futures(self, courses: Courses, arm: str) -> Iterator["Futures"]:
        """Of each subject in turn, what may come under an arm."""
        ...


class Futures(NamedTuple):
    """What may be measured of one subject at the visits after randomisation, but for chance errors: ``value``
    ``[member, visit, obs]`` with each member's ``weight``, adding up to 1."""

    value: Array
    weight: Array


@dataclass(frozen=True)
class LibraryTwins:
    """A subject's forecast is the mean of virtual patients of a library, weighted by how probable the subject's
    measurements up to randomisation are for each of them: importance sampling from the population as the prior
    (Geweke, Econometrica 57:1317, 1989). Covariates with levels must agree; others weigh with a normal kernel. Only for
    protocols that treat everybody alike up to randomisation: a measurement under other doses tells nothing.

    Attributes:
        library: other patients than the subjects, under the same arms, at one grid of visits for all.
        assays: how the subjects are measured.
    """

    library: Courses
    assays: tuple[Measurement, ...]

    @property
    def words(self) -> str:
        return f"the mean of {len(self.library):,} virtual patients, weighted by the subject's baseline"

    def futures(self, courses: Courses, arm: str) -> Iterator[Futures]:
        grid, spread = self.library.time[0], np.zeros(0)
        if courses.statics.size:
            spread = np.nanstd(self.library.statics, axis=0)
        table = recorded(courses, self.library.latent[arm], self.assays)
        for subject in range(len(courses)):
            ahead = courses.time[subject][courses.after[subject]]
            yield Futures(_at(table, grid, ahead), self._weights(courses, arm, subject, spread))

    def _weights(self, courses: Courses, arm: str, subject: int, spread: Array) -> Array:
        """``[member]`` adding up to 1."""
        seen = np.flatnonzero((~courses.after[subject]) & np.isfinite(courses.time[subject]))
        value = courses.measured[arm][subject, seen]
        like = _at(self.library.latent[arm], self.library.time[0], courses.time[subject, seen])
        error = np.empty_like(like)
        assays = {assay.variable: assay for assay in self.assays}
        for place, variable in enumerate(courses.schema.variables):
            assay = assays.get(variable.name)
            relative = max(getattr(assay, "proportional", 0.0), 0.0 if assay else LEAST_ERROR)
            error[:, :, place] = np.hypot(relative * np.abs(like[:, :, place]), assay.additive if assay else 0.0)
        error = np.maximum(error, 1e-6 * (1 + np.abs(like)))
        log_like = -0.5 * np.nansum(((value - like) / error) ** 2 + 2 * np.log(error), axis=(1, 2))
        log_like += self._alike(courses, subject, spread)
        possible = np.isfinite(log_like)
        log_like = np.where(possible, log_like - log_like[possible].max(), -np.inf)
        for wider in 2.0 ** np.arange(24):
            weight = np.exp(log_like / wider)
            weight /= weight.sum()
            if 1 / (weight**2).sum() >= min(LEAST_EFFECTIVE, possible.sum() / 2):
                break
        return np.asarray(weight)

    def _alike(self, courses: Courses, subject: int, spread: Array) -> Array:
        """``[member]`` logarithm of a weight by the covariates: none for another level."""
        found = np.zeros(len(self.library))
        for place, static in enumerate(courses.schema.statics):
            own, theirs = courses.statics[subject, place], self.library.statics[:, place]
            if static.levels:
                found += np.where(theirs == own, 0.0, -np.inf) if (theirs == own).any() else 0.0
            elif np.isfinite(own) and spread[place] > 0:
                found -= 0.5 * ((theirs - own) / (BANDWIDTH * spread[place])) ** 2
        return found


def _at(table: Array, grid: Array, time: Array) -> Array:
    """``[member, time, obs]`` a table on a grid ``[member, grid, obs]`` at other times, linear between the grid's."""
    place = np.clip(np.searchsorted(grid, time, side="right") - 1, 0, len(grid) - 2)
    share = np.clip((time - grid[place]) / (grid[place + 1] - grid[place]), 0.0, 1.0)[:, None]
    return np.asarray((1 - share) * table[:, place] + share * table[:, place + 1])


@dataclass(frozen=True)
class BundleTwins:
    """Forecasts of an exported bundle, which reads each subject's past and answers by the runtime."""

    predictor: Predictor
    assays: tuple[Measurement, ...] = ()

    @property
    def words(self) -> str:
        return f"forecasts of the bundle {self.predictor.bundle.name} {self.predictor.bundle.version}"

    def futures(self, courses: Courses, arm: str) -> Iterator[Futures]:
        answer = self.answer(courses, episodes_of(courses, arm))
        draws = answer.median[..., None] if answer.draws is None else answer.draws
        members = np.moveaxis(draws, 2, 0)
        first = np.cumsum(courses.after.sum(axis=1))
        weight = np.full(len(members), 1 / len(members))
        for begin, end in zip(first - courses.after.sum(axis=1), first, strict=True):
            yield Futures(recorded(courses, members[:, begin:end], self.assays), weight)

    def answer(self, courses: Courses, episodes: Episodes) -> Forecast:
        """The bundle's answer to episodes. Raises CohortError where it speaks of other channels."""
        for kind in ("variables", "treatments", "statics"):
            theirs, ours = (
                [(one.name, one.unit) for one in getattr(schema, kind)]
                for schema in (courses.schema, self.predictor.schema)
            )
            if theirs != ours:
                raise CohortError(
                    f"other {kind} than the bundle's",
                    where="trial",
                    expected=", ".join(f"{name} ({unit})" for name, unit in ours) or "none",
                    remedy="use a bundle that was trained on this simulator",
                )
        late = float(np.nanmax(courses.time)) - courses.cut
        if late > self.predictor.horizon * (1 + 1e-9):
            raise ConfigError(
                f"visits up to {late:g} {courses.schema.time_unit} after randomisation",
                where=f"bundle {self.predictor.bundle.name}",
                expected=f"at most {self.predictor.horizon:.4g}, what it was trained for",
            )
        return self.predictor(episodes)


def episodes_of(courses: Courses, arm: str) -> Episodes:
    """What was seen up to randomisation, what the arm gives, and the later visits as questions."""
    subject, visit = np.nonzero(np.isfinite(courses.time) & ~courses.after)
    tables = []
    for place in range(len(courses.schema.variables)):
        value = courses.measured[arm][subject, visit, place]
        seen = np.isfinite(value)
        tables.append(Observations.of(subject[seen], courses.time[subject, visit][seen], place, value[seen]))
    asked, when = np.nonzero(courses.after)
    whole = Cohort.build(
        courses.schema,
        courses.ids.tolist(),
        courses.statics,
        Observations.concatenate(*tables),
        courses.doses[arm],
        split_key="trial",
    )
    static, mask = courses.schema.encode_statics(courses.statics)
    return Episodes(
        courses.schema,
        static,
        mask,
        np.minimum(whole.start, courses.cut),
        np.full(len(courses), courses.cut),
        whole.observations,
        whole.doses,
        Queries.of(asked, courses.time[asked, when]),
    )


def at_visits(courses: Courses, answer: Array) -> Array:
    """Answers ``[query, obs]`` to the questions of `episodes_of` as ``[subject, visit, obs]``."""
    found = np.full((*courses.time.shape, answer.shape[1]), np.nan)
    found[np.nonzero(courses.after)] = answer
    return found


def recorded(courses: Courses, value: Array, assays: tuple[Measurement, ...]) -> Array:
    """``[..., obs]`` as the assays record it without a chance error: within their limits."""
    found = np.array(value)
    for assay in assays:
        place = courses.variable(assay.variable, "assay")
        flat = found[..., place].ravel()
        known = np.isfinite(flat)
        flat[known] = assay.measure(flat[known], np.zeros((int(known.sum()), 2)))[0]
        found[..., place] = flat.reshape(found.shape[:-1])
    return found


def expected(courses: Courses, subject: int, arm: str, futures: Futures, endpoint: Endpoint) -> float:
    """An endpoint's mean over a subject's futures: of a change of logarithms, the mean of the changes."""
    one = courses.take(np.full(len(futures.value), subject))
    table = one.measured[arm].copy()
    table[:, courses.after[subject]] = futures.value
    value = endpoint.of(replace(one, measured={arm: table}), arm, np.full(len(one), np.inf)).value
    known = np.isfinite(value)
    return float(np.average(value[known], weights=futures.weight[known])) if futures.weight[known].sum() else np.nan
