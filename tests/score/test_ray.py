"""The Ray engine on a cluster of this machine: the same files as the local one, through a worker that dies."""

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from toy_bundles import BUNDLES, make_cohort

from neurotwin.bundle import Bundle
from neurotwin.errors import IntegrityError, ResourceError
from neurotwin.runtime import Predictor
from neurotwin.score import Scorer, make_job, score_cohort

POISON = 66.625


class Fragile(Predictor):
    """Dies of one record."""

    def assimilate(self, timeline, state=None):
        if (timeline.static == POISON).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().assimilate(timeline, state)


def fragile(job):
    """How a worker comes to its scorer."""
    return Scorer(job, Fragile(Bundle.load(job.bundle)))


def elsewhere(job):
    """A node on which another bundle lies under the same path."""
    on_a_node = "default_worker" in sys.argv[0]
    return Scorer.load(dataclasses.replace(job, bundle_sha256="0" * 64) if on_a_node else job)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster with two cores, which ends with the tests."""
    pytest.importorskip("ray")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="nt_ray_"))  # the path of a socket must be short
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"),
        *("--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"),
    ]
    here = os.pathsep.join(path for path in sys.path if "tests" in path)  # where nodes find this module
    with (tmp_path_factory.mktemp("ray") / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=os.environ | {"PYTHONPATH": here}
        )
        try:
            end = time.monotonic() + 90
            while not list(folder.glob("session_latest/sockets/raylet")):
                assert process.poll() is None and time.monotonic() < end, "the cluster does not come up"
                time.sleep(0.2)
            time.sleep(2)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for line in subprocess.check_output(["ps", "-eo", "pid,args"], text=True).splitlines():
                if str(folder) in line:  # what it had started apart from itself
                    os.kill(int(line.split()[0]), signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cohort(tmp_path):
    """40 subjects on disk; the record of the sixth kills a fragile worker."""
    made = make_cohort(40)
    statics = made.statics.copy()
    statics[5, 0] = POISON
    dataclasses.replace(made, statics=statics).save(tmp_path / "cohort")
    return tmp_path / "cohort"


@pytest.mark.service
def test_same_files_as_the_local_engine(cluster, cohort, tmp_path):
    job = make_job(BUNDLES / "toy_gru@0.1.0", cohort, part_size=10)
    score_cohort(job, tmp_path / "local", workers=1)
    score_cohort(job, tmp_path / "ray", engine="ray", address=cluster)
    parts = [sorted((tmp_path / name).glob("part-*.parquet")) for name in ("local", "ray")]
    assert len(parts[0]) == 4
    for one, other in zip(*parts, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.service
def test_a_record_that_kills_is_found(cluster, cohort, tmp_path, tally):
    job = make_job(BUNDLES / "toy_gru@0.1.0", cohort, part_size=20)
    found = score_cohort(job, tmp_path / "ray", engine="ray", address=cluster, tries=1, prepare=fragile, lease=30)
    told = found.subjects
    lost = 40 - 1 - told["ok"] - told["degraded"] - told["abstain"]
    tally("a record that kills workers of a Ray cluster", tried=1, lost=lost)
    assert (lost, told["quarantined"]) == (0, 1)


@pytest.mark.service
def test_a_node_with_another_bundle_is_refused(cluster, cohort, tmp_path):
    job = make_job(BUNDLES / "toy_gru@0.1.0", cohort, part_size=20)
    with pytest.raises(IntegrityError, match="this worker's bundle has sha256"):
        score_cohort(job, tmp_path / "ray", engine="ray", address=cluster, prepare=elsewhere)


def test_a_cluster_that_is_not_there_is_told_of_soon(cohort, tmp_path):
    pytest.importorskip("ray")
    job = make_job(BUNDLES / "toy_gru@0.1.0", cohort)
    begun = time.monotonic()
    with pytest.raises(ResourceError, match="no Ray cluster can be reached"):
        score_cohort(job, tmp_path / "ray", engine="ray", address=f"127.0.0.1:{free_port()}")
    assert time.monotonic() - begun < 10


@pytest.mark.service
def test_a_listener_that_is_no_cluster_is_told_of_soon(cohort, tmp_path):
    pytest.importorskip("ray")
    job = make_job(BUNDLES / "toy_gru@0.1.0", cohort)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        begun = time.monotonic()
        with pytest.raises(ResourceError, match="no Ray cluster can be reached"):
            score_cohort(job, tmp_path / "ray", engine="ray", address=f"127.0.0.1:{deaf.getsockname()[1]}")
        assert time.monotonic() - begun < 10
