"""Drivers of sweeps that are killed and interrupted: what was finished is kept, nothing is trained twice at once, and
the rest waits until it is gone on with."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from neurotwin.sweep.results import read_results

HERE = Path(__file__).parent
RATE = "optimizer.lr=tag(log,interval(1e-3,1e-1))"


class Sweep:
    """A sweep of stub trainings, driven by processes of its own."""

    def __init__(self, folder, cohort, trials):
        self.folder, self.trials, self.diary = folder / "sweep", trials, folder / "diary"
        self.diary.touch()
        self.command = [sys.executable, str(HERE / "sweep_run.py"), str(self.folder), str(trials)]
        self.command += [f"data.cohort={cohort}", RATE, "hparams_search.pruner=null"]
        paths = os.pathsep.join([str(HERE.parent / "sweep"), os.environ.get("PYTHONPATH", "")])
        stub = {"PYTHONPATH": paths, "STUB_DIARY": str(self.diary), "STUB_PAUSE": "0.25"}
        self.environment = {**os.environ, **stub}

    def drive(self):
        return subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def lines(self, word):
        return [line.split() for line in self.diary.read_text().splitlines() if line.startswith(f"{word} ")]

    def wait_for_another_start(self, driver):
        before, end = len(self.lines("start")), time.monotonic() + 60
        while len(self.lines("start")) == before:
            assert driver.poll() is None and time.monotonic() < end, driver.communicate()[0]
            time.sleep(0.02)

    def still_alive(self):
        """Trainings that have begun, have not ended, and are there."""
        ended = {words[2] for words in self.lines("end")}
        return [words[2] for words in self.lines("start") if words[2] not in ended and is_alive(int(words[2]))]

    def results(self):
        return read_results(f"sqlite:///{self.folder / 'sweep.db'}", "sweep").trials

    def states(self):
        return Counter(trial.state.name for trial in self.results())

    def finished(self):
        return {trial.number: trial.values for trial in self.results() if trial.state.is_finished()}


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def drivers_die(sweep, kills, seed):
    """Kill a driver so often, interrupt one, and go on to the end; what was lost, by name."""
    chance, lost = random.Random(seed), Counter()
    for fault in [*["kill"] * kills, "interrupt"]:
        before = sweep.finished() if (sweep.folder / "sweep.db").exists() else {}
        driver = sweep.drive()
        sweep.wait_for_another_start(driver)
        time.sleep(chance.uniform(0.0, 1.2))
        if fault == "kill":
            driver.kill()
            driver.wait()
            time.sleep(0.2)
        else:
            driver.send_signal(signal.SIGINT)
            assert driver.wait(30) == 130, driver.communicate()[0]
            lost["running after an interrupt"] += sweep.states()["RUNNING"]
            lost["not pending"] += sweep.states()["WAITING"] == 0
        driver.stdout.close()
        lost["left alive"] += len(sweep.still_alive())
        after = sweep.finished()
        lost["forgotten"] += sum(after.get(number) != values for number, values in before.items())
    last = sweep.drive()
    assert last.wait(120) == 0, last.communicate()[0]
    last.stdout.close()
    lost["not there at the end"] += sweep.trials - sweep.states()["COMPLETE"]
    lost["more than wanted"] += abs(len(sweep.results()) - sweep.trials)
    lost["two processes in one folder"] += len(sweep.lines("TWICE"))
    ended = Counter(words[1] for words in sweep.lines("end"))
    lost["trained to the end twice"] += sum(count > 1 for count in ended.values())
    return +lost


@pytest.mark.fault
@pytest.mark.parametrize(
    ("kills", "trials"),
    [pytest.param(1, 6, id="quick"), pytest.param(5, 16, id="full", marks=pytest.mark.full)],
)
def test_drivers_are_killed_and_interrupted(kills, trials, fault_cohort, tmp_path, tally):
    lost = drivers_die(Sweep(tmp_path, fault_cohort, trials), kills, seed=7)
    tally("the driver of a sweep is killed (kill -9) or interrupted (Ctrl-C)", tried=kills + 1, lost=lost.total())
    assert not lost
