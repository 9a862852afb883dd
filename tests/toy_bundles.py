"""Two small bundles of models that were never trained, on which the tests of runtime, store and service stand.

They are kept in tests/data/bundles, because an export takes longer than all tests of the runtime:
`python tests/toy_bundles.py` makes them anew, and a test at full counts compares.
"""

import shutil
from pathlib import Path

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.schema import Schema, Static, Treatment, Variable

BUNDLES = Path(__file__).parent / "data" / "bundles"
KINDS = ("node", "gru")
SCHEMA = Schema(
    name="toy_tumour",
    time_unit="d",
    variables=(
        Variable(name="volume", unit="cm3", transform="log", plausible=(0.001, 5000)),
        Variable(name="temperature", unit="Cel", plausible=(25, 45)),
    ),
    treatments=(
        Treatment(name="chemo", unit="mg", kind="bolus"),
        Treatment(name="drip", unit="mg/h", kind="infusion"),
        Treatment(name="pump", unit="1", kind="setting"),
    ),
    statics=(Static(name="age", unit="a", plausible=(0, 120)), Static(name="sex", levels=("f", "m"))),
)
DOSES_OF = {0: ([10.0, 40.0, 70.0], np.nan), 1: ([20.0, 60.0], 10.0), 2: ([5.0, 50.0], 30.0)}


def make_cohort(n: int = 80, seed: int = 0) -> Cohort:
    """Subjects with visits over 200 days and treatments of each kind."""
    rng = np.random.default_rng(seed)
    visits = np.sort(rng.uniform(0, 200, (n, 9)), axis=1).round(1)
    visits[:, 0], visits[:, -1] = 0.0, 200.0
    subject = np.repeat(np.arange(n), visits.shape[1])
    volume = np.exp(rng.normal(3, 0.5, n)[subject] + rng.normal(0, 0.2, subject.size))
    warm = 37 + rng.normal(0, 0.5, subject.size)
    observations = Observations.concatenate(
        Observations.of(subject, visits.ravel(), 0, volume), Observations.of(subject, visits.ravel(), 1, warm)
    )
    tables = []
    for treatment, (times, length) in DOSES_OF.items():
        given = np.repeat(np.flatnonzero(rng.random(n) < 0.6), len(times))
        begin = np.resize(times, given.size)
        amount = rng.uniform(1, 10, given.size) if treatment < 2 else rng.uniform(0.2, 1, given.size)
        tables.append(Doses.of(given, begin, begin + length, treatment, amount))
    statics = np.stack([rng.uniform(30, 80, n), rng.integers(0, 2, n)], axis=1)
    ids = [f"s{number}" for number in range(n)]
    return Cohort.build(SCHEMA, ids, statics, observations, Doses.concatenate(*tables), split_key="toy")


def export_toy(folder: Path, kind: str) -> Path:
    """Export an untrained ``node`` or ``gru`` to ``folder`` and return the bundle's path."""
    import torch

    from neurotwin.export import Source, export_bundle
    from neurotwin.models import Gru, NeuralOde
    from neurotwin.scaling import Scaling
    from neurotwin.solvers import Rk4

    cohort = make_cohort()
    scaling = Scaling.fit(cohort.part("train"))
    torch.manual_seed(0)
    if kind == "gru":
        model = Gru(SCHEMA, scaling, Rk4(10.0), hidden=8)
    else:
        model = NeuralOde(SCHEMA, scaling, Rk4(10.0), memory=4, hidden=16, draws=4)
    data = {
        "cohort": "toy",
        "rotation": 0,
        "sha256": "0" * 64,
        "subjects": {"train": 48, "validation": 16, "test": 16},
    }
    config = {
        "seed": 0,
        "data": {"cohort": "toy"},
        "evaluation": {"min_visits": 2, "horizons": [30, 90], "max_horizon": None},
    }
    target = folder / f"toy_{kind}@0.1.0"
    export_bundle(Source(model, scaling, cohort, data, config, {}), target, timelines=60)
    return target


if __name__ == "__main__":
    shutil.rmtree(BUNDLES, ignore_errors=True)
    for name in KINDS:
        export_toy(BUNDLES, name)
