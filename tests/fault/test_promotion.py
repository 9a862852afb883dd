"""kill -9 while a champion is replaced: the old one or the new one stands, whole, never none."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from promoting_process import promote_on

from neurotwin.errors import NeurotwinError
from neurotwin.registry import Registry

pytestmark = pytest.mark.fault
PROGRAM = Path(__file__).parent / "promoting_process.py"


def killed(folder, bundle, rng):
    """The last version that a process told to stand before it was killed, or None."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(bundle)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = [process.stdout.readline()]
        for _ in range(rng.randrange(1, 4)):
            told.append(process.stdout.readline())
        time.sleep(rng.uniform(0, 0.08))  # about as long as one promotion takes
    finally:
        process.kill()
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == -9, errors
    numbers = [line for line in [*told, *rest.splitlines()] if line.strip().isdigit()]
    return int(numbers[-1]) if numbers else None


@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.full)])
def test_a_kill_leaves_the_old_champion_or_the_new_one(kills, gru_bundle, tmp_path, tally):
    rng, keep, lost = random.Random(kills), Registry(tmp_path / "registry"), []
    promote_on(keep, gru_bundle, tmp_path, count=1)
    for _ in range(kills):
        told = killed(keep.folder, gru_bundle, rng)
        try:
            path = keep.path("toy_gru")  # checks bundle, verdict, history and aliases
            number = int(path.name.rsplit(".", 1)[1])
            if number not in (told, (told or 0) + 1):
                lost.append(f"told {told}, found {number}")
            keep.verify()
            promote_on(keep, gru_bundle, tmp_path, count=1)
        except NeurotwinError as error:
            lost.append(str(error))
    drafts = list(keep.folder.rglob(".*.draft"))
    tally("kill -9 while a champion is replaced", tried=kills, lost=len(lost))
    assert lost == [] and drafts == []
    assert keep.rollback("toy_gru").version != keep.history().lines[-2].bundle.version
