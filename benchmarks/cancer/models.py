"""The learned models: one for each conf/experiment/cancer_NAME.yaml, trained by the project's own command.

A model is added by its YAML alone. Its weights for gamma 4, seed 10 are kept in the repository, so that its score can
be computed again without training.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cancer.cohorts import cohort_folder
from benchmarks.cancer.evaluation import Make
from benchmarks.cancer.sets import WORK, Sets
from benchmarks.cancer.surrogates import CarriedSurrogate
from benchmarks.cancer.tracks import Track
from benchmarks.weights import read_weights, write_weights

from neurotwin.demo.trainings import train_all
from neurotwin.errors import ConfigError
from neurotwin.models import Surrogate
from neurotwin.paths import conf_dir
from neurotwin.recipes import load_run
from neurotwin.scaling import Scaling
from neurotwin.training.run_folder import METRICS, read_setting

PREFIX = "cancer_"
MODELS = sorted(path.stem.removeprefix(PREFIX) for path in (conf_dir() / "experiment").glob(f"{PREFIX}*.yaml"))
WEIGHTS = Path(__file__).resolve().parent / "weights"
KEPT = (4.0, 10)
"""Gamma and seed of the models whose weights are kept."""


def learned(
    name: str,
    sets: Sets,
    gamma: float,
    seed: int,
    track: Track,
    *,
    evaluate_only: bool = False,
    overrides: Sequence[str] = (),
) -> tuple[Make, dict[str, Any]]:
    """Forecasters of a model, and what to tell of it in its row.

    Args:
        evaluate_only: use the weights in the repository instead of training.
        overrides: more of the training's settings, in Hydra's syntax.

    Raises:
        ConfigError: ``evaluate_only``, and there are no weights of this model, gamma, seed and track.
    """
    kept = weights_path(name, track)
    if evaluate_only:
        if (gamma, seed) != KEPT or not kept.exists():
            remedy = f"weights are kept for gamma {KEPT[0]:g}, seed {KEPT[1]}; train without --evaluate-only"
            raise ConfigError(f"no weights of {name}", where=f"gamma {gamma:g}, seed {seed}", remedy=remedy)
        model, told = read_weights(kept)
    else:
        model, scaling, told = _trained(name, sets, gamma, seed, track, overrides)
        if (gamma, seed) == KEPT and not overrides:
            write_weights(kept, model, scaling, told)
    return lambda test, _: [CarriedSurrogate(model, test.patients.kind)], told


def weights_path(name: str, track: Track) -> Path:
    """Where the repository keeps the weights of a model."""
    return WEIGHTS / f"{name}_{track.name}_gamma{KEPT[0]:g}_seed{KEPT[1]}.safetensors"


def _trained(
    name: str, sets: Sets, gamma: float, seed: int, track: Track, overrides: Sequence[str]
) -> tuple[Surrogate, Scaling, dict[str, Any]]:
    """Train, or go on, or read what was trained before."""
    cohort = cohort_folder(sets, track, gamma=gamma, seed=seed)
    changed = "".join("_" + re.sub(r"[^A-Za-z0-9.]+", "-", one) for one in overrides)
    folder = WORK / "models" / cohort.name / f"{name}{changed}"
    settings = [f"experiment={PREFIX}{name}", f"data.cohort={cohort}", f"seed={seed}", *overrides]
    train_all({folder: settings}, WORK / "logs")
    model, config = load_run(folder)
    metrics = json.loads((folder / METRICS).read_text())
    told = {"parameters": metrics["parameters"], "epochs": metrics["epochs"], "train_seconds": metrics["seconds"]}
    told |= {"validation_loss": metrics["best_validation_loss"], "model_config": config["model"]}
    return model, read_setting(folder)[1], told
