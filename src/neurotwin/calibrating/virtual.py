"""From a simulator, a protocol and the regimens of plans to a bundle's ``differences`` part."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurotwin.calibrating.fitting import fit_differences
from neurotwin.calibrating.pairs import Trial, drawn_plans, gaps_of
from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor
from neurotwin.runtime.paired import PairedCalibration
from neurotwin.simulators.checks import require_whole
from neurotwin.simulators.engine import NUMPY
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.provenance import describe, provenance
from neurotwin.simulators.simulator import Simulator

CUTS = (1 / 3, 1 / 2, 2 / 3)


@dataclass(frozen=True)
class Virtual:
    """Virtual patients and their pairs of plans, as `conf/calibrate.yaml` says.

    Attributes:
        protocol: that the patients go through up to the cut.
        plans: whose regimens both plans are drawn from, counted from the cut; None takes those of ``protocol``.
        n_subjects, seed: which patients.
        cuts: when the plans begin; None takes a third, a half and two thirds of the protocol.
        horizons, min_patients: as in `fit_differences`.
    """

    simulator: Simulator
    population: Population
    protocol: Protocol
    plans: Protocol | None
    n_subjects: int
    seed: int
    cuts: Sequence[float] | None = None
    horizons: Sequence[float] | None = None
    min_patients: int = 100

    def __post_init__(self) -> None:
        require_whole("calibrate", 1, n_subjects=self.n_subjects, min_patients=self.min_patients)
        require_whole("calibrate", 0, seed=self.seed)
        if not (self.plans or self.protocol).regimens:
            raise ConfigError(
                "a protocol without regimens to draw plans from",
                where="calibrate: plans",
                remedy="name one with protocol@plans=NAME, such as protocol@plans=randomised_chemo_rt",
            )
        if self.cuts is not None and not self.cuts:
            raise ConfigError("no cuts", where="calibrate: cuts", expected="times within the protocol, or null")

    @property
    def trial(self) -> Trial:
        """Who is simulated under which plans."""
        cuts = [share * self.protocol.horizon for share in CUTS] if self.cuts is None else [float(c) for c in self.cuts]
        regimens = (self.plans or self.protocol).regimens
        return Trial(self.simulator, self.population, self.protocol, drawn_plans(regimens), cuts, self.seed)

    @property
    def about(self) -> dict[str, Any]:
        """For people: who was simulated, under which plans."""
        trial = self.trial
        told = provenance(self.simulator, self.population, self.protocol, self.n_subjects, self.seed, "auto", NUMPY)
        cuts = ", ".join(f"{cut:g}" for cut in trial.cuts)
        names = sorted({one.treatment for one in (self.plans or self.protocol).regimens})
        return {
            "description": f"{self.n_subjects} of {self.simulator.name} (seed {self.seed}), plans of "
            f"{', '.join(names)} that begin at {cuts} {self.simulator.time_unit}",
            "simulation": told,
            "plans": describe((self.plans or self.protocol).regimens),
            "cuts": [float(cut) for cut in trial.cuts],
        }


def calibrate_differences(
    predictor: Predictor, virtual: Virtual, done: Callable[[int], None] = lambda _: None
) -> PairedCalibration:
    """Simulate, ask and fit; ``done`` is told the number of patients as they come.

    Raises:
        ConfigError: the seed is that of the patients whom the bundle learned from, or numbers out of range.
        BundleError, CohortError, SimulationError: as `gaps_of` and `fit_differences`.
    """
    if virtual.seed == _own_seed(predictor, virtual.simulator):
        raise ConfigError(
            f"seed {virtual.seed}", where="calibrate", expected="another than that of the bundle's own patients"
        )
    gaps = gaps_of(predictor, virtual.trial, virtual.n_subjects, done)
    return fit_differences(
        gaps,
        predictor,
        horizons=virtual.horizons,
        min_patients=virtual.min_patients,
        seed=virtual.seed,
        pairs={**virtual.about, "n_answered": len(np.unique(gaps.subject))},
    )


def _own_seed(predictor: Predictor, simulator: Simulator) -> int | None:
    """The seed of the patients whom the bundle learned from, if this simulator drew them."""
    path = predictor.bundle.path / "training" / "data_card.json"
    told = json.loads(path.read_text(encoding="utf-8")).get("provenance", {}) if path.is_file() else {}
    same = told.get("simulator", {}).get("_target_") == describe(simulator)["_target_"]
    return told.get("seed") if same else None
