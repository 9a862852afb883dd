"""neurotwin evaluate."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.errors import CohortError, ConfigError
from neurotwin.evaluation.baselines import ALWAYS, BASELINES, fit_baselines
from neurotwin.evaluation.evaluate import evaluate
from neurotwin.evaluation.events import event_section, risk_predictors
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.sections import CohortFacts
from neurotwin.recipes import data_of, load_run
from neurotwin.training import SurrogatePredictor
from neurotwin.training.run_folder import read_config, read_setting
from neurotwin.verbs.mechanism import is_mechanistic, mechanistic_map
from neurotwin.verbs.reports import facts_of


def evaluate_run(
    run: Path,
    others: Sequence[Path] = (),
    *,
    bundle: Path | None = None,
    part: str = "test",
    n_bootstrap: int = 1000,
    by: Sequence[str] = (),
) -> EvaluationReport:
    """Score a run and its baselines on the same subjects.

    Args:
        run: the run that the report is about.
        others: runs to compare with, or names of further baselines (``linear_mixed``, ``gradient_boosting``,
            ``mechanistic_map`` and ``mechanistic_map=SIMULATOR``).
        bundle: an exported bundle of the run; it takes the run's place, with its calibrated intervals, and answers
            through the torch-free runtime.
        part: train, validation or test.
        by: static covariates by which the subjects are scored apart too.

    Raises:
        ConfigError: not a run, or a part that there is not.
        CohortError: another run was trained on another cohort or split.
    """
    named = [str(other) for other in others if _is_baseline(str(other)) and not other.exists()]
    others = [other for other in others if str(other) not in named]
    asked = _asked(run, others, part, named)
    predictors = _predictors(run, others)
    if bundle is not None:
        predictors[next(iter(predictors))] = _from_bundle(bundle)
    main = next(iter(predictors))
    predictors |= asked.baselines
    baselines = [name for name in predictors if name != main]
    return asked.of(predictors, baselines, n_bootstrap=n_bootstrap, by=by)


def compare_runs(
    runs: Sequence[Path],
    *,
    reference: str | None = None,
    part: str = "test",
    n_bootstrap: int = 1000,
    by: Sequence[str] = (),
) -> EvaluationReport:
    """Score several runs on the same subjects, each less one reference.

    Args:
        runs: runs on one cohort and split.
        reference: which predictor the others are compared with, by the name that the report gives it (the model's,
            numbered where two are alike; also locf and population_mean); None: the first run.
        part, by: as in `evaluate_run`.

    Raises:
        ConfigError: not a run, no such reference or part.
        CohortError: a run was trained on another cohort or split.
    """
    asked = _asked(runs[0], runs[1:], part)
    predictors = _predictors(runs[0], runs[1:]) | asked.baselines
    reference = reference or next(iter(predictors))
    if reference not in predictors:
        raise ConfigError(
            f"no predictor {reference!r}", where="--reference", expected=f"one of {', '.join(predictors)}"
        )
    return asked.of(predictors, [reference], n_bootstrap=n_bootstrap, by=by)


class _Asked(NamedTuple):
    """What a run's configuration asks, about which subjects, and the baselines that its training part gives."""

    config: dict[str, Any]
    train: Cohort
    subjects: Cohort
    baselines: dict[str, Any]

    def of(
        self, predictors: Mapping[str, Any], baselines: Sequence[str], *, n_bootstrap: int, by: Sequence[str]
    ) -> EvaluationReport:
        """The report on these predictors."""
        how = self.config["evaluation"]
        report = evaluate(
            predictors,
            self.subjects,
            cut=how["cut"],
            horizons=horizons_of(self.config),
            baselines=baselines,
            min_visits=how["min_visits"],
            n_bootstrap=n_bootstrap,
            seed=self.config["seed"],
            by=by,
        )
        events = event_section(
            risk_predictors({name: predict for name, predict in predictors.items() if name not in self.baselines}),
            self.train,
            self.subjects,
            cut=how["cut"],
            horizons=horizons_of(self.config),
            min_visits=how["min_visits"],
            n_bootstrap=n_bootstrap,
            seed=self.config["seed"],
        )
        return report.model_copy(update={"events": events})


def _asked(run: Path, others: Sequence[Path], part: str, named: Sequence[str] = ()) -> _Asked:
    if part not in ("train", "validation", "test"):
        raise ConfigError(f"part {part!r}", where="--part", expected="train, validation or test")
    config = read_config(run)
    _check_same_data(run, others)
    data = data_of(config)
    train, subjects = data.cohort.part("train", data.rotation), data.cohort.part(part, data.rotation)  # type: ignore[arg-type]
    fits = {name: mechanistic_map(train, name) for name in named if is_mechanistic(name)}
    others_named = [name for name in named if not is_mechanistic(name)]
    return _Asked(config, train, subjects, fit_baselines(train, list(dict.fromkeys((*ALWAYS, *others_named)))) | fits)


def _is_baseline(name: str) -> bool:
    return name in BASELINES or is_mechanistic(name)


def _predictors(run: Path, others: Sequence[Path]) -> dict[str, Any]:
    return {name: SurrogatePredictor(load_run(folder)[0]) for name, folder in _names(run, others).items()}


def horizons_of(config: dict[str, Any]) -> list[float]:
    """Upper edges of the horizon bins of a run's configuration, the last one open unless a longest horizon is set."""
    limit = float(config["evaluation"]["max_horizon"] or np.inf)
    return [*(edge for edge in config["evaluation"]["horizons"] if edge < limit), limit]


def _from_bundle(path: Path) -> Any:
    from neurotwin.evaluation.calibration import calibrated
    from neurotwin.runtime import Predictor

    predictor = Predictor.load(path)
    return calibrated(predictor, predictor.calibration)


def facts_of_run(run: Path) -> CohortFacts:
    """What the data of a run are."""
    _, _, card = read_setting(run)
    return facts_of(Path(card["cohort"]).name, card["provenance"], card["subjects"], card["observations"])


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
