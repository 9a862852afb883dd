"""Scoring a cohort while workers are killed and stopped, the coordinator is killed, and one record kills whoever reads
it: every other subject is answered exactly once, as in a run in peace, byte for byte."""

import dataclasses
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scoring_run import PACE, POISON
from toy_bundles import BUNDLES, make_cohort

from neurotwin.score import Scorer, make_job, score_cohort

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for worker processes in /proc"),
]
SCRIPT = Path(__file__).with_name("scoring_run.py")
SURVIVED = 1.5
"""Seconds after which a worker has come up and is at work."""


class Chaos:
    """A coordinator in a process of its own, and what is done to it."""

    def __init__(self, job, folder, workers, lease, tries, pace):
        self.path, self.folder = folder.with_suffix(".json"), folder
        self.path.write_text(json.dumps(dataclasses.asdict(job)))
        self.arguments = [str(self.path), str(folder), str(workers), str(lease), str(tries)]
        self.environment = os.environ | {PACE: str(pace), "OMP_NUM_THREADS": "1"}
        self.seen = {}
        self.start()

    def start(self):
        """Begin, or go on."""
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *self.arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def done(self):
        """Parts in the ledger."""
        ledger = self.folder / "ledger.jsonl"
        return ledger.read_text().count("\n") if ledger.exists() else 0

    def workers(self):
        """Process ids of workers that have been at work for a while."""
        found, now = [], time.monotonic()
        for pid in _children(self.process.pid):
            first = self.seen.setdefault(pid, now)
            if now - first > SURVIVED and _state(pid) not in ("Z", "T", ""):
                found.append(pid)
        return found

    def strike(self, what, rng, deadline):
        """Send a signal to a worker."""
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := self.workers():
                os.kill(rng.choice(found), what)
                return True
            time.sleep(0.02)
        return False

    def kill_coordinator(self):
        """And see that its workers end with it, stopped ones too; returns how many do not."""
        children = _children(self.process.pid)
        self.process.kill()
        self.process.communicate()
        end = time.monotonic() + 5
        while time.monotonic() < end and any(_state(pid) not in ("Z", "") for pid in children):
            time.sleep(0.02)
        return sum(_state(pid) not in ("Z", "") for pid in children)


def _children(pid):
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(one) for one in told if "spawn_main" in _command(one)]


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def table_of(folder):
    """All answers, in the order of parts."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))])


def digest(table):
    """Of the rows, sorted."""
    ordered = table.sort_by([("subject", "ascending"), ("t", "ascending"), ("channel", "ascending")])
    return hashlib.sha256(json.dumps(ordered.to_pylist()).encode()).hexdigest()


def poisoned_cohort(n, folder):
    """A cohort on disk, and the id of the subject whose record kills."""
    cohort = make_cohort(n, seed=3)
    row = n // 3
    statics = cohort.statics.copy()
    statics[row, 0] = POISON
    dataclasses.replace(cohort, statics=statics).save(folder, shard_size=n // 2)
    return str(cohort.ids[row])


def survive(tmp_path, n, part_size, kills, stops, *, workers, lease, tries, pace, seconds):
    """Score in peace and under faults; returns how many subjects are wrong, and how many faults there were."""
    poison = poisoned_cohort(n, tmp_path / "cohort")
    job = make_job(BUNDLES / "toy_node@0.1.0", tmp_path / "cohort", after="30", part_size=part_size, batch=16)
    score_cohort(job, tmp_path / "peace", workers=1, prepare=Scorer.load)
    rng, deadline = random.Random(n), time.monotonic() + seconds
    chaos = Chaos(job, tmp_path / "faults", workers, lease, tries, pace)
    faults = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops
    rng.shuffle(faults)
    half, struck, orphans = len(faults) // 2, 0, 0
    for number, what in enumerate(faults):
        if number == half:
            while chaos.done() < 1 and chaos.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            orphans = chaos.kill_coordinator()
            chaos.start()
        struck += chaos.strike(what, rng, deadline)
    out, errors = chaos.process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    assert chaos.process.returncode == 0, errors
    peace, under = table_of(tmp_path / "peace"), table_of(tmp_path / "faults")
    others = peace.filter(pa.array(np.array(peace["subject"].to_pylist()) != poison))
    assert len(set(others["subject"].to_pylist())) == n - 1
    quarantine = pq.read_table(tmp_path / "faults" / "quarantine.parquet").to_pylist()
    wrong = len(set(map(str, others.to_pylist())) ^ set(map(str, under.to_pylist()))) + orphans
    assert [(row["subject"], row["reason"]) for row in quarantine] == [(poison, f"killed its worker {tries} times")]
    assert json.loads(out)["quarantined"] == 1 and not list((tmp_path / "faults").glob(".*.draft"))
    assert digest(others) == digest(under) and len(others) == len(under)
    return wrong, struck + 2


def test_a_few_faults(tmp_path, tally):
    wrong, faults = survive(tmp_path, 400, 25, kills=2, stops=1, workers=2, lease=1.0, tries=2, pace=0.05, seconds=60)
    tally("workers killed or stopped, coordinator killed, poison record while a cohort is scored", tried=faults,
          lost=wrong)  # fmt: skip
    assert (wrong, faults) == (0, 5)


@pytest.mark.full
def test_many_faults(tmp_path, tally):
    wrong, faults = survive(
        tmp_path, 10_000, 100, kills=10, stops=3, workers=3, lease=2.0, tries=3, pace=0.05, seconds=240
    )
    tally("workers killed or stopped, coordinator killed, poison record while 10,000 patients are scored", tried=faults,
          lost=wrong)  # fmt: skip
    assert (wrong, faults) == (0, 15)
