"""Make the bundle behind `neurotwin.fake`: python scripts/make_fake_bundle.py

A neural ODE that nobody trained, on made-up patients, with one of each kind of channel: what it says means nothing, but
it says it as any bundle does. Needs neurotwin[train].
"""

import shutil
from pathlib import Path

import numpy as np
import torch

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.export import Source, export_bundle
from neurotwin.models import NeuralOde
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema, Static, Treatment, Variable
from neurotwin.solvers import Rk4

TARGET = Path(__file__).parents[1] / "src" / "neurotwin" / "fake" / "fake@1.0.0"
SCHEMA = Schema(
    name="fake",
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
SUBJECTS, VISITS, LENGTH = 200, 9, 200.0


def made_up(seed: int = 0) -> Cohort:
    """Subjects with visits over 200 days and treatments of each kind."""
    rng = np.random.default_rng(seed)
    visits = np.sort(rng.uniform(0, LENGTH, (SUBJECTS, VISITS)), axis=1).round(1)
    visits[:, 0] = 0.0
    subject = np.repeat(np.arange(SUBJECTS), VISITS)
    volume = np.exp(rng.normal(3, 0.5, SUBJECTS)[subject] + rng.normal(0, 0.2, subject.size))
    warmth = 37 + rng.normal(0, 0.5, subject.size)
    seen = Observations.concatenate(
        Observations.of(subject, visits.ravel(), 0, volume), Observations.of(subject, visits.ravel(), 1, warmth)
    )
    given = []
    for treatment, (length, highest) in enumerate(((np.nan, 10.0), (10.0, 10.0), (30.0, 1.0))):
        whom = np.repeat(np.flatnonzero(rng.random(SUBJECTS) < 0.6), 3)
        begin = np.resize([10.0, 60.0, 110.0], whom.size) + rng.uniform(0, 20, whom.size).round(1)
        given.append(Doses.of(whom, begin, begin + length, treatment, rng.uniform(0.1, 1, whom.size) * highest))
    statics = np.stack([rng.uniform(30, 80, SUBJECTS), rng.integers(0, 2, SUBJECTS)], axis=1)
    ids = [f"f{number}" for number in range(SUBJECTS)]
    return Cohort.build(SCHEMA, ids, statics, seen, Doses.concatenate(*given), split_key="fake")


def main() -> None:
    """Write the bundle anew."""
    cohort = made_up()
    scaling = Scaling.fit(cohort.part("train"))
    torch.manual_seed(0)
    model = NeuralOde(SCHEMA, scaling, Rk4(10.0), memory=4, hidden=16, draws=8)
    data = {
        "cohort": "fake",
        "rotation": 0,
        "sha256": "0" * 64,
        "subjects": {part: len(cohort.part(part)) for part in ("train", "validation", "test")},
    }
    evaluation = {"min_visits": 2, "horizons": [30, 90], "max_horizon": None}
    config = {"seed": 0, "data": {"cohort": "fake"}, "evaluation": evaluation}
    source = Source(model, scaling, cohort, data, config, {})
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    export_bundle(source, TARGET, timelines=200)


if __name__ == "__main__":
    main()
