"""One of several processes dies, or is asked to stop: none hangs, and the run goes on from its last point."""

import signal
import time

import pytest
from training_processes import result, together

pytestmark = [pytest.mark.fault, pytest.mark.full]


def trained(arguments, errors):
    both = together(2, arguments, errors)
    assert [process.code() for process in both] == [0, 0], both[0].stderr.read_text()


@pytest.mark.parametrize("how", ["first killed", "second killed", "first asked", "second asked"])
def test_a_process_that_is_lost_ends_the_others_and_nothing_is_lost(how, fault_arguments, tmp_path, tally):
    more = ["data.batch_size=2", "resume=true"]
    trained(fault_arguments(tmp_path / "whole", *more), tmp_path / "err.whole")
    which, number = how.startswith("second"), signal.SIGKILL if "killed" in how else signal.SIGTERM
    both = together(2, fault_arguments(tmp_path / "run", *more), tmp_path / "err")
    while both[which].next_stage() != ("train", 1, 5):
        pass
    begun = time.monotonic()
    both[which].stop(number)
    codes, seconds = [process.code() for process in both], time.monotonic() - begun
    trained(fault_arguments(tmp_path / "run", *more), tmp_path / "err.again")
    same = result(tmp_path / "run") == result(tmp_path / "whole")
    ended = seconds < 60 and (codes == [75, 75] if "asked" in how else codes[which] == -9 and codes[not which] != 0)
    tally(f"one of two processes {how.split()[1]}", tried=1, lost=int(not (same and ended)))
    assert ended, (codes, seconds, both[0].stderr.read_text())
    assert same
