"""Weights that the repository keeps beside a benchmark, with what it takes to build their model again."""

from pathlib import Path
from typing import Any

from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.models import Surrogate
from neurotwin.recipes import model_factory
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training.checkpoint import read_checkpoint, write_checkpoint

LARGEST = 300 * 1024


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
