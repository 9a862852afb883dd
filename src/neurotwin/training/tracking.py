"""Trackers behind a guard: whatever a tracker does, the training goes on as if it were not there."""

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from neurotwin.errors import ExtraMissingError

log = logging.getLogger(__name__)
PLACES = 1000
"""Calls that wait for a slow tracker; those beyond are dropped."""


class GuardedTracker(Logger):
    """Runs a tracker's calls in a thread of its own, in their order.

    A call that raises is told once and forgotten; calls that a slow or hanging tracker does not get to are dropped.
    When the run ends, its tracker may finish, but one that hangs is left behind.

    Args:
        tracker: of Lightning's loggers.
        patience: seconds that a call may have lasted when the run ends.
        farewell: seconds that the tracker may take to finish.
        closing: what to do after the tracker's own end.
    """

    def __init__(
        self,
        tracker: Logger,
        patience: float = 20.0,
        farewell: float = 30.0,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.tracker, self.patience, self.farewell, self.closing = tracker, patience, farewell, closing
        self.dropped, self.told, self.since, self.ended = 0, False, 0.0, False
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue(PLACES)
        self.worker: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Trackers know their own names; to ask them could take time."""
        return ""

    @property
    def version(self) -> str:
        """As `name`."""
        return ""

    @property
    def save_dir(self) -> str | None:
        """Where the tracker writes."""
        return self.tracker.save_dir

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Hand on, without waiting."""
        kept = dict(metrics)
        self._hand_on(lambda: self.tracker.log_metrics(kept, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Hand on, without waiting."""
        self._hand_on(lambda: self.tracker.log_hyperparams(params, *args, **kwargs))

    def save(self) -> None:
        """Hand on, without waiting."""
        self._hand_on(self.tracker.save)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Let the tracker finish, but do not wait for one that hangs."""
        if self.worker is None or self.ended:
            return
        self.ended = True
        if self._idle():
            self._hand_on(lambda: self.tracker.finalize(status))
            self._hand_on(self.closing)
            self._idle(self.farewell)
        if left := self.calls.unfinished_tasks:
            self._tell(f"does not answer: {left} of its calls were given up")
        elif self.dropped:
            self._tell(f"was too slow: {self.dropped} of its calls were dropped")

    def _idle(self, seconds: float | None = None) -> bool:
        """Wait until no call is left; at most for some seconds, or until one has lasted for longer than is patient."""
        begun = time.monotonic()
        while self.calls.unfinished_tasks:
            now = time.monotonic()
            if now - begun > seconds if seconds is not None else now - self.since > self.patience:
                return False
            time.sleep(0.005)
        return True

    @rank_zero_only
    def _hand_on(self, call: Callable[[], None]) -> None:
        if self.worker is None:
            self.since = time.monotonic()
            self.worker = threading.Thread(target=self._work, daemon=True, name="tracker")
            self.worker.start()
        try:
            self.calls.put_nowait(call)
        except queue.Full:
            self.dropped += 1

    def _work(self) -> None:
        while True:
            call = self.calls.get()
            self.since = time.monotonic()
            try:
                call()
            except Exception as error:
                if not self.told:
                    self.told = True
                    self._tell(f"failed ({type(error).__name__}); the training goes on without it")
            finally:
                self.calls.task_done()

    def _tell(self, what: str) -> None:
        log.warning("%s %s", type(self.tracker).__name__, what)


def guarded(logger: Logger) -> Logger:
    """A tracker behind a guard; the run's own log, on whose disk the checkpoints are too, is written directly."""
    return logger if isinstance(logger, CSVLogger) else GuardedTracker(logger, closing=finish_wandb)


class Mlflow(MLFlowLogger):
    """Lightning's, for a database of MLflow's: a folder of files is no longer served by it.

    Args:
        tracking_uri: such as ``sqlite:///runs/mlflow.db``.
        more: as Lightning's.

    Raises:
        ExtraMissingError: MLflow is not installed.
    """

    def __init__(self, tracking_uri: str, **more: Any) -> None:
        try:
            super().__init__(tracking_uri=tracking_uri, **more)
        except ModuleNotFoundError:
            remedy = "install it with: pip install 'neurotwin[track]', or choose another logger"
            raise ExtraMissingError("mlflow is not installed", remedy=remedy) from None


def finish_wandb() -> None:
    """Close a wandb run: the next trial of a sweep in this process would otherwise go on in it."""
    if (wandb := sys.modules.get("wandb")) is not None and getattr(wandb, "run", None) is not None:
        wandb.finish()
