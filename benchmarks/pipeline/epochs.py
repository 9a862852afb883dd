"""One epoch, by the project's command and by a bare loop over the same batches."""

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler

from neurotwin import compose
from neurotwin.recipes import recipe_of
from neurotwin.training import train
from neurotwin.training.module import SurrogateTraining
from neurotwin.training.train import Recipe

DATA, CHECKPOINTS = "dataloader_next", "Checkpoints"
HOOKS = "[Callback]", "log_metrics", "logger"


def recipe_for(cohort: Path, output: Path, epochs: int, window: int) -> Recipe:
    """The experiment's, without a progress bar that would draw to nobody."""
    overrides = [
        "experiment=lung_tumour", f"data.cohort={cohort}", f"paths.output_dir={output}", f"data.window={window}",
        f"trainer.max_epochs={epochs}", "trainer=cpu", "~callbacks.progress",
    ]  # fmt: skip
    return recipe_of(compose.compose("train", overrides))


class CpuProfiler(Profiler):
    """Seconds of this process's CPU in each action that Lightning names."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, float] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def start(self, action_name: str) -> None:
        self.begun[action_name] = time.process_time()

    def stop(self, action_name: str) -> None:
        self.seconds[action_name] += time.process_time() - self.begun.pop(action_name)


class Clock(Callback):
    """CPU time at which each epoch begins, and at the end; what the profiler counted in the first epoch is dropped."""

    def __init__(self, profiler: CpuProfiler) -> None:
        self.profiler, self.marks = profiler, list[float]()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.marks.append(time.process_time())
        if len(self.marks) == 2:
            self.profiler.seconds.clear()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.marks.append(time.process_time())


def timed_fit(recipe: Recipe) -> tuple[float, dict[str, float]]:
    """CPU seconds per epoch after the first, and those of its parts: ``data``, ``logging``, ``checkpoints``."""
    profiler = CpuProfiler()
    clock = Clock(profiler)
    make = recipe.trainer

    def trainer(**more: Any) -> pl.Trainer:
        return make(**more | {"callbacks": [clock, *more["callbacks"]], "profiler": profiler})

    train(replace(recipe, trainer=trainer))
    n_epochs = len(clock.marks) - 2
    epoch = (clock.marks[-1] - clock.marks[1]) / n_epochs
    parts: dict[str, float] = defaultdict(float)
    for name, seconds in profiler.seconds.items():
        parts[_part_of(name)] += seconds / n_epochs
    return epoch, {name: parts[name] for name in ("data", "logging", "checkpoints")}


def _part_of(action: str) -> str:
    if DATA in action:
        return "data"
    if CHECKPOINTS in action:
        return "checkpoints"
    return "logging" if any(hook in action for hook in HOOKS) else "work"


class BareLoop:
    """The same model, batches and optimizer in a loop of plain torch, with nothing logged or kept."""

    def __init__(self, recipe: Recipe) -> None:
        pl.seed_everything(recipe.seed, verbose=False)
        data = recipe.data
        model = recipe.model(data.cohort.schema, data.scaling())
        data.max_step, data.events = model.solver.max_step, model.tells_risk
        self.data, self.module = data, SurrogateTraining(model, recipe.loss, recipe.optimizer, None, seed=recipe.seed)
        self.optimizer = recipe.optimizer(self.module.parameters())
        data.trainer = None

    def epoch(self) -> float:
        """CPU seconds of the second of two epochs."""
        for _ in range(2):
            begin = time.process_time()
            for batch in self.data.train_dataloader():
                self.optimizer.zero_grad(set_to_none=True)
                loss, _ = self.module._score(batch)
                (loss.sum() / batch.mask.sum()).backward()
                torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                self.optimizer.step()
            with torch.no_grad():
                for batch in self.data.val_dataloader():
                    self.module._score(batch)
        return time.process_time() - begin
