"""What acts out the patients of a trial, and the library that their twins come from."""

from dataclasses import replace
from typing import NamedTuple

from neurotwin.errors import ConfigError
from neurotwin.simulators.engine import NUMPY, Engine, Method
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol, Visits
from neurotwin.simulators.regimens import RandomCycles
from neurotwin.simulators.simulator import Simulator
from neurotwin.trials.courses import Courses
from neurotwin.trials.design import Design
from neurotwin.trials.mechanistic import Shifted, simulate_courses
from neurotwin.trials.twins import LibraryTwins

LIBRARY_SEED = 1_000_003
"""Added to a trial's seed: the patients of the library are others than its subjects."""
LIBRARY_VISITS = 150


class World(NamedTuple):
    """What acts out the patients."""

    simulator: Simulator
    population: Population
    protocol: Protocol
    engine: Engine = NUMPY
    method: Method = "auto"
    max_rejected: float = 0.01

    def courses(self, design: Design, n_subjects: int, seed: int) -> Courses:
        """Of so many patients, under both arms."""
        return simulate_courses(
            self.simulator, self.population, self.protocol, design.arms, design.cut, n_subjects=n_subjects, seed=seed,
            method=self.method, engine=self.engine, max_rejected=self.max_rejected,
        )  # fmt: skip

    def library(self, design: Design, n_subjects: int, seed: int) -> LibraryTwins:
        """Twins from other patients, seen at an even grid of times.

        Raises ConfigError for a protocol that treats patients differently before they are randomised.
        """
        random = [one for one in self.protocol.regimens if isinstance(one, RandomCycles)]
        if self.protocol.policy is not None or random:
            raise ConfigError(
                "a protocol that treats patients differently up to randomisation",
                where="trial: twins=library",
                expected="the same treatment for all",
                remedy="use twins=bundle with a bundle that reads each patient's treatments, or twins=none",
            )
        grid = Visits(interval=self.protocol.horizon / LIBRARY_VISITS)
        dense = self._replace(protocol=replace(self.protocol, visits=grid))
        return LibraryTwins(dense.courses(design, n_subjects, seed + LIBRARY_SEED), tuple(self.protocol.assays))

    def shifted(self, parameter: str, factor: float) -> "World":
        """The same, with one parameter of everybody times a factor."""
        return self._replace(population=Shifted(self.population, parameter, factor))
