"""A coordinator whose workers meet a record that kills them: python scoring_run.py JOB.json OUT WORKERS LEASE TRIES.

The record kills as one does that brings down native code: the process is gone in the middle of a batch. Each batch is
also slowed down, so that there is time for other faults.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from neurotwin.bundle import Bundle
from neurotwin.runtime import Predictor
from neurotwin.score import Job, Scorer, score_cohort

POISON = 66.625
"""Age of the subject whose record kills; a number that single precision holds."""
PACE = "SCORING_TEST_PACE"


class Fragile(Predictor):
    """Dies of one record."""

    def assimilate(self, timeline, state=None):
        time.sleep(float(os.environ[PACE]))
        if (timeline.static == POISON).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().assimilate(timeline, state)


def fragile(job):
    """How a worker comes to its scorer."""
    return Scorer(job, Fragile(Bundle.load(job.bundle)))


def read_job(path):
    """From JSON."""
    told = json.loads(Path(path).read_text())
    return Job(**told | {"after": tuple(told["after"])})


if __name__ == "__main__":
    path, output, workers, lease, tries = sys.argv[1:]
    summary = score_cohort(
        read_job(path),
        Path(output),
        workers=int(workers),
        lease=float(lease),
        tries=int(tries),
        prepare=fragile,
    )
    print(json.dumps(summary.subjects))
