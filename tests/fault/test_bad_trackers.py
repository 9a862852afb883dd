"""Trackers that raise, hang, or fill their disk: the training's result is the same, and hardly later."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lightning.pytorch.loggers import CSVLogger
from training_processes import Training, result

pytestmark = pytest.mark.fault


class Bad(CSVLogger):
    """A tracker whose calls do something else; `trouble` is what."""

    def __init__(self, folder, trouble):
        super().__init__(folder, name="", version="")
        self.trouble = trouble

    def log_metrics(self, metrics, step=None):
        self.trouble()

    def save(self):
        self.trouble()

    def finalize(self, status):
        self.trouble()


class Raising:
    def __call__(self):
        raise RuntimeError("the tracker is down")


class Hanging:
    def __call__(self):
        time.sleep(60)


class Filling:
    def __init__(self, disk):
        self.disk = disk

    def __call__(self):
        with (self.disk / "events").open("ab") as file:
            file.write(b"x" * (1 << 20))


class Make:
    """Made in the process that trains."""

    def __init__(self, folder, trouble):
        self.folder, self.trouble = folder, trouble

    def __call__(self):
        from neurotwin.training.tracking import GuardedTracker

        return GuardedTracker(Bad(self.folder, self.trouble), patience=1.0)


@pytest.fixture
def own_disk(tmp_path):
    """Where a tracker writes: a disk of its own if one may be mounted, else a device that is always full."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        (place / "events").symlink_to("/dev/full")
    yield place
    if not mounted.returncode:
        subprocess.run(["umount", "-l", place], check=True)


def timed(arguments, stderr, loggers=()):
    training = Training(arguments, stderr, loggers)
    while training.next_stage() is None:
        pass
    begun = time.monotonic()
    code = training.code()
    return code, time.monotonic() - begun, training.stderr.read_text()


TROUBLES = ("raises", "hangs", "fills")


@pytest.mark.parametrize("troubles", [TROUBLES, *(pytest.param((one,), marks=pytest.mark.full) for one in TROUBLES)])
def test_a_tracker_changes_no_result(troubles, fault_arguments, left_alone, own_disk, tmp_path, tally):
    how = {"raises": Raising(), "hangs": Hanging(), "fills": Filling(own_disk)}
    bad = [Make(str(tmp_path), how[name]) for name in troubles]
    code, _, told = timed(fault_arguments(tmp_path / "run"), tmp_path / "stderr", bad)
    same = code == 0 and result(tmp_path / "run") == left_alone[0]
    tally(f"trackers that {', '.join(troubles)}", tried=len(bad), lost=0 if same else len(bad))
    assert same, told
    assert told.count("\n") == len(bad)
    assert told.count("does not answer") == ("hangs" in troubles)
    assert told.count("goes on without it") == len(bad) - ("hangs" in troubles)


@pytest.mark.full
@pytest.mark.parametrize("trouble", ["raises", "hangs"])
def test_a_tracker_hardly_delays_a_training(trouble, fault_arguments, tmp_path, tally):
    """Side by side with one that has none, so that both share what else the machine does; the least of three pairs."""
    bad, delays = {"raises": Raising(), "hangs": Hanging()}[trouble], []
    for number in range(3):
        with ThreadPoolExecutor(2) as pool:
            pair = [
                pool.submit(
                    timed,
                    fault_arguments(tmp_path / f"{name}{number}", epochs=40),
                    tmp_path / f"{name}{number}.err",
                    loggers,
                )
                for name, loggers in (("without", []), ("with", [Make(str(tmp_path), bad)]))
            ]
        (code, without, _), (other, took, told) = (one.result() for one in pair)
        assert code == other == 0, told
        delays.append(took / without - 1)
    tally(f"delay by a tracker that {trouble}", tried=1, lost=int(min(delays) >= 0.05))
    assert min(delays) < 0.05, delays
