"""The pharmacometrician's baseline: the mechanistic model itself, fitted to each patient's past and run on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtri

from neurotwin.calibration import modelled
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Forecast
from neurotwin.errors import ConfigError
from neurotwin.evaluation.population_prior import PopulationPrior
from neurotwin.evaluation.residuals import LEVELS
from neurotwin.events import Doses, Observations, Queries
from neurotwin.schema import Schema
from neurotwin.solution import Solution
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]
Solve = Callable[[Any, Timeline], Solution]
"""Acts out a timeline with a simulator: `neurotwin.simulators.engine.solve`."""

STEP = 1e-4
"""Of the differences that the Jacobian is made of, in standard deviations of the prior."""
FAR = 1e3
"""Residual of a course that cannot be solved."""
LEAST_NOISE = 1e-3
"""Of a variable on its modelling scale."""


class Estimates(NamedTuple):
    """Per patient, on the log scale: ``location`` and ``sd`` ``[subject, parameter]``, the ``prior`` mean there, and
    whether the fit came to an end (``ok``)."""

    names: tuple[str, ...]
    location: Array
    sd: Array
    prior: Array
    ok: NDArray[np.bool_]


@dataclass(frozen=True)
class MechanisticMap:
    """Maximum a posteriori fit of a simulator's parameters, patient by patient (empirical Bayes estimates of
    pharmacometrics: Sheiner and Beal, J. Pharm. Sci. 1982), with a Laplace approximation around it.

    Least squares on the modelling scale: (y - h(theta)) / noise for each value, and z for the prior of
    `PopulationPrior`; a value below a limit counts only while the model is above it, and the other way round. Draws of
    z from the Laplace approximation are run through the model; noise is added for the quantiles.

    Attributes:
        simulator: its names of variables and treatments are those of the cohort.
        solve: acts it out.
        prior: of the inferred parameters; all others are the simulator's.
        noise: ``[obs]`` standard deviation of a value on the modelling scale.
        n_draws: joint draws.
    """

    simulator: Any
    solve: Solve
    prior: PopulationPrior
    noise: Array
    levels: Array
    n_draws: int = 64

    @classmethod
    def fit(
        cls,
        cohort: Cohort,
        simulator: Any,
        solve: Solve,
        *,
        names: Sequence[str] = (),
        n_draws: int = 64,
        n_patients: int = 40,
        seed: int = 0,
    ) -> Self:
        """Prior from the simulator's population, noise from the fits of some training patients.

        Args:
            names: parameters to infer; none: all that the population draws.
            n_patients: whose courses the noise is estimated from, in three rounds.

        Raises:
            ConfigError: a channel that the simulator does not have, a window, or as `PopulationPrior`.
        """
        _check(simulator, cohort.schema)
        prior = PopulationPrior.of(simulator, names, seed=seed)
        spread = [
            np.nanstd(modelled(variable, cohort.observations.value[cohort.observations.variable == index]))
            for index, variable in enumerate(cohort.schema.variables)
        ]
        found = cls(simulator, solve, prior, 0.2 * np.maximum(spread, LEAST_NOISE), np.array(LEVELS), n_draws)
        some = cohort.take(np.arange(min(n_patients, len(cohort))))
        episodes = _whole_courses(some)
        for _ in range(3):
            found = replace(found, noise=found._noise_of(episodes))
        return found

    def __call__(self, episodes: Episodes) -> Forecast:
        """Quantiles and joint draws; ``ok`` is False for patients whose model could not be solved."""
        shape = (len(episodes.queries), len(episodes.schema.variables))
        quantiles, draws = np.full((*shape, len(self.levels)), np.nan), np.full((*shape, self.n_draws), np.nan)
        normal = np.random.default_rng(20_230_517).standard_normal((self.n_draws // 2, self.prior.factor.shape[1]))
        for subject in range(len(episodes)):
            rows = np.flatnonzero(episodes.queries.subject == subject)
            one = episodes.take(np.array([subject]))
            centre, z, root = self._posterior(one)
            around = z + np.concatenate([normal, -normal]) @ root.T
            course = self._courses(one, centre + around @ self.prior.factor.T, one.queries, one.doses)
            spread = np.sqrt(np.nanvar(course, axis=0) + self.noise**2)
            middle = np.nanmean(course, axis=0)[..., None]
            quantiles[rows] = _natural(middle + spread[..., None] * ndtri(self.levels), one.schema)
            draws[rows] = _natural(np.moveaxis(course, 0, -1), one.schema)
        return Forecast(self.levels, quantiles, draws, np.isfinite(quantiles).all(axis=(1, 2)))

    def estimate(self, episodes: Episodes) -> Estimates:
        """Parameters of each patient from the past."""
        found = []
        for subject in range(len(episodes)):
            centre, z, root = self._posterior(episodes.take(np.array([subject])))
            spread = self.prior.factor @ root
            found.append((centre + self.prior.factor @ z, np.sqrt((spread**2).sum(axis=1)), centre))
        location, sd, prior = (np.stack(column) for column in zip(*found, strict=True))
        return Estimates(self.prior.names, location, sd, prior, np.isfinite(sd).all(axis=1))

    def _posterior(self, one: Episodes) -> tuple[Array, Array, Array]:
        """Prior mean of ln theta, mode of z, and a root of the covariance of z, of one patient."""
        centre = self.prior.centre(one.schema, one.static, one.static_mask)[0]
        size = self.prior.factor.shape[1]

        def jacobian(z: Array) -> Array:
            lanes = self._residuals(one, centre, z + STEP * np.concatenate([np.zeros((1, size)), np.eye(size)]))
            return np.asarray((lanes[1:] - lanes[0]).T / STEP)

        def residuals(z: Array) -> Array:
            return np.asarray(self._residuals(one, centre, z[None])[0])

        found = least_squares(residuals, np.zeros(size), jac=jacobian, max_nfev=40)
        slope = jacobian(found.x)
        left, singular, _ = np.linalg.svd(slope.T @ slope)
        return centre, found.x, left / np.sqrt(singular)

    def _residuals(self, one: Episodes, centre: Array, z: Array) -> Array:
        """``[lane, value and z]`` of one patient, for each row of z."""
        seen = one.observations
        asked = Queries.of(np.zeros(len(seen)), seen.time, seen.post_dose)
        course = self._courses(one, centre + z @ self.prior.factor.T, asked, one.past_doses)
        expected = np.take_along_axis(course, seen.variable[None, :, None].astype(np.int64), axis=2)[..., 0]
        value = _modelled(seen, one.schema)
        off = (value - expected) / self.noise[seen.variable]
        off = np.where(seen.censor < 0, np.minimum(off, 0), np.where(seen.censor > 0, np.maximum(off, 0), off))
        return np.concatenate([np.where(np.isfinite(off), off, FAR), z], axis=1)

    def _courses(self, one: Episodes, phi: Array, asked: Queries, doses: Doses) -> Array:
        """``[lane, query, obs]`` on the modelling scale, of one patient with ln theta ``[lane, parameter]``."""
        names, mechanism = self.prior.names, self.simulator
        treatment = np.array(
            [_index(mechanism.treatments, item.name) for item in one.schema.treatments], dtype=np.int16
        )
        given = replace(doses, treatment=treatment[doses.treatment]) if len(doses) else doses
        timeline = build_timeline(
            start=one.start,
            static=np.zeros((1, 0)),
            static_mask=np.zeros((1, 0)),
            n_variables=1,
            n_treatments=len(mechanism.treatments),
            observations=Observations.of([], [], [], []),
            doses=mechanism.acted_out(given),
            queries=asked,
            # Between events the engine takes steps of its own.
            max_step=1e6 * mechanism.max_step,
        )
        # A parameter outside the range that the model allows has no course; at its edge it has.
        bounds = [mechanism.parameters[name].range for name in names]
        theta = {name: np.clip(np.exp(column), *ends) for name, column, ends in zip(names, phi.T, bounds, strict=True)}
        solution = self.solve(replace(mechanism, **theta), timeline.take(np.zeros(len(phi), dtype=np.int64)))
        state = solution.at_query[:, timeline.query_row]
        found = np.asarray(
            mechanism_of_lanes(mechanism, theta, state.shape[1]).observe(state.reshape(-1, state.shape[2]))
        )
        chosen = [_index(mechanism.variables, item.name) for item in one.schema.variables]
        natural = found.reshape(len(phi), -1, found.shape[1])[..., chosen]
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = [modelled(item, natural[..., index]) for index, item in enumerate(one.schema.variables)]
        return np.stack(columns, axis=-1)

    def _noise_of(self, episodes: Episodes) -> Array:
        """Root mean square of what the fits leave, by variable, with a degree of freedom per direction of the prior
        that the data have taken up."""
        squares, counts = np.zeros(len(self.noise)), np.zeros(len(self.noise))
        for subject in range(len(episodes)):
            one = episodes.take(np.array([subject]))
            centre, z, root = self._posterior(one)
            off = (
                self._residuals(one, centre, z[None])[0][: len(one.observations)]
                * self.noise[one.observations.variable]
            )
            usable = (np.abs(off) < FAR * self.noise.min()) & (one.observations.censor == 0)
            taken = len(z) - (root**2).sum()
            np.add.at(squares, one.observations.variable[usable], off[usable] ** 2)
            np.add.at(counts, one.observations.variable[usable], 1 - min(taken / max(usable.sum(), 1), 0.9))
        return np.maximum(np.sqrt(squares / np.maximum(counts, 1.0)), LEAST_NOISE)


def mechanism_of_lanes(mechanism: Any, theta: dict[str, Array], repeats: int) -> Any:
    """The mechanism with each lane's parameters ``repeats`` times in a row."""
    return replace(mechanism, **{name: np.repeat(value, repeats) for name, value in theta.items()})


def _whole_courses(cohort: Cohort) -> Episodes:
    """Everything that was seen of each patient, as the past: nothing is asked."""
    static, mask = cohort.schema.encode_statics(cohort.statics)
    return Episodes(
        cohort.schema, static, mask, cohort.start, np.full(len(cohort), np.inf), cohort.observations, cohort.doses,
        Queries.of(),
    )  # fmt: skip


def _check(simulator: Any, schema: Schema) -> None:
    if simulator.window is not None:
        raise ConfigError(
            "it observes over a window of time", where=type(simulator).__name__, expected="a model that needs no window"
        )
    for what, theirs, own in (
        ("variable", schema.variables, simulator.variables),
        ("treatment", schema.treatments, simulator.treatments),
    ):
        units = {item.name: item.unit for item in own}
        for item in theirs:
            if units.get(item.name) != item.unit:
                raise ConfigError(
                    f"no {what} {item.name} in {item.unit}",
                    where=type(simulator).__name__,
                    expected=" | ".join(f"{name} in {unit}" for name, unit in units.items()) or "none",
                )


def _index(items: Any, name: str) -> int:
    return next(index for index, item in enumerate(items) if item.name == name)


def _modelled(seen: Observations, schema: Schema) -> Array:
    value = np.empty(len(seen))
    for index, variable in enumerate(schema.variables):
        mine = seen.variable == index
        value[mine] = modelled(variable, seen.value[mine])
    return value


def _natural(scaled: Array, schema: Schema) -> Array:
    """``[query, obs, ...]`` from the modelling scale to units."""
    return np.stack([item.inverse(scaled[:, index]) for index, item in enumerate(schema.variables)], axis=1)
