"""neurotwin evaluate."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.evaluate import evaluate
from neurotwin.evaluation.locf import Locf, PopulationMean
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.recipes import data_of, load_run
from neurotwin.training import SurrogatePredictor
from neurotwin.training.run_folder import read_config, read_setting


def evaluate_run(
    run: Path, others: Sequence[Path] = (), *, bundle: Path | None = None, part: str = "test", n_bootstrap: int = 1000
) -> EvaluationReport:
    """Score a run and its baselines on the same subjects.

    Args:
        run: the run that the report is about.
        others: runs to compare with.
        bundle: an exported bundle of the run; it takes the run's place, with its calibrated intervals, and answers
            through the torch-free runtime.
        part: train, validation or test.

    Raises:
        ConfigError: not a run, or a part that there is not.
        CohortError: another run was trained on another cohort or split.
    """
    if part not in ("train", "validation", "test"):
        raise ConfigError(f"part {part!r}", where="--part", expected="train, validation or test")
    config = read_config(run)
    _check_same_data(run, others)
    data = data_of(config)
    train, asked = data.cohort.part("train", data.rotation), data.cohort.part(part, data.rotation)  # type: ignore[arg-type]
    predictors: dict[str, Any] = {
        name: SurrogatePredictor(load_run(folder)[0]) for name, folder in _names(run, others).items()
    }
    if bundle is not None:
        predictors[next(iter(predictors))] = _from_bundle(bundle)
    predictors |= {"locf": Locf.fit(train), "population_mean": PopulationMean.fit(train)}
    how = config["evaluation"]
    return evaluate(
        predictors,
        asked,
        cut=how["cut"],
        horizons=horizons_of(config),
        baselines=list(predictors)[1:],
        min_visits=how["min_visits"],
        n_bootstrap=n_bootstrap,
        seed=config["seed"],
    )


def horizons_of(config: dict[str, Any]) -> list[float]:
    """Upper edges of the horizon bins of a run's configuration, the last one open unless a longest horizon is set."""
    limit = float(config["evaluation"]["max_horizon"] or np.inf)
    return [*(edge for edge in config["evaluation"]["horizons"] if edge < limit), limit]


def _from_bundle(path: Path) -> Any:
    from neurotwin.evaluation.calibration import calibrated
    from neurotwin.runtime import Predictor

    predictor = Predictor.load(path)
    return calibrated(predictor, predictor.calibration)


def write_report(report: EvaluationReport, path: Path) -> None:
    """Write the report as JSON, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(report.to_dict(), indent=1) + "\n")
    draft.replace(path)


def _names(run: Path, others: Sequence[Path]) -> dict[str, Path]:
    """A name for each run: its model's, numbered where two are alike."""
    names: dict[str, Path] = {}
    for folder in (run, *others):
        stem = str(read_config(folder)["model"]["_target_"]).rsplit(".", 1)[-1]
        name, number = _snake(stem), 2
        while name in names:
            name, number = f"{_snake(stem)}_{number}", number + 1
        names[name] = folder
    return names


def _check_same_data(run: Path, others: Sequence[Path]) -> None:
    card = read_setting(run)[2]
    for other in others:
        theirs = read_setting(other)[2]
        if (theirs["sha256"], theirs["rotation"]) != (card["sha256"], card["rotation"]):
            raise CohortError(
                "trained on another cohort or split",
                where=str(other),
                expected=f"that of {run}",
                remedy="train it on the same data",
            )


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
