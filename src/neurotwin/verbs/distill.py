"""neurotwin distill."""

from pathlib import Path
from typing import Any

from neurotwin.errors import ConfigError
from neurotwin.models.distilled_flow import check_teacher
from neurotwin.recipes import data_of, load_run, model_factory
from neurotwin.training.distill import DistillOptions, check_folders, distill, distilled_config
from neurotwin.training.run_folder import read_setting


def distill_run(
    run: Path, output: Path, options: DistillOptions, *, resume: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Distil a run's model into a flow map; returns the new run's metrics.

    Raises:
        ConfigError: no run, no checkpoint, an output that is there, a model that cannot be distilled, or a cohort that
            is no longer what the run was trained on.
    """
    check_folders(run, output, resume)
    teacher, theirs = load_run(run)
    check_teacher(teacher)
    if data_of(theirs).scaling() != read_setting(run)[1]:
        raise ConfigError(
            "the cohort is not the one that the run was trained on",
            where=theirs["data"]["cohort"],
            remedy="train the run again on this cohort",
        )
    config = distilled_config(run, output, options)
    return distill(config, teacher, model_factory(config), options, resume=resume, progress=progress)


def worst_share(metrics: dict[str, Any]) -> tuple[float, float]:
    """The largest error as a share of a 90 % interval's half-width over channels and horizons, and what is allowed."""
    told = metrics["distilled"]
    return max(value for shares in told["share"].values() for value in shares), told["allowed_share"]
