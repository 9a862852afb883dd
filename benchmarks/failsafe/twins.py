"""The bundles that are asked: one that the repository holds, and two exported from weights that it keeps.

    neurotwin simulate simulator=warfarin protocol=warfarin_randomised n_subjects=1000 seed=1
    neurotwin train data.cohort=... and the settings of `TWINS`

is what the weights came from (`python benchmarks/failsafe/run.py --train` does both, in three minutes).
"""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.personalise.personal_forecasts.twins import keep
from benchmarks.weights import read_weights

from neurotwin.cohort import Cohort
from neurotwin.export import Source, export_bundle
from neurotwin.recipes import load_run
from neurotwin.runtime import Predictor
from neurotwin.scaling import Scaling
from neurotwin.schema import Variable
from neurotwin.training.checkpoint import read_checkpoint

HERE = Path(__file__).resolve().parent
WORK = Path("runs/benchmarks/failsafe")
CHECKPOINTS = HERE.parents[1] / "checkpoints"
TRAINING, UNSEEN = 1, 20_264
"""Seeds of the patients that a twin learned from, and of those that it never saw."""


@dataclass(frozen=True)
class Kind:
    """One bundle and the population that it knows.

    Attributes:
        simulator: with its own protocol and population, unless ``protocol`` names another.
        settings: of the training, in Hydra's syntax; none where the repository holds the bundle.
        offset: of the logarithm on which the channels are modelled, cut off at 0, so that no forecast is a negative
            concentration; none where they are as the simulator has them.
        weights: folder in which the repository keeps them.
        patients: whom it learned from, those of validation and test included.
    """

    name: str
    simulator: str
    protocol: str
    settings: tuple[str, ...] = ()
    offset: float | None = None
    weights: Path = HERE / "weights"
    patients: int = 1000


def settings(max_step: float, horizons: str, epochs: int = 20) -> tuple[str, ...]:
    """Of the training: a small neural ODE."""
    return (
        "data.min_visits=3",
        "solver@model.solver=midpoint",
        f"model.solver.max_step={max_step}",
        "model.memory=6",
        "model.hidden=32",
        "model.use_clock=false",
        "optimizer.lr=5.0e-3",
        f"trainer.max_epochs={epochs}",
        "evaluation.min_visits=3",
        f"evaluation.horizons={horizons}",
        "callbacks.progress=null",
    )


TWINS = {
    kind.name: kind
    for kind in (
        Kind("lung_tumour", "geng_nsclc", "daily_confounded"),
        Kind("vancomycin", "vancomycin", "vancomycin_randomised", settings(4.0, "[24.0]"), offset=1.0),
        Kind("warfarin", "warfarin", "warfarin_randomised", settings(12.0, "[72.0,168.0]"), offset=1.0),
    )
}


def predictor_of(kind: Kind, work: Path = WORK) -> Predictor:
    """The bundle, exported unless it is there."""
    if not kind.settings:
        return Predictor.load(next(CHECKPOINTS.glob(f"{kind.name}@*")))
    folder = work / "bundles" / f"{kind.name}@0.1.0"
    if not folder.exists():
        surrogate, told = read_weights(weights_path(kind))
        scaling = Scaling.from_dict(read_checkpoint(weights_path(kind))["scaling"])
        config = {**told["config"], "model": told["model_config"]}
        cohort = cohort_of(kind, TRAINING, kind.patients, work)
        export_bundle(Source(surrogate, scaling, cohort, told["data"], config, told["metrics"]), folder, timelines=200)
    return Predictor.load(folder)


def cohort_of(kind: Kind, seed: int, patients: int, work: Path = WORK) -> Cohort:
    """Patients of the population, with assay errors; simulated unless they are there."""
    folder = cohort_folder(kind, seed, patients, work)
    if not (folder / "cohort.json").is_file():
        _neurotwin(
            "simulate", f"simulator={kind.simulator}", f"protocol={kind.protocol}", f"n_subjects={patients}",
            f"seed={seed}", "progress=false", f"output={folder}",
        )  # fmt: skip
        if kind.offset is not None:
            cohort = Cohort.load(folder)
            scale = {"transform": "log", "offset": kind.offset, "head": "bounded", "support": (0.0, math.inf)}
            variables = tuple(Variable(**{**one.model_dump(), **scale}) for one in cohort.schema.variables)
            schema = cohort.schema.model_copy(update={"variables": variables})
            shutil.rmtree(folder)
            replace(cohort, schema=schema).save(folder)
    return Cohort.load(folder)


def cohort_folder(kind: Kind, seed: int, patients: int, work: Path) -> Path:
    """Where a cohort is kept between calls."""
    return work / "cohorts" / f"{kind.name}_{seed}_{patients}"


def train(kind: Kind, work: Path = WORK) -> None:
    """Train from nothing and keep the weights."""
    cohort_of(kind, TRAINING, kind.patients, work)
    run = work / "models" / kind.name
    cohort = cohort_folder(kind, TRAINING, kind.patients, work)
    _neurotwin("train", f"data.cohort={cohort}", f"name={kind.name}", f"paths.output_dir={run}", *kind.settings)
    surrogate, config = load_run(run)
    keep(weights_path(kind), surrogate, run, config)


def weights_path(kind: Kind) -> Path:
    """Where the repository keeps the weights."""
    return kind.weights / f"{kind.name}.safetensors"


def _neurotwin(*arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "neurotwin", *arguments], check=True, env=environment)
