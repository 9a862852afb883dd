"""The trials of a sweep in a database: Optuna's storage, which several drivers may share.

All trials are put in at the start, as waiting; a driver takes the next one, and what was interrupted waits again under
its number. Taking is under a lock of all drivers, so that no trial is taken twice and no more are begun than wanted. A
driver tells that its trials are alive; those of a machine that has gone are failed by Optuna and put in again under a
new number.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.sweep import engines
from neurotwin.sweep.settings import Settings
from neurotwin.sweep.storage import asking_lock, open_storage, patiently

SETTINGS, DRIVER, FOLDER, ATTEMPTS, ERROR = "settings", "driver", "folder", "attempts", "error"
"""Names of what is kept with a study or a trial."""
MOST_DEATHS, MOST_RETRIES = 10, 3
"""A trial whose driver died as often, or whose machine was lost as often, is not tried again: it may be the cause."""


class Study:
    """The trials, for one driver.

    Attributes:
        heartbeat: seconds between two signs of life; after three without one, a trial is taken for lost.
    """

    def __init__(self, url: str, settings: Settings, *, driver: str = "", heartbeat: int = 60) -> None:
        self._optuna = need("optuna", "sweep")
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        self.settings, self.driver, self.heartbeat = settings, driver, heartbeat
        self._url = url
        self._storage = open_storage(url, heartbeat, MOST_RETRIES)
        self._beaten = self._swept = -1e9
        self._space = {item.key: engines.distribution(item) for item in settings.space}

    def begin(self, *, resume: bool, identity: dict[str, Any]) -> None:
        """Make the study with all its trials, or go on with it.

        Raises:
            ConfigError: it is there and ``resume`` was not asked for, or it is a sweep of something else.
        """
        with asking_lock(self._url):
            names = patiently(lambda: self._optuna.get_all_study_names(self._storage))
            if self.settings.name in names and not resume:
                raise ConfigError(
                    f"the storage holds a sweep {self.settings.name!r} already",
                    where="--storage",
                    remedy="go on with --resume, or choose another hparams_search.name",
                )
            self._study = self._optuna.create_study(
                storage=self._storage,
                study_name=self.settings.name,
                directions=list(self.settings.objectives.values()),
                load_if_exists=True,
                sampler=self._sampler(0),
                pruner=engines.pruner(self.settings.pruner, self.settings.options.get(self.settings.pruner or "", {})),
            )
            before = self._study.user_attrs.get(SETTINGS)
            if before is None:
                self._study.set_user_attr(SETTINGS, identity)
            elif changed := sorted(key for key in {*before, *identity} if before.get(key) != identity.get(key)):
                raise ConfigError(
                    f"the sweep was started with other {' and '.join(changed)}",
                    where=self.settings.name,
                    remedy="go on with what it was started with, or choose another hparams_search.name",
                )
            self._fill()

    def _fill(self) -> None:
        """Put in the trials that are still missing."""
        there = len(self.trials()) - len(lost(self.trials()))
        points = self.settings.grid() if self.settings.sampler == "grid" else [{}] * self.settings.wanted()
        for params in points[there : self.settings.wanted()]:
            patiently(partial(self._study.enqueue_trial, params))

    def trials(self) -> list[Any]:
        """All trials, as Optuna's FrozenTrial."""
        return patiently(lambda: self._study.get_trials(deepcopy=False))

    def take(self, folder: Path, *, first: bool = False) -> Any | None:
        """The next trial as Optuna's Trial, its parameters drawn; None when none is waiting or enough are begun.

        Args:
            folder: of this driver's trials.
            first: nothing of this folder runs yet, so what is said to run in it does not.
        """
        state = self._optuna.trial.TrialState
        with asking_lock(self._url):
            self._fail_lost()
            trials = self.trials()
            for trial in trials:
                # Between its being taken and its being marked, a trial is nobody's: its driver died just then.
                nobodys = DRIVER not in trial.user_attrs
                mine = trial.user_attrs.get(FOLDER) == str(folder)
                if trial.state == state.RUNNING and (nobodys or (first and mine)):
                    self._recover(trial)
            trials = self.trials()
            waiting = [trial for trial in trials if trial.state == state.WAITING]
            begun = len(trials) - len(waiting) - len(lost(trials))
            if not waiting or begun >= self.settings.wanted():
                return None
            # A sampler of its own for each trial: a sweep that is gone on with draws what it would have drawn.
            self._study.sampler = self._sampler(waiting[0].number)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
                trial = patiently(lambda: self._study.ask(self._space))
            # The driver last: a trial without one is nobody's, whatever else is said of it.
            patiently(partial(self._storage.record_heartbeat, self._identity(trial.number)))
            patiently(partial(trial.set_user_attr, FOLDER, str(folder)))
            patiently(partial(trial.set_user_attr, DRIVER, self.driver))
            return trial

    def tell(self, trial: int, values: Sequence[float] | None, state: str, notes: Mapping[str, Any]) -> bool:
        """End a trial, or let it wait; False when another driver has it by now, so that its result is dropped."""
        identity = self._identity(trial)
        wanted = getattr(self._optuna.trial.TrialState, state)

        def write() -> None:
            for name, value in notes.items():
                self._storage.set_trial_user_attr(identity, name, value)
            if state == "WAITING":
                self._storage.set_trial_state_values(identity, wanted)
            else:
                self._study.tell(trial, values, state=wanted)

        return self._try(write)

    def beat(self, numbers: Sequence[int]) -> None:
        """Tell that these trials are alive, if it is time to."""
        if time.monotonic() - self._beaten >= self.heartbeat:
            self._beaten = time.monotonic()
            for number in numbers:
                self._try(partial(self._storage.record_heartbeat, self._identity(number)))

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _try(self, call: Callable[[], Any]) -> bool:
        """Was the trial still this driver's? Another may have taken it for lost."""
        try:
            patiently(call)
        except taken_errors():
            return False
        return True

    def _fail_lost(self) -> None:
        if time.monotonic() - self._swept >= self.heartbeat:
            self._swept = time.monotonic()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                patiently(lambda: self._optuna.storages.fail_stale_trials(self._study))

    def _recover(self, trial: Any) -> None:
        """A trial whose driver died waits again, or fails when that happened too often."""
        identity, attempts = self._identity(trial.number), trial.user_attrs.get(ATTEMPTS, 0) + 1
        self._storage.set_trial_user_attr(identity, ATTEMPTS, attempts)
        if attempts >= MOST_DEATHS:
            self._storage.set_trial_user_attr(identity, ERROR, f"its driver died {attempts} times while it ran")
            self._set(trial.number, "FAIL")
        else:
            self._set(trial.number, "WAITING")

    def _set(self, number: int, state: str) -> None:
        self._storage.set_trial_state_values(self._identity(number), getattr(self._optuna.trial.TrialState, state))

    def _identity(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self.settings.name)
        return int(self._storage.get_trial_id_from_study_id_trial_number(study, number))

    def _sampler(self, number: int) -> Any:
        name = self.settings.sampler
        return engines.sampler(name, self.settings.options.get(name, {}), self.settings.sampler_seed + number)


def read_study(url: str, name: str) -> Any:
    """A copy of Optuna's study in memory. Raises ConfigError when the storage holds none of this name."""
    optuna = need("optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url, 60, MOST_RETRIES)
    try:
        kept = optuna.load_study(study_name=name, storage=storage)
        study = optuna.create_study(study_name=name, directions=kept.directions)
        for key, value in kept.user_attrs.items():
            study.set_user_attr(key, value)
        study.add_trials(kept.get_trials())  # all of them, so that they keep their numbers
        return study
    except KeyError:
        raise ConfigError(f"the storage holds no sweep {name!r}", where="--storage") from None
    finally:
        storage.remove_session()
        storage.engine.dispose()


def taken_errors() -> tuple[type[Exception], ...]:
    """What Optuna raises for a trial that another driver has ended."""
    return need("optuna.exceptions", "sweep").UpdateFinishedTrialError, ValueError


def lost(trials: Sequence[Any]) -> set[int]:
    """Numbers of trials that were lost with their machine and put in again under another number."""
    return {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}


@contextmanager
def closing(study: Study) -> Iterator[Study]:
    """Let go of the database at the end."""
    try:
        yield study
    finally:
        study.close()
