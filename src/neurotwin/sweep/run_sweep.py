"""A sweep from the words of the command line to its best trial as an experiment."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotwin.cohort import read_manifest
from neurotwin.disk import held, write_whole
from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.sweep.attempt import TRAIN
from neurotwin.sweep.best import best_trial, write_best
from neurotwin.sweep.driver import Driver, Workplace, driver_name
from neurotwin.sweep.process import GRACE
from neurotwin.sweep.settings import Settings, check_trials, read_settings
from neurotwin.sweep.storage import without_password
from neurotwin.sweep.study import Study, closing
from neurotwin.sweep.telling import counted, view_of

CARD, DATABASE = "sweep.json", "sweep.db"
FOLDER = Path("runs/sweeps")


@dataclass(frozen=True)
class Swept:
    """What a sweep has come to.

    Attributes:
        folder: of the sweep.
        interrupted: somebody asked it to stop; what ran waits again.
        told: the counts in words.
        best: number and first value of the best trial, None while there is none.
        experiment: the best trial as an experiment file.
    """

    folder: Path
    interrupted: bool
    told: str
    best: tuple[int, float] | None
    experiment: Path | None


def run_sweep(
    arguments: Sequence[str],
    *,
    trials: int | None = None,
    jobs: int = 1,
    storage: str = "",
    resume: bool = False,
    folder: Path | None = None,
    gpus: Sequence[str] = (),
    tell: Callable[[str], None],
    heartbeat: int = 60,
    grace: float = GRACE,
    train: str = TRAIN,
) -> Swept:
    """Run a sweep, or go on with it, until no trial waits.

    Args:
        arguments: ``hparams_search=NAME`` and other overrides.
        trials: how many in all; by default what the search says.
        storage: address of the database; by default a SQLite file in the folder.
        folder: by default ``runs/sweeps/NAME``.
        tell: takes a line for the user.
        heartbeat, grace: see `Study` and `Workplace`.
        train: module that trains, as `python -m MODULE OVERRIDE ...`.

    Raises:
        ConfigError: what is wrong with the search, its trials or the storage; or all trials fail.
        CohortError: no cohort.
        OutputInUseError: another driver works in the folder.
        ResourceError: the storage does not answer.
    """
    settings = read_settings(arguments, trials)
    config = check_trials(settings)
    folder = (folder or FOLDER / settings.name).resolve()
    url = storage or f"sqlite:///{folder / DATABASE}"
    identity = settings.identity() | _data(settings, config)
    place = Workplace(folder, jobs, tuple(gpus), tuple(_more(settings, config)), grace, train)
    shown = without_password(url)
    remedy = "wait for it, give it more --jobs, or choose another folder: -o"
    holding = held(folder, "another driver works in the folder", remedy=remedy)
    with holding, closing(Study(url, settings, driver=driver_name(), heartbeat=heartbeat)) as study:
        study.begin(resume=resume, identity=identity)
        write_card(folder, settings, shown)
        with view_of(settings, tell) as view:
            driver = Driver(study, settings, place, view)
            driver.run()
        done = study.trials()
        best = best_trial(done, settings.objectives)
        experiment = write_best(folder, settings.name, settings.objectives, best) if best else None
    found = (best.number, best.values[0]) if best else None
    return Swept(folder, driver.interrupted, counted(done), found, experiment)


def write_card(folder: Path, settings: Settings, storage: str) -> None:
    """Write what `neurotwin sweep report` needs to find the trials again."""
    content = {"name": settings.name, "storage": storage, "objectives": dict(settings.objectives)}
    write_whole(folder / CARD, json.dumps(content, indent=1) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """Back from `write_card`. Raises ConfigError when the folder holds no sweep, IntegrityError when it is damaged."""
    try:
        return dict(json.loads((folder / CARD).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "no sweep here", where=str(folder), expected=f"a folder with {CARD}", remedy="run one: neurotwin sweep"
        ) from None
    except (OSError, ValueError, TypeError):
        raise IntegrityError("the sweep's card cannot be read", where=str(folder / CARD)) from None


def _data(settings: Settings, config: dict[str, Any]) -> dict[str, Any]:
    """The hash of the cohort, unless cohorts are searched."""
    if any(item.key == "data.cohort" for item in settings.space):
        return {}
    return {"cohort": read_manifest(Path(config["data"]["cohort"]))["sha256"]}


def _more(settings: Settings, config: dict[str, Any]) -> list[str]:
    """What a trial is told beside its parameters: no bar in its log, and its own name for the trackers."""
    bar = ["callbacks.progress=null"] if (config.get("callbacks") or {}).get("progress") else []
    trackers = config.get("logger") or {}
    named = [f"logger.wandb.name={settings.name}-{{number}}"] if trackers.get("wandb") else []
    named += (
        [f"logger.mlflow.run_name={settings.name}-{{number}}"] if "run_name" in (trackers.get("mlflow") or {}) else []
    )
    return [*bar, *named]
