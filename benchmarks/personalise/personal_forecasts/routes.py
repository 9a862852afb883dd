"""The ways from a patient's record to a forecast with an interval: each is asked for one patient at a time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from benchmarks.personalise.personal_forecasts import geng, solvers, t1d
from benchmarks.personalise.personal_forecasts.least_squares import Fit, fit_with, laplace
from benchmarks.personalise.personal_forecasts.sampling import Chains, effective_draws, sampler
from benchmarks.personalise.personal_forecasts.schedules import Array, Schedule, log_moments, schedule_of
from benchmarks.personalise.personal_forecasts.tasks import Task

from neurotwin.calibration import interval_positions
from neurotwin.episodes import Episodes
from neurotwin.runtime import Predictor

MECHANISMS = {"geng": geng, "t1d": t1d}
MODELS = {"geng": "geng_nsclc", "t1d": "t1d_uvapadova"}
LEVEL = 0.9
TAIL = 1.6448536269514722
NOISES = 25
"""Errors of measurement per draw of the posterior: quantiles of a normal distribution, so that none is random."""


class Answer(NamedTuple):
    """By query: the expected value on the task's scale of errors, and the ends of the 90 % interval of what will be
    measured, in the variable's unit. ``told``: numbers about how it was found."""

    point: Array
    low: Array
    high: Array
    told: dict[str, float]


@dataclass
class Route:
    """One way. ``answer`` takes episodes of one patient; ``knows`` says what it is given beside the record."""

    name: str
    knows: str
    answer: Callable[[Episodes], Answer]
    setting: str = ""
    seconds: list[float] = field(default_factory=list)


class Question(NamedTuple):
    """What all routes through the mechanism share."""

    task: Task
    mechanism: Any
    simulator: Any
    noise: tuple[float, float]

    @classmethod
    def of(cls, task: Task) -> "Question":
        """Of a task."""
        return cls(task, MECHANISMS[task.name], task.parts[0], log_moments(task.noise))

    def plan(self, one: Episodes) -> Schedule:
        """Rows of the patient."""
        mechanism = self.mechanism
        return schedule_of(one, self.simulator, self.noise, mechanism.context(one), mechanism.LEAST)


EQUATIONS = "equations, population, noise"
CHAINS = {"geng": Chains(4, 250, 100, 10, 0.8, 1.15), "t1d": Chains(4, 250, 100, 20, 0.45, 1.0)}
QUICK = Chains(2, 10, 2, 2, 0.5, 1.0)


def fitted(question: Question, fit: Fit) -> Callable[[Episodes], Answer]:
    """The mode, the course there, and the interval of the linearised normal approximation."""
    start = np.zeros(question.mechanism.SIZE)
    mean, sd = question.noise

    def answer(one: Episodes) -> Answer:
        plan = question.plan(one)
        found = fit.fit(start, plan)
        _, variance = laplace(found, plan)
        course = np.maximum(found.courses[0, len(plan.value) :], plan.least)
        middle, spread = np.log(course) + mean, TAIL * np.sqrt(variance + sd**2)
        told = {"solves": float(found.solves)}
        return Answer(question.task.scored(course), np.exp(middle - spread), np.exp(middle + spread), told)

    return answer


def sampled(question: Question, fit: Fit, how: Chains) -> Callable[[Episodes], Answer]:
    """The mean over draws of the posterior, and quantiles of draws with noise."""
    start, draw = np.zeros(question.mechanism.SIZE), sampler(fit)
    errors = np.sqrt(2) * _normal_quantiles()

    def answer(one: Episodes) -> Answer:
        plan = question.plan(one)
        found = fit.fit(start, plan)
        covariance, _ = laplace(found, plan)
        chains = draw(found.x, covariance, plan, how, 7)
        ahead = np.maximum(chains.courses[..., len(plan.value) :], plan.least)
        size, apart = effective_draws(np.log(ahead))
        ahead = ahead.reshape(-1, ahead.shape[-1])
        measured = ahead[:, None] * np.maximum(1 + question.task.noise * errors[:, None], 0.0)
        low, high = np.quantile(measured.reshape(-1, ahead.shape[1]), [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
        told = {"ess": float(size.min()), "rhat": float(apart.max()), "accepted": chains.accepted}
        told["solves"] = float(found.solves + how.chains * (how.burn + how.kept) * how.thin)
        return Answer(question.task.scored(ahead).mean(axis=0), low, high, told)

    return answer


def by_twin(task: Task, predictor: Predictor) -> Callable[[Episodes], Answer]:
    """An exported bundle: history to state, state to forecast, calibrated interval. Any number of patients."""
    low, high = interval_positions(predictor.levels, LEVEL)

    def answer(one: Episodes) -> Answer:
        raw = predictor(one)
        forecast = predictor.calibrated(raw, one.queries.time - one.cut[one.queries.subject])
        likely = raw.median[:, 0] if raw.draws is None else raw.draws[:, 0]
        point = task.scored(likely)
        ends = forecast.quantiles[:, 0, [low, high]].T
        return Answer(point if point.ndim == 1 else point.mean(axis=1), *ends, {})

    return answer


def mechanism_routes(task: Task, *, quick: bool = False) -> list[Route]:
    """All that solve the equations, and whose libraries are installed."""
    question = Question.of(task)
    mechanism, model = question.mechanism, MODELS[task.name]
    makers: list[tuple[str, str, Callable[[], Callable[[Episodes], Answer]]]] = [
        ("MAP, scipy LSODA", f"rtol {solvers.TOLERANCE:g}",
         lambda: fitted(question, fit_with(mechanism, solvers.lsoda(model, mechanism), compiled=False))),
        ("MAP, CVODE (libroadrunner)", f"rtol {solvers.TOLERANCE:g}",
         lambda: fitted(
             question, fit_with(mechanism, solvers.cvode(model, mechanism, question.simulator), compiled=False))),
    ]  # fmt: skip
    shared: list[Fit] = []

    def compiled() -> Fit:
        shared.extend([] if shared else [fit_with(mechanism, mechanism.walk, compiled=True)])
        return shared[0]

    how = QUICK if quick else CHAINS[task.name]
    steps = f"{how.chains} chains of {(how.burn + how.kept) * how.thin} steps"
    makers += [
        ("MAP, numba RK4", f"steps of at most {mechanism.STEP:g}", lambda: fitted(question, compiled())),
        ("posterior, numba RK4", steps, lambda: sampled(question, compiled(), how)),
    ]
    found = []
    for name, setting, make in makers:
        try:
            found.append(Route(name, EQUATIONS, make(), setting))
        except ImportError as error:
            print(f"{task.name}: {name} is left out: {error}", flush=True)
    return found


def _normal_quantiles() -> Array:
    from scipy.special import erfinv

    return np.asarray(erfinv(2 * (np.arange(NOISES) + 0.5) / NOISES - 1))
