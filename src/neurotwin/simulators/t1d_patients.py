"""Patients of `neurotwin.simulators.t1d_uvapadova`: the 30 of simglucose, read from where they are, and a fit to them.

The table itself does not come with this project: it is read from the installed package simglucose, which is not
imported, or from the file that the environment variable NEUROTWIN_T1D_PATIENTS names. The fit is a small file of
numbers, made by ``scripts/fit_t1d_patients.py``: for each age group mean and SD of each parameter on a scale without
bounds, and one correlation matrix, shrunk, of the deviations from the groups' means.
"""

import csv
import json
import os
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import SimulationError
from neurotwin.simulators.t1d_parameters import SYMBOLS

Array = NDArray[np.float64]

GROUPS = ("adult", "adolescent", "child")
VARIABLE = "NEUROTWIN_T1D_PATIENTS"
CONSTANT = ("absorbed_fraction", "independent_uptake", "renal_rate", "renal_threshold", "hepatic_extraction")
"""The same in all 30 patients."""
FITTED = tuple(name for name in SYMBOLS if name not in CONSTANT)
SHARES = ("slowest_emptying", "slowing_share", "recovery_share")
"""Fitted as the logit of a share (of ``fastest_emptying`` the first); all others as logarithms."""
MOST_SD = 2.0
"""Farthest that a drawn parameter lies from its group's mean: about as far as the extremes of ten patients."""
FIT = "t1d_patients.json"
REMEDY = f"pip install --no-deps simglucose==0.2.11, name the table in {VARIABLE}, or use population=proposed"


def draw_from_table(n: int, rng: np.random.Generator) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Parameters of ``n`` patients of the table and their age groups. Raises SimulationError where it is not found."""
    group, values = patient_table(table_path())
    chosen = rng.integers(len(group), size=n)
    return dict(zip(SYMBOLS, values[chosen].T, strict=True)), group[chosen]


def draw_from_fit(n: int, rng: np.random.Generator) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Parameters of ``n`` new patients and their age groups, drawn with equal shares."""
    mean, sd, root = _fit()
    group = rng.integers(len(GROUPS), size=n)
    deviation = np.full((n, len(FITTED)), np.inf)
    while (far := (np.abs(deviation) > MOST_SD).any(axis=1)).any():
        deviation[far] = rng.standard_normal((int(far.sum()), len(FITTED))) @ root.T
    return from_scale(mean[group] + sd[group] * deviation), group


def ratio_to_adults(name: str, group: str) -> float:
    """A parameter's median in an age group over that of adults."""
    return _medians()[group][name] / _medians()["adult"][name]


def to_scale(values: dict[str, Array]) -> Array:
    """Parameters ``[batch]`` as columns ``[batch, parameter]`` without bounds, in the order of ``FITTED``."""
    shares = dict(values, slowest_emptying=values["slowest_emptying"] / values["fastest_emptying"])
    logs = {name: np.log(shares[name]) for name in FITTED}
    return np.stack([logs[name] - (np.log1p(-shares[name]) if name in SHARES else 0) for name in FITTED], axis=1)


def from_scale(columns: Array) -> dict[str, Array]:
    """The inverse of `to_scale`."""
    raised = dict(zip(FITTED, np.exp(columns).T, strict=True))
    values = {name: value / (1 + value) if name in SHARES else value for name, value in raised.items()}
    return dict(values, slowest_emptying=values["slowest_emptying"] * values["fastest_emptying"])


@cache
def patient_table(path: Path) -> tuple[NDArray[np.int64], Array]:
    """Age group ``[patient]``, and parameters ``[patient, parameter]`` in the order of ``SYMBOLS``."""
    where = str(path)
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        group = [GROUPS.index(row["Name"].split("#")[0]) for row in rows]
        values = np.array([[float(row[symbol]) for symbol in SYMBOLS.values()] for row in rows])
    except OSError as error:
        raise SimulationError(f"cannot be read: {error.strerror}", where=where, remedy=REMEDY) from None
    except (KeyError, TypeError, ValueError) as error:
        message = f"not a table of patients: {error!r}"
        raise SimulationError(message, where=where, expected="params/vpatient_params.csv of simglucose") from None
    if not len(rows):
        raise SimulationError("no patients", where=where, expected="params/vpatient_params.csv of simglucose")
    return np.array(group), values


def table_path() -> Path:
    """Where the 30 patients are. Raises SimulationError where there is neither the package nor a file named."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    spec = find_spec("simglucose")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        where = "published population of t1d_uvapadova"
        raise SimulationError("the package simglucose is not installed", where=where, remedy=REMEDY)
    return Path(spec.submodule_search_locations[0]) / "params" / "vpatient_params.csv"


@cache
def _fit() -> tuple[Array, Array, Array]:
    """Means and SDs ``[group, parameter]`` and a square root of the correlations."""
    content: dict[str, Any] = json.loads(files(__package__).joinpath(FIT).read_text(encoding="utf-8"))
    mean, sd = (
        np.array([[content[what][group][name] for name in FITTED] for group in GROUPS]) for what in ("mean", "sd")
    )
    return mean, sd, np.linalg.cholesky(np.array(content["correlation"]))


@cache
def _medians() -> dict[str, dict[str, float]]:
    mean, _, _ = _fit()
    medians = from_scale(mean)
    return {group: {name: float(medians[name][i]) for name in FITTED} for i, group in enumerate(GROUPS)}
