"""The trials of a sweep as a table."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurotwin.extras import need
from neurotwin.sweep.best import best_trial
from neurotwin.sweep.study import ERROR, SETTINGS, lost, read_study
from neurotwin.sweep.telling import STATES


@dataclass(frozen=True)
class Results:
    """A sweep as it stands.

    Attributes:
        name: of the sweep.
        objectives: name -> direction.
        keys: what was searched.
        trials: Optuna's, those that were lost and put in again under another number left out.
        study: Optuna's.
    """

    name: str
    objectives: Mapping[str, str]
    keys: tuple[str, ...]
    trials: tuple[Any, ...]
    study: Any

    @property
    def best(self) -> Any | None:
        return best_trial(self.trials, self.objectives)

    @property
    def complete(self) -> list[Any]:
        return [trial for trial in self.trials if trial.state.name == "COMPLETE"]

    @property
    def front(self) -> list[Any]:
        """The trials that no other beats in every objective, by the first of them."""
        numbers = {trial.number for trial in self.study.best_trials} if self.complete else set()
        return sorted((item for item in self.complete if item.number in numbers), key=lambda item: item.values[0])


def read_results(url: str, name: str) -> Results:
    """Read a sweep from its storage. Raises ConfigError when it is not there."""
    study = read_study(url, name)
    setting = study.user_attrs[SETTINGS]
    everything = study.get_trials(deepcopy=False)
    again = lost(everything)
    trials = tuple(trial for trial in everything if trial.number not in again)
    return Results(name, setting["objectives"], tuple(setting["search"]), trials, study)


def table_of(results: Results) -> Any:
    """One row per trial: number, state, objectives, parameters, cost, and why it failed."""
    pandas = need("pandas", "simulate")
    return pandas.DataFrame([_row(results, trial) for trial in results.trials])


def _row(results: Results, trial: Any) -> dict[str, Any]:
    values = trial.values if trial.state.name == "COMPLETE" else [None] * len(results.objectives)
    told = trial.user_attrs
    return {
        "number": trial.number,
        "state": STATES[trial.state.name],
        **dict(zip(results.objectives, values, strict=True)),
        **{key: _cell(trial, key) for key in results.keys},
        "epochs": told.get("epochs"),
        "seconds": told.get("seconds"),
        "cpu_seconds": told.get("cpu_seconds"),
        "seeds": ",".join(str(run["seed"]) for run in told.get("runs", ()) if run["seed"] is not None),
        "started": trial.datetime_start,
        "ended": trial.datetime_complete,
        "error": told.get(ERROR) if trial.state.name == "FAIL" else None,
        "exit_code": told.get("exit_code"),
        "driver": told.get("driver"),
        "folder": f"{told['folder']}/trials/{trial.number:04d}" if "folder" in told else None,
    }


def _cell(trial: Any, key: str) -> Any:
    """A number, or a word: one kind per column."""
    value = trial.params.get(key)
    choices = getattr(trial.distributions.get(key), "choices", ())
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in choices)
    return value if value is None or numbers else str(value)


def curves(trial: Any) -> list[tuple[list[int], list[float]]]:
    """Epochs and losses of each training of a trial."""
    runs = [run["curve"] for run in trial.user_attrs.get("runs", ())]
    if runs:
        return [(run["epochs"], run["values"]) for run in runs]
    steps = sorted(trial.intermediate_values)
    return [(steps, [trial.intermediate_values[step] for step in steps])] if steps else []


FEWEST, TOP = 10, 5
"""Complete trials below which no importance is told, and how many count as the best at least."""


def importances(results: Results) -> dict[str, dict[str, float]]:
    """Objective -> share of each key in being among the best trials, by PED-ANOVA, largest first; nothing where too few
    trials tell it.

    Source: Watanabe, Bansal & Hutter (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces", IJCAI, https://arxiv.org/abs/2304.10255
    """
    n = len(results.complete)
    if n < FEWEST or len(results.keys) < 2:
        return {}
    optuna = need("optuna", "sweep")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message=".*achieve low `target` values.*")  # the signs below see to it
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=max(0.1, TOP / n))
        signs = [1.0 if direction == "minimize" else -1.0 for direction in results.objectives.values()]
        return {
            name: optuna.importance.get_param_importances(
                results.study,
                evaluator=evaluator,
                target=lambda trial, place=place: signs[place] * trial.values[place],
            )
            for place, name in enumerate(results.objectives)
        }
