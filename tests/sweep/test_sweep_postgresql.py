"""Two drivers on one study in a real PostgreSQL, which the test starts for itself."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from postgresql_cluster import BINARIES, Cluster
from sweep_cases import RATE, words_of

from neurotwin.sweep.results import read_results

pytestmark = pytest.mark.service
TRIALS = 14


@pytest.fixture(scope="module")
def address():
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg", reason="the extra store is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    own = Cluster(folder, BINARIES[-1].parent)
    try:
        own.start()
        yield own.url("owner").replace("postgresql+psycopg", "postgresql")
        own.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


DRIVE = """
import sys
from pathlib import Path
from neurotwin.sweep.run_sweep import run_sweep
url, folder, trials, *words = sys.argv[1:]
done = run_sweep(words, trials=int(trials), jobs=2, storage=url, resume=True, folder=Path(folder), tell=print,
                 train="stub_train", heartbeat=1, grace=1.0)
sys.exit(130 if done.interrupted else 0)
"""


def test_two_drivers_share_a_study_and_one_that_dies_is_replaced(address, sweep_cohort, stubbed, tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_PAUSE", "0.3")

    def drive(name):
        words = [address, str(tmp_path / name), str(TRIALS), f"data.cohort={sweep_cohort}", RATE]
        words.append("hparams_search.pruner=null")
        return subprocess.Popen([sys.executable, "-c", DRIVE, *words], env=os.environ.copy())

    drivers = [drive("one"), drive("two")]
    end = time.monotonic() + 120
    while (
        not stubbed.exists() or len({line.split()[1].split("/")[-3] for line in stubbed.read_text().splitlines()}) < 2
    ):
        assert time.monotonic() < end and None in [driver.poll() for driver in drivers]
        time.sleep(0.05)
    drivers[0].kill()  # its two trials are lost, and found out to be by the other
    assert drivers[0].wait() == -signal.SIGKILL
    assert drivers[1].wait(120) == 0
    # The other may have had nothing left to wait for before the dead one's silence was long enough.
    time.sleep(4)
    assert drive("three").wait(120) == 0
    trials = read_results(address, "sweep").trials
    assert [trial.state.name for trial in trials].count("COMPLETE") == TRIALS == len(trials)
    counted = words_of(stubbed)
    assert max(count for (word, _), count in counted.items() if word == "end") == 1
    assert not [folder for word, folder in counted if word == "TWICE"]
    assert {trial.user_attrs["folder"] for trial in trials} >= {str(tmp_path / "two")}
