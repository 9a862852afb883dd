"""SIGTERM and SIGUSR1, as schedulers send them: a checkpoint within 30 s, a code and a line that tell, and no loss."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from training_processes import Training, result

from neurotwin.errors import PreemptedError

pytestmark = pytest.mark.fault
IN_TIME = 30.0
ASKED = (("train", signal.SIGTERM), ("validation", signal.SIGUSR1))


def asked_to_stop(training, wanted, after, number):
    """Send a signal in a stage, some stages later; returns the exit code and the seconds until then."""
    while (stage := training.next_stage()) is not None and (after > 0 or stage[0] != wanted):
        after -= 1
    begun = time.monotonic()
    training.stop(number)
    return training.code(), time.monotonic() - begun


@pytest.mark.parametrize("runs", [1, pytest.param(5, marks=pytest.mark.full)])
def test_a_signal_leaves_a_checkpoint_a_code_and_a_line(runs, fault_arguments, left_alone, tmp_path, tally):
    rng, wrong = random.Random(runs), []
    for run in range(runs):
        folder = tmp_path / f"run{run}"
        for stage, sent in ASKED[: 1 if runs == 1 else 2]:
            after, errors = rng.randrange(1, 12), tmp_path / f"stderr.{run}.{stage}"
            training = Training(fault_arguments(folder, "resume=true", every_steps=50), errors)
            code, seconds = asked_to_stop(training, stage, after, sent)
            line = errors.read_text().strip().splitlines()[-1]
            if code != PreemptedError.exit_code or seconds > IN_TIME or f"stopped by {sent.name}" not in line:
                wrong.append((run, stage, code, seconds, line))
        last = Training(fault_arguments(folder, "resume=true"), tmp_path / f"stderr.{run}.last")
        if last.code() or result(folder) != left_alone[0]:
            wrong.append((run, last.stderr.read_text()))
    tally("SIGTERM or SIGUSR1 in a training", tried=1 if runs == 1 else runs * 2, lost=len(wrong))
    assert wrong == []


@pytest.mark.full
def test_the_command_itself_leaves_with_that_code(fault_arguments, tmp_path, tally):
    command = [sys.executable, "-m", "neurotwin", "train", *fault_arguments(tmp_path / "run", epochs=500)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as run:
        while not (tmp_path / "run" / "checkpoints" / "last.safetensors").exists():
            assert run.poll() is None
            time.sleep(0.1)
        begun = time.monotonic()
        run.terminate()
        told = run.stderr.read()
        code, seconds = run.wait(60), time.monotonic() - begun
    tally("SIGTERM to neurotwin train", tried=1, lost=int(code != 75 or seconds > IN_TIME))
    assert (code, told.count("\n")) == (75, 1) and told.startswith("NT-1310 stopped by SIGTERM")
    assert "resume=true" in told and seconds < IN_TIME
