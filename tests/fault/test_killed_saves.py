"""kill -9 while a checkpoint is written: a whole one is always there, and never one older than was told to be safe."""

import contextlib
import os
import random
import tempfile
import time
from pathlib import Path

import pytest
import torch
from training_processes import FORKS, start

from neurotwin.errors import IntegrityError
from neurotwin.training import read_checkpoint, write_checkpoint
from neurotwin.training.resume import newest
from neurotwin.training.run_folder import CHECKPOINTS, LAST, PREVIOUS, held

pytestmark = pytest.mark.fault


def weights():
    return torch.arange(100_000, dtype=torch.float64)


def save_for_ever(folder, first, pipe):
    """In the process: one generation after the other, each told when it is safe."""
    for number in range(first, 1_000_000):
        content = {"number": number, "weights": weights() + number}
        write_checkpoint(folder / CHECKPOINTS / LAST, content, previous=folder / CHECKPOINTS / PREVIOUS)
        pipe.send(number)


def killed(folder, first, delay):
    """Save until a kill some time after the second generation; returns the last one that was told to be safe."""
    ours, theirs = FORKS.Pipe(duplex=False)
    process = start(save_for_ever, folder, first, theirs)
    theirs.close()
    assert ours.poll(60)
    told = ours.recv()
    time.sleep(delay)
    process.kill()
    process.join(60)
    with contextlib.suppress(EOFError):
        while ours.poll(5):
            told = ours.recv()
    ours.close()
    return told


@pytest.fixture
def place(request, tmp_path):
    """A folder on the tests' own file system, or on another one."""
    if request.param == "same":
        yield tmp_path
        return
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.parametrize("place", ["same", "other"], indirect=True)
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.full)])
def test_a_kill_during_a_save_loses_no_generation(kills, place, tally):
    rng, first, drafts, faults = random.Random(kills), 1, 0, {"unreadable": 0, "lost": 0, "stale": 0}
    for _ in range(kills):
        told = killed(place, first, rng.uniform(0, 0.03))
        drafts += len(list((place / CHECKPOINTS).glob(".*")))
        with held(place):  # as a run that begins does
            faults["stale"] += len(list((place / CHECKPOINTS).glob(".*")))
        generations = {}
        for path in (place / CHECKPOINTS).iterdir():
            try:
                content = read_checkpoint(path)
                generations[path.name] = content["number"]
                assert torch.equal(content["weights"], weights() + content["number"])
            except IntegrityError:
                faults["unreadable"] += 1
        found = read_checkpoint(newest(place))["number"]
        faults["lost"] += (
            found < told or max(generations.values()) > found or generations.get(PREVIOUS, told) < told - 1
        )
        first = found + 1
    where = "on another file system" if place.is_relative_to("/dev/shm") else "on the same file system"
    tally(f"kill -9 during a save, {where}", tried=kills, lost=sum(faults.values()))
    assert faults == {"unreadable": 0, "lost": 0, "stale": 0}
    assert drafts > 0 or kills < 50, "no kill came while a file was written"
