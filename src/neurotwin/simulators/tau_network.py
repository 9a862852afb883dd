"""Tau in Alzheimer's disease: local production and spreading along the links of a brain network.

Source: the network diffusion model of A. Raj, A. Kuceyeski, M. Weiner, "A network diffusion model of disease
progression in dementia", Neuron 73(6):1204-1215 (2012), with the logistic production of the network Fisher-KPP models
(A. Schaefer, M. Peirlinck, K. Linka, E. Kuhl, "Bayesian physics-based modeling of tau propagation in Alzheimer's
disease", Frontiers in Physiology 12:702975 (2021)). The rates and the shipped network are proposals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.schema import Treatment, Variable
from neurotwin.simulators.connectomes import LaplacianFile, Synthetic
from neurotwin.simulators.simulator import Array, Parameter, PopulationDraw, Simulator, State, Value, stack_state

PAPER = "Raj et al., Neuron 73:1204 (2012); Schaefer et al., Front Physiol 12:702975 (2021)"
REGION_COUNT = 80
# Proposals: SD on the log scale of both rates, on the logit scale of the seeds (common to both sides, and of each).
RATE_SD, SEED_SD, SIDE_SD = 0.35, 0.6, 0.4


@dataclass(frozen=True)
class TauNetwork(Simulator):
    """Burden x of each region between 0 (none) and 1 (the most it can hold).

    Time in years. States: the burdens of 80 regions.

        x' = -k / (1 + v) L x + alpha / (1 + u) x (1 - x)

    L is the Laplacian of the network. The combinatorial one, D - W, conserves the total of what spreads and keeps every
    burden between 0 and 1. The symmetric-normalised one does neither: give it only to compare with results obtained
    with it. Treatments (proposals) are inhibitors in units of their inhibition constant, u of production and v of
    spreading: at 1 the rate is halved, and inhibitors that overlap add up.

    Args:
        spreading_rate: k, 1/a.
        production_rate: alpha, 1/a.
        seed_left: burden at the start in the regions that the first row of ``seeding`` marks.
        seed_right: burden at the start in the regions that the second row of ``seeding`` marks.
        seeding: ``[2, 80]`` share of each seed in each region. Default: the entorhinal cortex of either side.
        laplacian: L, ``[80, 80]``. Default: that of the synthetic connectome.
        stages: ``[3, 80]`` weights of the regions in the means that are observed, for Braak stages I and II, III and
            IV, V and VI. They belong to the order of the regions in ``laplacian``.

    Raises:
        SimulationError: as `Simulator`, or a row of ``stages`` without any region.
    """

    spreading_rate: Value = 0.05
    production_rate: Value = 0.35
    seed_left: Value = 0.1
    seed_right: Value = 0.1
    seeding: Array = Synthetic("seeding")
    laplacian: Array = Synthetic("laplacian")
    stages: Array = Synthetic("stages")

    name: ClassVar[str] = "tau_network"
    time_unit: ClassVar[str] = "a"
    max_step: ClassVar[float] = 0.0625
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "spreading_rate": Parameter("/a", (0.0, 10.0), PAPER, "proposal"),
        "production_rate": Parameter("/a", (0.0, 10.0), PAPER, "proposal"),
        "seed_left": Parameter("1", (0.0, 1.0), "a tenth of what a region can hold", "proposal"),
        "seed_right": Parameter("1", (0.0, 1.0), "a tenth of what a region can hold", "proposal"),
        "seeding": Parameter("1", (0.0, 1.0), "the entorhinal cortex", "proposal", (2, REGION_COUNT)),
        "laplacian": Parameter("1", (-1e4, 1e4), "synthetic connectome", "proposal", (REGION_COUNT, REGION_COUNT)),
        "stages": Parameter("1", (0.0, 1e4), "regions of tau PET studies", "proposal", (3, REGION_COUNT)),
    }
    # The upper bound is not 1: with a Laplacian that does not conserve the total, burdens pass it.
    states: ClassVar[tuple[State, ...]] = tuple(
        State(f"region_{number:02d}", "1", (0.0, 2.0)) for number in range(REGION_COUNT)
    )
    treatments: ClassVar[tuple[Treatment, ...]] = (
        Treatment(name="production_inhibitor", unit="1", kind="setting", plausible=(0.0, 100.0)),
        Treatment(name="spreading_inhibitor", unit="1", kind="setting", plausible=(0.0, 100.0)),
    )
    variables: ClassVar[tuple[Variable, ...]] = tuple(
        Variable(name=name, unit="1", plausible=(-0.5, 2.0), source="mean burden of these regions")
        for name in ("tau_global", "tau_braak_1_2", "tau_braak_3_4", "tau_braak_5_6")
    )

    def __post_init__(self) -> None:
        for name in ("seeding", "laplacian", "stages"):
            if isinstance(value := getattr(self, name), (Synthetic, LaplacianFile)):
                object.__setattr__(self, name, value.array())
        super().__post_init__()
        if isinstance(self.stages, np.ndarray) and not (self.stages.sum(axis=-1) > 0).all():
            raise SimulationError("stages has an empty row", where="TauNetwork.stages", expected="a region per row")

    def initial_state(self, n: int) -> Array:
        seeds = stack_state(n, self.seed_left, self.seed_right)
        seeding = _like(self.seeding, seeds)
        return seeds @ seeding if seeding.ndim == 2 else (seeds[:, None] @ seeding)[:, 0]

    def vector_field(self, t: Array, state: Array, control: Array) -> Array:
        xp = array_namespace(state)
        production, spreading = xp.unstack(control, axis=-1)
        rate = self.production_rate / (1.0 + production)
        mobility = self.spreading_rate / (1.0 + spreading)
        leaving = _apply(_like(self.laplacian, state), state)
        return rate[..., None] * state * (1.0 - state) - mobility[..., None] * leaving

    def observe(self, state: Array) -> Array:
        xp = array_namespace(state)
        stages = _like(self.stages, state)
        groups = _apply(stages, state) / xp.sum(stages, axis=-1)
        return xp.concat([xp.mean(state, axis=-1, keepdims=True), groups], axis=-1)

    def proposed_population(self, n: int, rng: np.random.Generator) -> PopulationDraw:
        """Log-normal rates, and seeds that are normal on the logit scale and partly the same on both sides."""
        z = rng.standard_normal((n, 5))
        parameters = {
            "spreading_rate": np.asarray(self.spreading_rate * np.exp(RATE_SD * z[:, 0])),
            "production_rate": np.asarray(self.production_rate * np.exp(RATE_SD * z[:, 1])),
            "seed_left": _shifted(self.seed_left, SEED_SD * z[:, 2] + SIDE_SD * z[:, 3]),
            "seed_right": _shifted(self.seed_right, SEED_SD * z[:, 2] + SIDE_SD * z[:, 4]),
        }
        return PopulationDraw(parameters, np.zeros((n, 0)))


def _apply(table: Array, state: Array) -> Array:
    """The product of a table ``[row, region]``, or one per subject, with the state ``[batch, region]``."""
    return state @ table.T if table.ndim == 2 else (table @ state[..., None])[..., 0]


def _like(constant: Array, state: Array) -> Array:
    """A constant array in the array library, number type and device of the state."""
    if not isinstance(constant, np.ndarray) or isinstance(state, np.ndarray):
        return constant
    return array_namespace(state).asarray(constant, dtype=state.dtype, device=state.device)


def _shifted(share: Value, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """A share, 0 to 1, moved on the logit scale; 0 and 1 stay."""
    return np.asarray(share / (share + (1.0 - share) * np.exp(-logits)))
