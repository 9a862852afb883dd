"""A branch: a run that begins with the weights of another one, whose data or settings may differ."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from neurotwin.errors import ConfigError
from neurotwin.models import Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.training.checkpoint import read_checkpoint
from neurotwin.training.run_folder import BEST, CHECKPOINTS, read_setting


@dataclass(frozen=True)
class Parent:
    """What a branch takes from the run that it goes on from.

    Attributes:
        scaling: the parent's, for its weights know no other units.
        weights: of its best checkpoint.
        card: what the branch's data card tells of it.
    """

    scaling: Scaling
    weights: dict[str, Tensor]
    card: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, schema: Schema) -> "Parent":
        """Of a run's folder.

        Raises:
            ConfigError: there is no run, or it forecasts other variables.
            IntegrityError: it is damaged.
        """
        if not (path := folder / CHECKPOINTS / BEST).is_file():
            raise ConfigError("no trained run to branch from", where=str(folder), expected=f"{CHECKPOINTS}/{BEST}")
        theirs, scaling, data = read_setting(folder)
        parts = ("variables", "treatments", "statics", "time_unit")
        if changed := [name for name in parts if getattr(theirs, name) != getattr(schema, name)]:
            raise ConfigError(
                f"the cohort has other {' and '.join(changed)} than the run to branch from",
                where=str(folder),
                expected="the same columns and units",
            )
        weights = {
            name.removeprefix("model."): value
            for name, value in read_checkpoint(path)["state_dict"].items()
            if name.startswith("model.")
        }
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(scaling, weights, {"run": str(folder.resolve()), "sha256": digest, "cohort": data["sha256"]})

    def give(self, model: Surrogate) -> None:
        """Put the weights into a model. Raises ConfigError unless all of them fit."""
        own = model.state_dict()
        names = own.keys() | self.weights.keys()
        unlike = sorted(
            name
            for name in names
            if name not in own or name not in self.weights or own[name].shape != self.weights[name].shape
        )
        if unlike:
            raise ConfigError(
                f"{len(unlike)} of {len(names)} weights do not fit the model, such as {unlike[0]}",
                where=self.card["run"],
                expected="a model of the same kind and sizes",
            )
        model.load_state_dict(self.weights)
