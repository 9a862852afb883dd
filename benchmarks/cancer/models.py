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

from neurotwin.demo.trainings import train_all
from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.models import Surrogate
from neurotwin.paths import conf_dir
from neurotwin.recipes import load_run, model_factory
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training.checkpoint import read_checkpoint, write_checkpoint
from neurotwin.training.run_folder import METRICS, read_setting

PREFIX = "cancer_"
MODELS = sorted(path.stem.removeprefix(PREFIX) for path in (conf_dir() / "experiment").glob(f"{PREFIX}*.yaml"))
WEIGHTS = Path(__file__).resolve().parent / "weights"
KEPT = (4.0, 10)
"""Gamma and seed of the models whose weights are kept."""
LARGEST = 300_000


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


def write_weights(path: Path, model: Surrogate, scaling: Scaling, told: dict[str, Any]) -> None:
    """Keep a model's weights and what it takes to build it again. Raises ConfigError when they are too large."""
    path.parent.mkdir(exist_ok=True)
    setting = {"schema": model.schema.model_dump(mode="json"), "scaling": scaling.to_dict(), "told": told}
    draft = path.with_suffix(".draft")
    write_checkpoint(draft, {"state_dict": dict(model.state_dict()), **setting})
    if (size := draft.stat().st_size) > LARGEST:
        draft.unlink()
        raise ConfigError(f"weights of {size} bytes", where=str(path), expected=f"at most {LARGEST}")
    draft.replace(path)


def read_weights(path: Path) -> tuple[Surrogate, dict[str, Any]]:
    """The model of `write_weights`, and what its row tells of it. Raises IntegrityError for a damaged file."""
    content = read_checkpoint(path)
    try:
        schema, scaling = Schema.parse(content["schema"], str(path)), Scaling.from_dict(content["scaling"])
        model: Surrogate = model_factory({"model": content["told"]["model_config"]})(schema, scaling)
        model.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, RuntimeError):
        raise IntegrityError("the weights do not fit the model", where=str(path), remedy="train again") from None
    return model.eval(), content["told"]
