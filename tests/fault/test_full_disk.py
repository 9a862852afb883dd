"""A disk that is full when a checkpoint is due: the old one stays whole, one line tells it, and no result is lost."""

import shutil
import subprocess

import pytest
from training_processes import Training, result

from neurotwin.training import read_checkpoint
from neurotwin.training.resume import newest

pytestmark = pytest.mark.fault
SIZE = 2 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes; skips where one may not be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def begun(fault_arguments, folder):
    """A run that was killed in its second epoch."""
    training = Training(fault_arguments(folder), folder.parent / "stderr.begun")
    while training.next_stage() != ("train", 1, 3):
        pass
    training.stop()
    training.code()
    return newest(folder)


def outcome(training, folder, before):
    """Exit code, the lines told, and whether a checkpoint at least as new as before is whole."""
    code = training.code()
    lines = training.stderr.read_text().strip().splitlines()
    return code, lines, read_checkpoint(newest(folder))["global_step"] >= before


def check(code, lines, kept):
    return kept and (code == 0 or (code == 4 and len(lines) == 1 and lines[0].startswith("NT-4000 ")))


@pytest.mark.parametrize("levels", [1, pytest.param(20, marks=pytest.mark.full)])
def test_a_full_disk_leaves_the_old_checkpoint_and_is_told(
    levels, fault_arguments, small_disk, tmp_path, left_alone, tally
):
    start = begun(fault_arguments, tmp_path / "run")
    before, size, wrong = read_checkpoint(start)["global_step"], start.stat().st_size, []
    for level in range(levels):
        folder = small_disk / "run"
        shutil.copytree(tmp_path / "run", folder)
        room = int(size * 3 * (level + 0.5) / levels)
        free = shutil.disk_usage(small_disk).free
        (small_disk / "filler").write_bytes(b"x" * max(free - room, 0))
        training = Training(fault_arguments(folder, "resume=true"), tmp_path / f"stderr.{level}")
        code, lines, kept = outcome(training, folder, before)
        (small_disk / "filler").unlink()
        again = Training(fault_arguments(folder, "resume=true"), tmp_path / f"stderr.again.{level}")
        if not check(code, lines, kept) or again.code() != 0 or result(folder) != left_alone[0]:
            wrong.append((level, room, code, lines, kept))
        shutil.rmtree(folder)
    tally("disk full at a save", tried=levels, lost=len(wrong))
    assert wrong == []


@pytest.mark.full
def test_a_limit_on_the_size_of_files_is_told_as_a_full_disk(fault_arguments, tmp_path, tally):
    start = begun(fault_arguments, tmp_path / "run")
    size, before, wrong = start.stat().st_size, read_checkpoint(start)["global_step"], []
    for share in (0.1, 0.5, 0.9):
        folder = tmp_path / f"run.{share}"
        shutil.copytree(tmp_path / "run", folder)
        training = Training(
            fault_arguments(folder, "resume=true"), tmp_path / f"stderr.{share}", largest_file=int(size * share)
        )
        code, lines, kept = outcome(training, folder, before)
        if code == 0 or not check(code, lines, kept):
            wrong.append((share, code, lines, kept))
    tally("file size limit at a save", tried=3, lost=len(wrong))
    assert wrong == []
