"""What the tests of the simulators share."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from neurotwin import compose
from neurotwin.events import Doses, Observations, Queries
from neurotwin.simulators.engine import solve
from neurotwin.timeline import build_timeline

ROOT = Path(__file__).resolve().parents[1]
SIMULATORS = sorted(path.stem for path in (ROOT / "conf" / "simulator").glob("*.yaml"))
PROTOCOLS = sorted(path.stem for path in (ROOT / "conf" / "protocol").glob("*.yaml"))


def configured(group, name):
    """The object that a YAML describes."""
    node = yaml.safe_load((ROOT / "conf" / group / f"{name}.yaml").read_text())
    node.pop("defaults", None)
    return compose.build(node, f"{group}/{name}")


def population_of(simulator, n, seed=0):
    """``n`` patients of the population that a model has by default, as drawn (not screened)."""
    return getattr(simulator, f"{simulator.populations[0]}_population")(n, np.random.default_rng(seed))


def golden(name):
    """Small reference values that come with the tests."""
    return json.loads((ROOT / "tests" / "golden" / name).read_text())


def reference(path):
    """A file of the whole reference set; skips where the set is not there."""
    folder = Path(os.environ.get("NEUROTWIN_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not (folder / path).exists():
        pytest.skip(f"the whole reference set is not at {folder} (name its folder in NEUROTWIN_GOLDEN)")
    return folder / path


def timeline_of(simulator, times, doses=None, n=1, max_step=None, cut=True):
    """A timeline that asks all ``n`` subjects at ``times``, with a row boundary at each if ``cut``."""
    subject, time = np.repeat(np.arange(n), len(times)), np.tile(times, n)
    seen = Observations.of(subject, time, 0, 0.0) if cut else Observations.of([], [], [], [])
    return build_timeline(
        start=np.zeros(n),
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=1,
        n_treatments=len(simulator.treatments),
        observations=seen,
        doses=doses if doses is not None else Doses.of(),
        queries=Queries.of(subject, time),
        # The open stretch after the last event is walked in steps of this length.
        max_step=max_step or max(times[-1], 1e-9),
    )


def states_at(simulator, times, doses=None, *, method="auto", n=1, max_step=None, cut=True, **more):
    """States ``[n, time, state]`` and the solution."""
    timeline = timeline_of(simulator, times, doses, n, max_step, cut)
    solution = solve(simulator, timeline, method=method, **more)
    row = timeline.query_row.reshape(n, len(times))
    return solution.at_query[np.arange(n)[:, None], row], solution


def worst(value, expected):
    """Largest error in units of the column's largest value."""
    expected = np.asarray(expected, dtype=float)
    return float(np.abs(np.asarray(value) - expected).max() / np.abs(expected).max())


def doses_for(simulator, n, unit=1.0):
    """Each treatment twice, around 0.5 and 2 ``unit``."""
    rows = []
    for index, treatment in enumerate(simulator.treatments):
        high = min(treatment.plausible[1], 1.0) if np.isfinite(treatment.plausible[1]) else 1.0
        for begin in (0.5 * unit, 2.0 * unit):
            end = np.nan if treatment.kind == "bolus" else begin + 0.7 * unit
            rows += [(subject, begin, end, index, high) for subject in range(n)]
    return simulator.acted_out(Doses.of(*map(list, zip(*rows, strict=True)))) if rows else Doses.of()
