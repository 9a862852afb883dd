"""kill -9 in the middle of an epoch: who resumes ends where an uninterrupted training does, bit for bit."""

import csv
import random
import time

import pytest
from training_processes import Training, result

pytestmark = pytest.mark.fault


def logged(folder):
    """By step, what was logged last: rows of after the last checkpoint are logged again."""
    rows = {}
    logs = sorted(folder.glob("metrics.*.csv"), key=lambda path: int(path.name.split(".")[1]))
    for log in (*logs, folder / "metrics.csv"):
        if log.is_file():
            for row in csv.DictReader(log.read_text().splitlines()):
                rows.setdefault(row["step"], {}).update({key: value for key, value in row.items() if value})
    return rows


@pytest.mark.parametrize("runs", [1, pytest.param(4, marks=pytest.mark.full)])
def test_a_training_killed_in_mid_epoch_ends_as_one_left_alone(runs, fault_arguments, left_alone, tmp_path, tally):
    kills, wrong = (2 if runs == 1 else 5), []
    for number in range(runs):
        rng, folder, errors = random.Random(number), tmp_path / f"run{number}", tmp_path / f"stderr{number}"
        for _ in range(kills):
            how = [f"data.num_workers={rng.choice([0, 0, 2]) if runs > 1 else 0}", "resume=true"]
            assert killed(fault_arguments(folder, *how, every_steps=rng.choice([1, 3])), errors, rng) == -9
        code = Training(fault_arguments(folder, "resume=true"), errors).code()
        left = [item.name for item in folder.rglob(".*") if item.name != ".lock"]
        if code or result(folder) != left_alone[0] or logged(folder) != logged(left_alone[1]) or left:
            wrong.append((number, code, left, errors.read_text()))
    tally("kill -9 of a training in mid-epoch", tried=runs * kills, lost=len(wrong) * kills)
    assert wrong == []


def killed(arguments, errors, rng):
    """Train for some steps, then kill in the midst of one; returns the exit code."""
    training, left = Training(arguments, errors), rng.randrange(2, 6)
    while left and (stage := training.next_stage()) is not None:
        left -= stage[0] == "train"
    time.sleep(rng.uniform(0, 0.08))
    training.stop()
    return training.code()
