"""Whether batches of like records teach as well: the experiment trained with and without."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pipeline.epochs import recipe_for

from neurotwin.training import train

EPOCHS = 40
"""The experiment's."""


def accuracy_rows(cohort: Path, windows: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Best validation loss (the same cuts of the same subjects for all) and seconds of whole trainings."""
    rows = []
    for seed in seeds:
        for window in windows:
            with tempfile.TemporaryDirectory() as folder:
                recipe = recipe_for(cohort, Path(folder) / "run", EPOCHS, window)
                recipe.data.seed = seed
                metrics = train(replace(recipe, seed=seed))
            told = {"loss": metrics["best_validation_loss"], "epochs": metrics["epochs"], "seconds": metrics["seconds"]}
            rows.append({"seed": seed, "window": window, **told})
            print(rows[-1], flush=True)
    return rows
