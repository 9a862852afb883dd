"""`python -m neurotwin.verbs.latency RUN`: how long an answer of a trained run takes once it is exported.

The run is exported with a short proof of parity, and one subject of its validation part is asked about again and again,
by one thread and through documents, as `neurotwin predict` does: the record up to its middle is taken in, and its later
visits are forecast. latency.json tells the median of a block of answers, in the quietest of several blocks. It is in
processor time, which one thread on an idle machine takes by the clock too: others may train on the same machine.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.disk import write_whole
from neurotwin.errors import BundleError, NeurotwinError

LATENCY_FILE = "latency.json"
BUNDLE = "twin@0.0.1"
TIMELINES = 20
BLOCKS, ANSWERS = 7, 15
MOST_ASKED = 20
"""Subjects that are tried until one is answered."""


def measure(run: Path) -> dict[str, Any]:
    """Median processor time of an answer in ms, the same by the clock, and how many visits an answer forecasts.

    Raises:
        BundleError: no subject was answered.
    """
    from neurotwin.cohort import Cohort
    from neurotwin.runtime import Predictor, Twin
    from neurotwin.verbs.examples import patient_document

    config = json.loads((run / "data.json").read_text())
    cohort = Cohort.load(Path(config["cohort"])).part("validation", config["rotation"])
    predictor = Predictor.load(run / BUNDLE)
    for subject in range(min(len(cohort), MOST_ASKED)):
        visits = np.unique(cohort.observations.time[cohort.observations.subject == subject])
        if len(visits) < 2:
            continue
        cut = float(visits[(len(visits) - 1) // 2])
        patient = patient_document(cohort, subject, cut)
        ahead = visits[visits > cut] - cut
        times = [float(f"{item:.6g}") for item in ahead[ahead <= predictor.horizon]]
        if not times:
            continue
        plan = {"name": "none", "time_unit": cohort.schema.time_unit, "query": {"at": times}}

        def answer(patient: Any = patient, plan: Any = plan) -> Any:
            return Twin.of(predictor, patient).forecast(plan)

        if answer()["prediction"]:
            blocks = [_block(answer) for _ in range(BLOCKS)]
            busy, clock = (min(column) for column in zip(*blocks, strict=True))
            return {"p50_ms": busy, "clock_p50_ms": clock, "visits": len(times)}
    raise BundleError("no subject was answered, so that no time can be told", where=str(run / BUNDLE))


def _block(call: Callable[[], object]) -> tuple[float, float]:
    """Median time of a call in ms: of the processor, and by the clock."""
    times = []
    for _ in range(ANSWERS):
        begin = time.process_time(), time.perf_counter()
        call()
        times.append((time.process_time() - begin[0], time.perf_counter() - begin[1]))
    busy, clock = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return busy, clock


def main(run: Path) -> int:
    """Export unless it was, measure, write; returns the exit code."""
    from neurotwin.verbs.export import export

    try:
        if not (run / BUNDLE).exists():
            export(run, run / BUNDLE, None, [], timelines=TIMELINES)
        found = measure(run)
    except NeurotwinError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    write_whole(run / LATENCY_FILE, json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(Path(sys.argv[1])))
