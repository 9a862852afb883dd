"""A patient of the released tumour bundle, told visit by visit, and what processes that tests start do with it."""

import sys
from pathlib import Path

from neurotwin.bundle import Bundle
from neurotwin.runtime import Predictor
from neurotwin.store import Store

BUNDLE = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"
PLAN = {
    "name": "RT first",
    "time_unit": "d",
    "query": {"every": 5, "until": 30},
    "treatments": [{"t": 1, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"}],
}


def visit(number, patient="p-1"):
    """One visit, whole or not at all: three volumes of three instants, a dose, a covariate."""
    volumes = [
        {"t": number + part / 4, "variable": "tumour_volume", "value": 20 + number / 100, "unit": "cm3"}
        for part in range(3)
    ]
    dose = {"t": number, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"}
    return {
        "id": patient,
        "time_unit": "d",
        "static": {"stage": "II"},
        "observations": volumes,
        "treatments": [dose] if number % 3 == 0 else [],
    }


def tell(url, writer, count):
    """Observe ``count`` visits that no other writer tells, and say each on stdout once it is acknowledged."""
    predictor = Predictor(Bundle.load(BUNDLE))  # the golden cases were answered by the test
    with Store.open(url, patience=60) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(count):
            store.observe("p-1", visit(number * 10 + writer), predictor, request=f"{writer}-{number}")
            print(f"{writer}-{number}", flush=True)


if __name__ == "__main__":
    tell(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
