"""The two questions: which virtual patients, what is known of them, and what is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin import compose
from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, Targets, make_episodes
from neurotwin.errors import IntegrityError
from neurotwin.simulators.simulate import simulate

Array = NDArray[np.float64]
WORK = Path("runs/benchmarks/personalise")
TRAINING_SEED, TEST_SEED = 1, 20_001


@dataclass(frozen=True)
class Task:
    """Patients of one simulator, one variable of theirs, and a cut between the past and what is asked.

    Attributes:
        name: ``geng`` or ``t1d``.
        settings: overrides of conf/simulate.yaml.
        variable: the one that is seen and forecast; others of the simulator are hidden.
        noise: relative standard deviation of its measurement.
        limits: of its measurement; what lies beyond is recorded as the limit, censored.
        cut, horizon: when the past ends, and how long after it is asked about, in the simulator's unit of time.
        unit: of the error: of ``scored``.
        n_training: patients of the cohort that twins are trained on, of which six tenths are fitted.
        larger: the same of models that take more.
    """

    name: str
    settings: tuple[str, ...]
    variable: str
    noise: float
    limits: tuple[float, float]
    cut: float
    horizon: float
    unit: str
    n_training: int
    larger: Mapping[str, int] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Any, Any, Any]:
        """Simulator, population and protocol."""
        config = compose.compose("simulate", list(self.settings))
        simulator, population, protocol = (compose.build(config[key], key) for key in PARTS)
        return simulator, population, protocol

    def scored(self, value: Array) -> Array:
        """Values on the scale on which errors are taken; beyond a limit of measurement nothing is told apart."""
        held = np.clip(value, *self.limits)
        return np.log(held) if self.name == "geng" else held

    def cohort(self, n: int, seed: int, *, noise: bool = True) -> Cohort:
        """``n`` virtual patients with the task's variable alone."""
        return only(simulate(*self.parts, n_subjects=n, seed=seed, noise=noise), self.variable)

    def training_size(self, model: str) -> int:
        """Patients of the cohort that this model's twin is trained on."""
        return self.larger.get(model, self.n_training)

    def training_folder(self, model: str, work: Path = WORK) -> Path:
        """Folder of the cohort that a model's twin is trained on, simulated unless it is there."""
        n = self.training_size(model)
        folder = work / "cohorts" / f"{self.name}-{n}"
        if not (folder / "cohort.json").exists():
            self.cohort(n, TRAINING_SEED).save(folder)
        return folder

    def questions(self, n: int) -> "Questions":
        """The first ``n`` test patients, whom no twin was trained on, with what is true of them."""
        seen, exact = (self.cohort(n, TEST_SEED, noise=noise) for noise in (True, False))
        same = np.array_equal(seen.doses.time, exact.doses.time) and np.array_equal(
            seen.observations.time, exact.observations.time
        )
        if not same:
            raise IntegrityError("patients differ with and without noise", where=self.name)
        episodes, targets, kept = make_episodes(seen, self.cut, max_horizon=self.horizon)
        _, truth, _ = make_episodes(exact, self.cut, max_horizon=self.horizon)
        if len(targets) != len(episodes.queries) or (targets.query != truth.query).any():
            raise IntegrityError("a question without its truth", where=self.name)
        order = np.argsort(targets.query)
        return Questions(self, episodes, targets.take(order), truth.value[order], _taken(seen.truth, kept))


class Questions(NamedTuple):
    """Test patients: ``episodes`` to answer; by query, what is measured there (``targets``) and what is true
    (``[query]``); the ``parameters`` ``[patient]`` that made them, which no route sees."""

    task: Task
    episodes: Episodes
    targets: Targets
    truth: Array
    parameters: dict[str, Array]

    def first(self, n: int) -> "Questions":
        """Only the first ``n`` patients."""
        rows = np.flatnonzero(self.episodes.queries.subject < n)
        targets = replace(self.targets.take(rows), query=np.arange(len(rows)))
        episodes = self.episodes.take(np.arange(min(n, len(self.episodes))))
        return Questions(self.task, episodes, targets, self.truth[rows], _taken(self.parameters, slice(n)))


PARTS = ("simulator", "population", "protocol")
TASKS = {
    "geng": Task(
        name="geng",
        # In the morning of every third day, before what is given that day.
        settings=("simulator=geng_nsclc", "protocol.visits.jitter=0.0"),
        variable="tumour_volume",
        noise=0.05,
        limits=(0.0042, np.inf),
        cut=30.0,
        horizon=30.0,
        unit="of ln volume",
        n_training=6000,
        larger={"neural_mixed": 30000},
    ),
    "t1d": Task(
        name="t1d",
        settings=("simulator=t1d_uvapadova", "protocol.visits.interval=30.0"),
        variable="cgm",
        noise=0.1,
        limits=(39.0, 600.0),
        cut=2160.0,
        horizon=720.0,
        unit="mg/dL",
        n_training=4000,
    ),
}


def only(cohort: Cohort, variable: str) -> Cohort:
    """The cohort with one of its variables."""
    schema = cohort.schema
    place = next(index for index, item in enumerate(schema.variables) if item.name == variable)
    seen = cohort.observations.take(cohort.observations.variable == place)
    return replace(
        cohort,
        schema=schema.model_copy(update={"variables": (schema.variables[place],)}),
        observations=replace(seen, variable=np.zeros_like(seen.variable)),
    )


def _taken(columns: dict[str, Array], index: Any) -> dict[str, Array]:
    return {name: value[index] for name, value in columns.items()}
