"""From composed configuration to the objects of a training run, and back from a run's folder to its model."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurotwin import compose
from neurotwin.data import CohortData
from neurotwin.errors import ConfigError
from neurotwin.models import Ensemble, Surrogate
from neurotwin.training import Recipe, load_model, probe_parameters
from neurotwin.training.run_folder import read_config


def recipe_of(config: dict[str, Any]) -> Recipe:
    """Build everything that a training run needs. Raises ConfigError for what a constructor refuses."""

    def part(name: str) -> Any:
        return compose.build(config[name], f"{name}")

    trainer = part("trainer")
    return Recipe(
        data=data_of(config),
        model=model_factory(config),
        loss=part("loss"),
        optimizer=_optimizer(part("optimizer")),
        scheduler=part("scheduler") if config.get("scheduler") else None,
        trainer=lambda **more: compose.call(trainer, "trainer", **more),
        callbacks=[
            compose.build(node, f"callbacks.{name}") for name, node in (config.get("callbacks") or {}).items() if node
        ],
        loggers=[compose.build(node, f"logger.{name}") for name, node in (config.get("logger") or {}).items() if node],
        output_dir=Path(config["paths"]["output_dir"]),
        seed=config["seed"],
        resume=bool(config.get("resume")),
        compiled=bool(config.get("compile")),
        branch_from=Path(config["branch_from"]) if config.get("branch_from") else None,
        config=config,
    )


def _optimizer(factory: Any) -> Any:
    """The factory, after its constructor has looked at its numbers: a bad one is found before any data is read."""
    tried = compose.call(factory, "optimizer", probe_parameters())
    for group in tried.param_groups:
        if not 0 < group["lr"] < math.inf:
            raise ConfigError(f"lr is {group['lr']!r}", where="optimizer.lr", expected="a positive, finite number")
    return factory


def data_of(config: dict[str, Any]) -> CohortData:
    """The data module of a configuration."""
    data: CohortData = compose.build(config["data"], "data")
    return data


def model_factory(config: dict[str, Any]) -> Any:
    """What makes the model from a schema and a scaling."""
    partial = compose.build(config["model"], "model")
    return lambda schema, scaling: compose.call(partial, "model", schema, scaling)


def load_run(folder: Path) -> tuple[Surrogate, dict[str, Any]]:
    """The best model of a run and the run's configuration."""
    config = read_config(folder)
    return load_model(folder, model_factory(config)), config


def export_source(folder: Path, others: Sequence[Path] = ()) -> Any:
    """A run as `neurotwin.export.Source`; with ``others``, runs of the same data, all of them as one ensemble.

    Raises:
        ConfigError: a run has not ended, another was trained on other data or another rotation, or the models do not
            fit together.
    """
    from neurotwin.export import Source
    from neurotwin.training.run_folder import read_metrics, read_setting

    model, config = load_run(folder)
    metrics = read_metrics(folder)
    _, scaling, data = read_setting(folder)
    if others:
        for other in others:
            theirs = read_setting(other)[2]
            if (theirs["sha256"], theirs["rotation"]) != (data["sha256"], data["rotation"]):
                raise ConfigError(
                    "a member was trained on other data or another rotation",
                    where=str(other),
                    expected=f"those of {folder}",
                    remedy="train it on the same data; a fold that it has seen cannot calibrate it",
                )
        runs = [load_run(other) for other in others]
        model = Ensemble([model, *(member for member, _ in runs)], scaling).eval()
        members = [{"seed": item["seed"], "model": item["model"]} for item in (config, *(other for _, other in runs))]
        config = {**config, "members": members}
        metrics = {"members": [metrics, *(read_metrics(other) for other in others)]}
    return Source(model, scaling, data_of(config).cohort, data, config, metrics)
