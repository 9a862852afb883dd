"""Event times: PBC death and transplant beside landmark Cox models, and what informative dropout does to a forecast.

python benchmarks/events/run.py [--part pbc dropout] [--quick]

Rows go to results.json and to the tables of README.md. What is trained stands in runs/benchmarks/events and is not
trained again; remove the folder to begin anew. With --quick little is trained and nothing is written but the page of
the run, to see that all of it works.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from event_times.dropout import study
from event_times.patients import MEMBERS, judge, risks
from event_times.results import merge, write_page

from neurotwin.cohort import Cohort
from neurotwin.ingest.csv import ingest_csv

WORK = Path("runs/benchmarks/events")


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=["pbc", "dropout"], default=["pbc", "dropout"])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    root = WORK / "quick" if given.quick else WORK
    if given.quick and root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    if "pbc" in given.part:
        cohort = root / "pbcseq"
        if not (cohort / "cohort.json").exists():
            ingest_csv("dataset:pbcseq", "pbcseq", cohort, progress=False)
        whole = Cohort.load(cohort)
        names, inners = (["neural_ode"], 1) if given.quick else (list(MEMBERS), 1)
        more = ("trainer.max_epochs=1",) if given.quick else ()
        asked = risks(whole, root, names, inners, more)
        rows.append(judge(whole, asked, 50 if given.quick else 2000))
    if "dropout" in given.part:
        subjects, seeds, epochs = (200, 1, 2) if given.quick else (500, 2, 12)
        rows += study(root, subjects=subjects, seeds=seeds, epochs=epochs)
    if given.quick:
        (root / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")
        return
    merge(rows)
    write_page()


if __name__ == "__main__":
    main()
