"""A driver that a test kills: `python sweep_run.py FOLDER TRIALS OVERRIDE ...` runs or goes on with a sweep."""

import sys
from pathlib import Path

from neurotwin.sweep.run_sweep import run_sweep

if __name__ == "__main__":
    done = run_sweep(
        sys.argv[3:],
        folder=Path(sys.argv[1]),
        trials=int(sys.argv[2]),
        jobs=2,
        resume=True,
        tell=lambda line: print(line, flush=True),
        train="stub_train",
        grace=2.0,
    )
    print(done.told)
    sys.exit(130 if done.interrupted else 0)
