"""The reference: how many patients of training lay between the quantiles of each feature. Aggregates alone.

``reference.json`` of a bundle. Cells hold `FEWEST` patients or more, and an edge lies halfway between the values of two
patients; it is a value of theirs only where `FEWEST` or more share it, the least and the largest too. What cannot be
avoided otherwise, rare levels above all, is rounded: 1 to 9 patients are told as none or as `FEWEST`.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.bundle import Bundle, strict_json
from neurotwin.errors import BundleError, IntegrityError
from neurotwin.monitoring.features import Feature, Table

Array = NDArray[np.float64]
FILE = "reference.json"
FORMAT = 1
FEWEST = 10
"""Patients of a cell, at least."""
CELLS = 100
"""Cells of a number's table, at most."""


@dataclass(frozen=True)
class Marginal:
    """One feature among the reference's patients.

    Attributes:
        edges: ``[cell - 1]`` upper ends of a number's cells but the last, which is open; empty for a category.
        counts: ``[cell]`` patients in each cell, or at each level.
        mean: of a number; 0 of a category.
    """

    edges: Array
    counts: NDArray[np.int64]
    mean: float = 0.0

    @property
    def n(self) -> int:
        """Patients that have the feature."""
        return int(self.counts.sum())

    def fits(self, feature: Feature) -> bool:
        """Whether the table is one of such a feature: of its levels, or of a number."""
        return len(self.counts) == len(feature.levels) if feature.levels else bool(len(self.edges))

    def cells(self, values: Array) -> NDArray[np.int64]:
        """``[patient]`` cell of each value; one more than the last cell where there is no value."""
        known = np.isfinite(values)
        place = np.searchsorted(self.edges, values, side="left") if len(self.edges) else np.where(known, values, 0)
        return np.where(known, place, len(self.counts)).astype(np.int64)

    def count(self, values: Array) -> NDArray[np.int64]:
        """``[cell]`` patients in each."""
        return np.bincount(self.cells(values), minlength=len(self.counts) + 1)[:-1]

    @classmethod
    def of(cls, feature: Feature, values: Array) -> Self | None:
        """The table of one column, or None where too few patients have it, or all of them the same."""
        known = values[np.isfinite(values)]
        if len(known) < 2 * FEWEST:
            return None
        edges = np.zeros(0) if feature.levels else _edges(np.sort(known))
        if not feature.levels and not len(edges):
            return None
        counts = _count(edges, known, len(feature.levels) or len(edges) + 1)
        few = (counts > 0) & (counts < FEWEST)
        told = np.where(few, np.where(2 * counts < FEWEST, 0, FEWEST), counts)
        if len(told) < 2 or not told.any():
            return None
        return cls(edges, told, 0.0 if feature.levels else _short(float(known.mean())))


def _count(edges: Array, known: Array, cells: int) -> NDArray[np.int64]:
    place = np.searchsorted(edges, known, side="left") if len(edges) else known.astype(np.int64)
    return np.bincount(place, minlength=cells)


def _edges(ordered: Array) -> Array:
    """Edges between cells of `FEWEST` patients or more, as even as that and ties allow.

    A value that many share at an end, or that most share, has an edge on each side: others are strange even where
    nobody had them.
    """
    n = len(ordered)
    cells = min(CELLS, n // FEWEST)
    rank = np.unique(np.round(np.arange(1, cells) * n / cells).astype(np.int64))
    shared = [value for value in (ordered[0], ordered[-1]) if (ordered == value).sum() >= FEWEST]
    if (ordered == ordered[n // 2]).sum() > n / 2:
        shared.append(ordered[n // 2])
    forced = {float(end) for value in shared for end in (np.nextafter(value, -np.inf), value)}
    above = np.minimum(np.searchsorted(ordered, ordered[rank - 1], side="right"), n - 1)  # the next value, past ties
    edges, filled = [], 0
    for edge in sorted(forced | {_short(one) for one in (ordered[rank - 1] + ordered[above]) / 2}):
        below = int(np.searchsorted(ordered, edge, side="right"))
        alike = below - int(np.searchsorted(ordered, edge, side="left"))
        own = 0 < alike < FEWEST  # a value of a few patients, which is not told
        if edge in forced or (below - filled >= FEWEST and n - below >= FEWEST and not own):
            edges.append(edge)
            filled = below
    return np.array(edges)


@dataclass(frozen=True)
class Reference:
    """Marginals by feature name, and whose they are."""

    n_patients: int
    description: str
    marginals: Mapping[str, Marginal]

    @classmethod
    def of(cls, *tables: Table, description: str = "") -> Self:
        """From feature tables: that of the inputs first, then those of how good forecasts were."""
        found = {
            feature.name: Marginal.of(feature, table.values[:, column])
            for table in tables
            for column, feature in enumerate(table.features)
        }
        return cls(len(tables[0]), description, {name: one for name, one in found.items() if one is not None})

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self | None:
        """The one that a bundle carries, or None.

        Raises:
            BundleError: it cannot be read.
            IntegrityError: it changed since the bundle was loaded.
        """
        entry = bundle.manifest["files"].get(FILE)
        if entry is None:
            return None
        try:
            content = (bundle.path / FILE).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise IntegrityError("the file does not match its recorded hash", where=str(bundle.path / FILE))
        try:
            return cls.from_dict(strict_json(content))
        except ValueError:
            raise BundleError("not readable as JSON", where=FILE) from None

    def to_json(self) -> str:
        """Content of ``reference.json``."""
        marginals = {
            name: {"edges": one.edges.tolist(), "counts": one.counts.tolist(), "mean": one.mean}
            for name, one in self.marginals.items()
        }
        told = {"schema_version": FORMAT, "n_patients": self.n_patients, "description": self.description}
        return json.dumps(told | {"fewest": FEWEST, "features": marginals}, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Back from what `to_json` wrote. Raises BundleError when it is not that."""
        try:
            if content["schema_version"] != FORMAT:
                raise BundleError("another schema_version", where=FILE, expected=str(FORMAT))
            marginals = {str(name): _marginal(one) for name, one in content["features"].items()}
            return cls(int(content["n_patients"]), str(content["description"]), marginals)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise BundleError(
                "not a readable reference", where=FILE, expected="what `neurotwin export` wrote"
            ) from None


def _marginal(content: Any) -> Marginal:
    edges, counts = np.array(content["edges"], dtype=np.float64), np.array(content["counts"], dtype=np.int64)
    mean = float(content["mean"])
    one_dimensional = edges.ndim == 1 and counts.ndim == 1 and len(counts) >= 2
    if not one_dimensional or (len(edges) and len(counts) != len(edges) + 1) or not math.isfinite(mean):
        raise ValueError
    if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any() or (counts < 0).any() or not counts.sum():
        raise ValueError
    return Marginal(edges, counts, mean)


def _short(value: float) -> float:
    """Six digits: no more is needed to tell where a quantile lies."""
    return float(f"{value:.6g}")
