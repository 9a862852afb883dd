"""Trainings in processes of their own that can be killed: forked from one that has imported everything already."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import socket
import sys
from multiprocessing import forkserver
from pathlib import Path

import lightning.pytorch as pl
import pytest
from toys import QUIET, SIZES

from neurotwin import compose
from neurotwin.errors import NeurotwinError
from neurotwin.recipes import recipe_of
from neurotwin.training import read_checkpoint, train
from neurotwin.training.checkpoint import _digest as digest

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["training_processes"])
HERE = Path(__file__).parent
LONG_AGO = 1e9
"""Seconds after which no point is taken."""


class Tell(pl.Callback):
    """Says in which step and stage a training is."""

    def __init__(self, pipe):
        self.pipe = pipe

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.pipe.send(("train", trainer.current_epoch, batch_idx))

    def on_validation_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        self.pipe.send(("validation", trainer.current_epoch, batch_idx))


def arguments_of(cohort, folder, *more, epochs, every_steps=1):
    return [
        f"data.cohort={cohort}",
        f"paths.output_dir={folder}",
        "data.batch_size=4",
        f"trainer.max_epochs={epochs}",
        f"callbacks.resume_points.every_steps={every_steps}",
        f"callbacks.resume_points.every_seconds={LONG_AGO}",
        "model.dropout=0.2",
        "solver@model.solver=euler",
        "model.solver.max_step=20",
        *SIZES,
        *QUIET,
        *more,
    ]


def work(arguments, pipe, stderr, more_loggers, more_callbacks, largest_file, environment):
    """In the process: train, and leave with the error's code."""
    os.environ.update(environment)
    # As in a process of its own: loaders' workers are its children, and end when it is killed.
    multiprocessing.set_start_method("fork", force=True)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    try:
        recipe = recipe_of(compose.compose("train", arguments))
        recipe.callbacks.extend([Tell(pipe), *more_callbacks])
        recipe.loggers.extend(make() for make in more_loggers)
        train(recipe)
    except NeurotwinError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    os._exit(0)


def start(function, *arguments):
    """A process that runs a function of a test module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", f"{HERE}:{HERE / 'fault'}:{HERE / 'training'}"
        )  # the fork server imports this module once
        forkserver.ensure_running()
    process = FORKS.Process(target=function, args=arguments)
    process.start()
    return process


class Training:
    """A training in a process."""

    def __init__(self, arguments, stderr, loggers=(), callbacks=(), largest_file=None, environment=None):
        self.pipe, theirs = FORKS.Pipe(duplex=False)
        self.stderr = Path(stderr)
        self.process = start(
            work, list(arguments), theirs, str(stderr), loggers, callbacks, largest_file, environment or {}
        )
        theirs.close()

    def next_stage(self, timeout=60.0):
        """Where it is, as soon as it gets there; None when it has ended."""
        assert self.pipe.poll(timeout), "the training neither goes on nor ends"
        try:
            return self.pipe.recv()
        except EOFError:
            return None

    def stop(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def code(self, timeout=120.0):
        """Its exit code."""
        while self.next_stage(timeout) is not None:
            pass
        self.process.join(timeout)
        return self.process.exitcode


def together(n, arguments, stderr, callbacks=()):
    """One training in several processes, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": 0, "OMP_NUM_THREADS": 1}
    more = ["trainer=ddp", "trainer.accelerator=cpu", f"trainer.devices={n}"]
    given = [*(item for item in arguments if item != "trainer=cpu"), *more]
    return [
        Training(
            given,
            f"{stderr}.{rank}",
            callbacks=callbacks,
            environment={name: str(value) for name, value in {**common, "LOCAL_RANK": rank, "RANK": rank}.items()},
        )
        for rank in range(n)
    ]


def result(folder):
    """All that a run leads to: hashes of its weights, and its metrics but for time."""
    checkpoints = folder / "checkpoints"
    hashes = {
        name: digest("", read_checkpoint(checkpoints / f"{name}.safetensors")["state_dict"])
        for name in ("last", "best")
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    return hashes, metrics


def file_hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
