"""The mechanistic baseline by name: which simulator is fitted to each patient."""

from typing import Any

from neurotwin.cohort import Cohort
from neurotwin.compose import build, compose
from neurotwin.episodes import Predict
from neurotwin.errors import ConfigError
from neurotwin.evaluation.mechanistic_map import MechanisticMap
from neurotwin.simulators.engine import solve

NAME = "mechanistic_map"


def is_mechanistic(name: str) -> bool:
    """Whether a baseline's name asks for a mechanistic fit: ``mechanistic_map`` or ``mechanistic_map=SIMULATOR``."""
    return name.partition("=")[0] == NAME


def mechanistic_map(train: Cohort, name: str) -> Predict:
    """Maximum a posteriori fits of a simulator, its noise estimated on training subjects.

    Args:
        name: ``mechanistic_map=SIMULATOR``, one of ``conf/simulator``; without one it is the simulator that the cohort
            came from, looked up by its name: nothing is built that a cohort's file names.

    Raises:
        ConfigError: no such simulator; none named and the cohort was not simulated; or as `MechanisticMap.fit`.
    """
    chosen = name.partition("=")[2] or _origin(train)
    simulator = build(compose("simulate", [f"simulator={chosen}"])["simulator"], "simulator")
    return MechanisticMap.fit(train, simulator, solve)


def _origin(cohort: Cohort) -> str:
    """Name of the simulator that a cohort came from."""
    told: Any = cohort.provenance.get("simulator")
    parts = str(told.get("_target_", "") if isinstance(told, dict) else "").split(".")
    if parts[:2] != ["neurotwin", "simulators"] or len(parts) != 4:
        raise ConfigError(
            "the cohort does not say which simulator it came from",
            where=f"--baseline {NAME}",
            expected=f"{NAME}=SIMULATOR, one of conf/simulator that has the cohort's variables",
        )
    return parts[2]
