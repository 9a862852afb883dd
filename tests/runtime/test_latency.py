"""What an answer costs. Goals are stated for an idle machine; a test on a busy one allows for it."""

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from neurotwin.runtime import Twin

BUSY = 4.0
SHARE = 2.5
"""CPU of import, load and first answer over that of `import onnxruntime`: the goal is 2."""

ANSWER = """
import json, sys
from neurotwin.runtime import Predictor, Twin
patient, plan = (json.loads(text) for text in sys.argv[2:4])
assert Twin.of(Predictor.load(sys.argv[1]), patient).forecast(plan)["prediction"]
"""


def cpu(code, *arguments, cache):
    """CPU seconds of a process that finds its modules compiled, as those of an installed package are."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_forecast_of_ninety_days(predictor, patient, plan):
    twin = Twin.of(predictor, patient)
    twin.forecast(plan)
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        twin.forecast(plan)
        times.append(time.perf_counter() - begin)
    assert np.percentile(times, 25) < BUSY * 2.5e-3  # two variables; one costs less


def test_the_first_answer(node_bundle, patient_text, plan, tmp_path):
    arguments = (str(node_bundle), patient_text, json.dumps(plan))
    pairs = [(cpu("import onnxruntime", cache=tmp_path), cpu(ANSWER, *arguments, cache=tmp_path)) for _ in range(6)]
    runtime, answer = (min(column) for column in zip(*pairs, strict=True))
    assert answer < SHARE * runtime
