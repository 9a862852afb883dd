"""The folder of a training run: what is in it, who holds it, and how it is read back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from neurotwin import disk
from neurotwin.bundle import MANIFEST
from neurotwin.errors import ConfigError, IntegrityError, SchemaError
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema

CONFIG, SCHEMA, SCALING, DATA, METRICS = "config.yaml", "schema.json", "scaling.json", "data.json", "metrics.json"
LOG = "metrics.csv"
CHECKPOINTS, BEST, LAST, PREVIOUS = "checkpoints", "best.safetensors", "last.safetensors", "previous.safetensors"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder (created if needed) against other runs, and clear it of what a killed one left half written.

    Raises:
        OutputInUseError: another run has it.
        ConfigError: it cannot be used.
        ResourceError: the disk is full.
    """
    remedy = "choose another paths.output_dir or wait"
    with disk.held(folder, "another run holds the output folder", remedy=remedy):
        disk.remove_drafts(folder, folder / CHECKPOINTS)
        yield


def write_setting(folder: Path, config: dict[str, Any], schema: Schema, scaling: Scaling, data: dict[str, Any]) -> None:
    """Write what a run is made of, before it starts."""
    disk.write_whole(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
    disk.write_whole(folder / SCHEMA, schema.model_dump_json(indent=1) + "\n")
    write_json(folder / SCALING, scaling.to_dict())
    write_json(folder / DATA, data)


def is_begun(folder: Path) -> bool:
    """Whether a run has left a checkpoint in a folder."""
    return any((folder / CHECKPOINTS / name).exists() for name in (LAST, PREVIOUS))


def check_same_run(folder: Path, config: dict[str, Any], scaling: Scaling, data: dict[str, Any]) -> None:
    """Raises ConfigError unless the folder's run had this model, these data and these batches: only then can it be gone
    on with, for a place in the middle of an epoch means the same batches."""
    before, (_, fitted, card) = read_config(folder), read_setting(folder)
    now, then = _batches(before.get("data"), config.get("data"))
    changed = [
        name
        for name, one, other in (
            ("model", before.get("model"), config.get("model")),
            ("cohort", card["sha256"], data["sha256"]),
            ("rotation", card["rotation"], data["rotation"]),
            ("scaling", fitted, scaling),
            ("seed", before.get("seed"), config.get("seed")),
            ("way of making batches", now, then),
            ("number of subjects per step", card.get("step", data["step"]), data["step"]),
        )
        if one != other
    ]
    if changed:
        raise ConfigError(
            f"the run was started with another {' and '.join(changed)}",
            where=str(folder),
            remedy="resume with what it was started with, or go on from its weights in a new folder: branch_from="
            f"{folder} paths.output_dir=...",
        )


def _batches(*configs: dict[str, Any] | None) -> list[list[Any]]:
    """What decides which subjects make a batch and where they are cut, of each configuration. Where the cohort lies and
    who loads it does not; the rotation and the size of a step are told by themselves."""
    apart = {"cohort", "num_workers", "rotation", "batch_size"}
    both = set.intersection(*(set(config or {}) for config in configs)) - apart
    return [[(config or {})[name] for name in sorted(both)] for config in configs]


def keep_log(folder: Path) -> None:
    """Put the metrics logged so far aside: Lightning's CSV logger begins a new file, and would delete them."""
    if (log := folder / LOG).is_file():
        number = next(number for number in range(1, 1_000_000) if not (folder / f"metrics.{number}.csv").exists())
        log.rename(folder / f"metrics.{number}.csv")


def write_json(path: Path, content: Any) -> None:
    """Write JSON at once."""
    disk.write_whole(path, json.dumps(content, indent=1) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of a run. Raises IntegrityError when the folder holds no whole run."""
    if not (folder / CONFIG).is_file():
        if (folder / MANIFEST).is_file():
            raise ConfigError("a bundle, not a training run", where=str(folder), remedy="name a cohort: --cohort")
        raise ConfigError(
            "no training run here",
            where=str(folder),
            expected=f"a folder with {CONFIG}",
            remedy="train one: neurotwin train",
        )
    try:
        return dict(yaml.safe_load((folder / CONFIG).read_text()))
    except (yaml.YAMLError, TypeError, ValueError):
        raise IntegrityError("the run's configuration cannot be read", where=str(folder / CONFIG)) from None


def read_metrics(folder: Path) -> dict[str, Any]:
    """What a run wrote when it ended. Raises ConfigError while it has not, and IntegrityError when it is damaged."""
    try:
        return dict(json.loads((folder / METRICS).read_text()))
    except FileNotFoundError:
        raise ConfigError(
            "the run has not ended",
            where=str(folder),
            expected=f"a folder with {METRICS}",
            remedy="go on with it: resume=true",
        ) from None
    except (OSError, TypeError, ValueError):
        raise IntegrityError("the run's metrics cannot be read", where=str(folder / METRICS)) from None


def read_setting(folder: Path) -> tuple[Schema, Scaling, dict[str, Any]]:
    """Schema, scaling and data card of a run."""
    try:
        schema = Schema.parse(json.loads((folder / SCHEMA).read_text()), where=str(folder / SCHEMA))
        scaling = Scaling.from_dict(json.loads((folder / SCALING).read_text()))
        return schema, scaling, dict(json.loads((folder / DATA).read_text()))
    except (OSError, TypeError, ValueError, AttributeError, SchemaError):
        raise IntegrityError("the run's schema, scaling or data card cannot be read", where=str(folder)) from None
