"""Small schemas, cohorts and models whose every number is cheap: shared by the tests of the training side."""

from functools import partial

import numpy as np
import torch

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations, Queries
from neurotwin.export import Source
from neurotwin.models import (
    BayesOde,
    Gru,
    GruOdeBayes,
    LatentOde,
    NeuralCde,
    NeuralFlow,
    NeuralMixed,
    NeuralOde,
    PopulationOde,
)
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema, Static, Treatment, Variable
from neurotwin.solvers import Heun, Rk4, Rows
from neurotwin.timeline import build_timeline

MAX_STEP = 1.0
SIZES = ("model.hidden=8", "model.memory=3", "model.draws=4")
QUIET = ("trainer=cpu", "callbacks.progress=null")


def toy_schema(treatments=True, statics=True):
    """Two variables, one of them on a log scale; a bolus and an infusion; a number and a level as covariates."""
    return Schema(
        name="toy",
        time_unit="d",
        variables=(
            Variable(name="size", unit="mm", transform="log", plausible=(0, 1e4)),
            Variable(name="level", unit="mg/dL"),
        ),
        treatments=(
            Treatment(name="drug", unit="mg", kind="bolus"),
            Treatment(name="drip", unit="mg/d", kind="infusion"),
        )
        if treatments
        else (),
        statics=(Static(name="age", unit="a", plausible=(0, 120)), Static(name="sex", levels=("f", "m")))
        if statics
        else (),
    )


def toy_cohort(n=40, seed=0, *, treatments=True, statics=True, key="toy", first=0):
    """Each subject decays at a rate of its own, is seen at four to seven irregular visits, and is dosed at random."""
    schema, tables, doses = toy_schema(treatments, statics), [], [Doses.of()]
    covariates = np.zeros((n, len(schema.statics)))
    for subject in range(n):
        rng = np.random.default_rng((seed, first + subject))
        time = np.r_[0.0, np.sort(rng.uniform(0.3, 8, rng.integers(3, 7)))].round(3)
        size = rng.uniform(5, 50) * np.exp(-rng.uniform(0.05, 0.4) * time) * rng.lognormal(0, 0.05, len(time))
        tables += [
            Observations.of(subject, time, 0, size),
            Observations.of(subject, time[1:], 1, 90 + 10 * rng.normal(size=len(time) - 1)),
        ]
        if treatments:
            doses.append(Doses.of(subject, rng.uniform(0, 6, 2).round(2), np.nan, 0, rng.uniform(1, 5, 2)))
            doses.append(Doses.of(subject, [1.0], [1.0 + rng.uniform(0.5, 3)], 1, [rng.uniform(1, 2)]))
        if statics:
            covariates[subject] = (rng.uniform(20, 80), rng.integers(2))
    ids = [f"s{first + number:05d}" for number in range(n)]
    return Cohort.build(
        schema,
        ids,
        covariates,
        Observations.concatenate(*tables),
        Doses.concatenate(*doses),
        split_key=key,
        provenance={"simulator": "toy"},
    )


OTHERS = {
    "bayes_ode": (BayesOde, {"patient": 3, "hidden": 8}),
    "latent_ode": (LatentOde, {"latent": 2, "memory": 4, "hidden": 8}),
    "neural_cde": (NeuralCde, {"memory": 3, "hidden": 8}),
    "gru_ode_bayes": (GruOdeBayes, {"hidden": 8}),
    "neural_flow": (NeuralFlow, {"memory": 3, "hidden": 8, "layers": 2}),
    "neural_mixed": (NeuralMixed, {"effects": 3, "hidden": 8, "rates": 2, "features": 3}),
    "population_ode": (PopulationOde, {"effects": 2, "unseen": 2, "hidden": 8}),
}
"""Name of a model -> its class and small sizes."""


def toy_model(cohort, kind="neural_ode", *, solver=None, seed=0, **more):
    """An untrained model in evaluation mode."""
    torch.manual_seed(seed)
    scaling = Scaling.fit(cohort.part("train"))
    if kind == "gru":
        return Gru(cohort.schema, scaling, solver or Rk4(MAX_STEP), hidden=8).eval()
    if kind in OTHERS:
        family, sizes = OTHERS[kind]
        return family(cohort.schema, scaling, solver or Rk4(MAX_STEP), **{**sizes, "draws": 4, **more}).eval()
    given = {"memory": 3, "hidden": 8, "draws": 4, **more}
    return NeuralOde(cohort.schema, scaling, solver or Rk4(MAX_STEP), **given).eval()


KINDS = {
    "neural_ode": lambda cohort: toy_model(cohort),
    "neural_ode_heun": lambda cohort: toy_model(cohort, solver=Heun(MAX_STEP), extremes=True, step=True),
    "gru": lambda cohort: toy_model(cohort, "gru"),
    **{kind: partial(toy_model, kind=kind) for kind in OTHERS},
}


def rows_of(cohort, *, observations=None, doses=None, queries=None, start=None, max_step=MAX_STEP):
    """Rows of events of a cohort's subjects, tensors."""
    n = len(cohort)
    timeline = build_timeline(
        start=np.zeros(n) if start is None else start,
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        n_variables=2,
        n_treatments=len(cohort.schema.treatments),
        observations=observations or Observations.of([], [], [], []),
        doses=doses or Doses.of(),
        queries=queries or Queries.of(),
        max_step=max_step,
    )
    return Rows.of(timeline), timeline


def assimilated(model, cohort, rows, *, state=None, fresh=True):
    """Packed state after rows, of all subjects of a cohort."""
    n = len(cohort)
    static, mask = (torch.as_tensor(item, dtype=torch.float32) for item in cohort.schema.encode_statics(cohort.statics))
    before = torch.zeros(n, model.state_size) if state is None else state
    with torch.no_grad():
        return model.assimilate(before, torch.full((n,), float(fresh)), torch.zeros(n), static, mask, rows)


def source_of(model, cohort, folder):
    """What `neurotwin.recipes.export_source` reads from a run's folder."""
    config = {
        "seed": 1,
        "paths": {"output_dir": str(folder)},
        "logger": {"csv": {"save_dir": str(folder)}},
        "callbacks": {"checkpoints": {"dirpath": str(folder)}},
        "data": {"cohort": str(folder / "cohort")},
        "evaluation": {"cut": "random", "min_visits": 2, "max_horizon": None, "horizons": [2.0]},
    }
    parts = {name: len(cohort.part(name)) for name in ("train", "validation", "test")}
    data = {
        "cohort": str(folder / "cohort"),
        "sha256": "0" * 64,
        "provenance": cohort.provenance,
        "rotation": 0,
        "subjects": parts,
        "observations": parts,
    }
    return Source(model, Scaling.fit(cohort.part("train")), cohort, data, config, {"best_validation_loss": 1.0})
