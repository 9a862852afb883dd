"""Networks of brain regions: a synthetic connectome of 80 regions, one's own from a file, and their Laplacian.

The synthetic connectome is a formula of this project, not a measurement: 40 regions per hemisphere (the 34 cortical
ones of the Desikan-Killiany atlas and six subcortical), linked the more strongly the nearer they are, each also linked
with its counterpart on the other side. Positions are rough (to about a centimetre), good for the order of neighbours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.simulators.checks import require

Array = NDArray[np.float64]

# Name; distance from the midline, forward and upward (mm); Braak stage in whose region it lies (0: in none), after the
# groups used with tau PET (Schoell et al., Neuron 89:971, 2016; Maass et al., NeuroImage 157:448, 2017).
REGIONS = (
    ("bankssts", 53, -45, 8, 5),
    ("caudal_anterior_cingulate", 6, 18, 28, 4),
    ("caudal_middle_frontal", 36, 12, 48, 5),
    ("cuneus", 8, -80, 20, 6),
    ("entorhinal", 24, -8, -34, 1),
    ("fusiform", 34, -44, -20, 3),
    ("inferior_parietal", 42, -68, 30, 5),
    ("inferior_temporal", 50, -32, -24, 4),
    ("isthmus_cingulate", 8, -46, 16, 4),
    ("lateral_occipital", 32, -88, 0, 5),
    ("lateral_orbitofrontal", 24, 28, -16, 5),
    ("lingual", 14, -68, -4, 3),
    ("medial_orbitofrontal", 6, 38, -16, 5),
    ("middle_temporal", 58, -26, -12, 4),
    ("parahippocampal", 24, -32, -16, 3),
    ("paracentral", 8, -28, 58, 6),
    ("pars_opercularis", 46, 14, 12, 5),
    ("pars_orbitalis", 42, 38, -10, 5),
    ("pars_triangularis", 46, 30, 4, 5),
    ("pericalcarine", 12, -80, 6, 6),
    ("postcentral", 44, -24, 46, 6),
    ("posterior_cingulate", 6, -18, 38, 4),
    ("precentral", 40, -10, 44, 6),
    ("precuneus", 10, -58, 38, 5),
    ("rostral_anterior_cingulate", 6, 36, 4, 4),
    ("rostral_middle_frontal", 34, 44, 18, 5),
    ("superior_frontal", 12, 26, 44, 5),
    ("superior_parietal", 22, -62, 50, 5),
    ("superior_temporal", 54, -14, -4, 5),
    ("supramarginal", 54, -36, 32, 5),
    ("frontal_pole", 8, 64, -10, 5),
    ("temporal_pole", 30, 10, -34, 4),
    ("transverse_temporal", 46, -22, 8, 5),
    ("insula", 38, -2, 2, 4),
    ("thalamus", 12, -18, 8, 0),
    ("caudate", 14, 10, 10, 0),
    ("putamen", 26, 2, 0, 0),
    ("pallidum", 20, -4, 0, 0),
    ("hippocampus", 26, -22, -14, 2),
    ("amygdala", 24, -4, -20, 3),
)
SIDES = ("left", "right")
PARTS = ("laplacian", "seeding", "stages")
SYNTHETIC_REGIONS = tuple(f"{name}_{side}" for side in SIDES for name, *_ in REGIONS)
"""Names of the 80 regions of the synthetic connectome, in order."""
DECAY_LENGTH = 8.0
"""mm over which the strength of a link falls by a factor e."""
CROSSING = 0.2
"""Strength of a link to the other side, relative to that of the mirrored link."""


def synthetic_weights() -> Array:
    """Strength of the links ``[80, 80]``, symmetric, the strongest 1."""
    position = np.array([row[1:4] for row in REGIONS], dtype=np.float64)
    distance = np.sqrt(((position[:, None] - position[None]) ** 2).sum(axis=-1))
    near = np.exp(-distance / DECAY_LENGTH)
    weights = np.kron(np.array([[1.0, CROSSING], [CROSSING, 1.0]]), near)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights / weights.max())


def combinatorial_laplacian(weights: Array) -> Array:
    """D - W: what leaves a region arrives in others, so that spreading conserves the total."""
    return np.asarray(np.diag(weights.sum(axis=1)) - weights)


@dataclass(frozen=True)
class Synthetic:
    """A table of the synthetic connectome, as the parameter of a network model that ``part`` names.

    Args:
        part: ``laplacian`` ``[80, 80]``, combinatorial; ``seeding`` ``[2, 80]``, 1 in the entorhinal cortex of the left
            (first row) and of the right side; ``stages`` ``[3, 80]``, 1 in the regions of Braak stages I and II, III
            and IV, V and VI.
    """

    part: Literal["laplacian", "seeding", "stages"]

    def __post_init__(self) -> None:
        require(self.part in PARTS, "part", repr(self.part), " | ".join(PARTS), "connectome")

    def array(self) -> Array:
        """The table."""
        if self.part == "laplacian":
            return combinatorial_laplacian(synthetic_weights())
        if self.part == "seeding":
            sides = [[name == f"entorhinal_{side}" for name in SYNTHETIC_REGIONS] for side in SIDES]
            return np.array(sides, dtype=np.float64)
        stage = np.tile([row[4] for row in REGIONS], 2)
        return np.stack([(stage == low) | (stage == low + 1) for low in (1, 3, 5)]).astype(np.float64)


@dataclass(frozen=True)
class LaplacianFile:
    """Combinatorial Laplacian of a connectome of one's own.

    The strongest link is scaled to 1; links of a region with itself are left out.

    Args:
        path: a table of link strengths, one row per region: ``.csv``, ``.npy``, or ``.npz`` with the array ``key``.
        key: name of the array within an ``.npz``.
    """

    path: str
    key: str = "W"

    def array(self) -> Array:
        """``[region, region]``.

        Raises:
            SimulationError: the file cannot be read, or is no symmetric table of strengths from 0 up.
        """
        try:
            weights = _load(Path(self.path), self.key)
        except (OSError, ValueError, KeyError) as error:
            raise SimulationError(f"{self.path}: {error}", where="connectome", expected=".csv, .npy or .npz") from None
        shape, where = weights.shape, f"connectome {self.path}"
        require(len(shape) == 2 and shape[0] == shape[1], "shape", shape, "a square table", where)
        weights = weights - np.diag(np.diag(weights))
        bad = weights[~((weights >= 0) & np.isfinite(weights))]
        require(not bad.size, "strength of a link", bad[:1], "a number from 0 up", where)
        require(bool(weights.any()), "strength of every link", 0, "one link at least", where)
        gap = float(np.abs(weights - weights.T).max() / weights.max())
        require(gap < 1e-6, "asymmetry", f"{gap:.2g}", "a symmetric table; average it with its transpose", where)
        return combinatorial_laplacian(0.5 * (weights + weights.T) / weights.max())


def _load(path: Path, key: str) -> Array:
    if path.suffix == ".csv":
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    else:
        content = np.load(path, allow_pickle=False)
        table = content[key] if path.suffix == ".npz" else content
    return np.asarray(table, dtype=np.float64)
