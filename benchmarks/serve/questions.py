"""Patients of whom no two have the same forecast, what the runtime answers to each, and how long it takes."""

import json
import time

from benchmarks.serve.client import Question, request
from benchmarks.serve.servers import BUNDLE

from neurotwin.fake import fake_patient, fake_plan, fake_predictor
from neurotwin.runtime import Predictor, Twin

PATH = "/v1/twins/lung_tumour/predict"
PLAN = {
    "name": "two fractions",
    "time_unit": "d",
    "treatments": [{"t": t, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"} for t in (1, 2)],
    "query": {"every": 5, "until": 30},
}


def body(number: int) -> bytes:
    """A request about the patient of this number: eight visits, a dose, a plan."""
    seen = [
        {"t": 5 * visit, "variable": "tumour_volume", "value": 20 + number / 50 + visit / 4, "unit": "cm3"}
        for visit in range(8)
    ]
    given = [{"t": 12, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"}]
    patient = {
        "id": f"p-{number}",
        "time_unit": "d",
        "static": {"stage": "II"},
        "observations": seen,
        "treatments": given,
    }
    return json.dumps({"patient": patient, "plan": PLAN}).encode()


def questions(count: int) -> tuple[list[Question], float]:
    """Questions for the service, and the seconds in which this process answers one from bytes to bytes (median)."""
    predictor, asked, spent = Predictor.load(BUNDLE), [], []
    for number in range(count):
        content = body(number)
        begin = time.perf_counter()
        told = json.loads(content)
        answer = Twin.of(predictor, told["patient"]).forecast(told["plan"])
        expected = json.dumps(answer["prediction"], separators=(",", ":"))
        spent.append(time.perf_counter() - begin)
        asked.append(Question(request(PATH, "127.0.0.1", content), expected.encode()))
    if len({question.expected for question in asked}) < count:
        raise SystemExit("two patients have the same answer: a wrong one would not be seen")
    return asked, sorted(spent)[count // 2]


def fake_questions(count: int) -> list[Question]:
    """Questions about patients of the fake bundle."""
    predictor, asked = fake_predictor(), []
    for number in range(count):
        patient, plan = fake_patient(f"p-{number}"), fake_plan("as planned", 1 + number / 100)
        answer = Twin.of(predictor, patient).forecast(plan)
        content = json.dumps({"patient": patient, "plan": plan}).encode()
        expected = json.dumps(answer["prediction"], separators=(",", ":")).encode()
        asked.append(Question(request("/v1/twins/fake/predict", "127.0.0.1", content), expected))
    return asked


def echoes(count: int) -> list[Question]:
    """The same bodies for the echo."""
    return [Question(request("/echo", "127.0.0.1", body(number)), body(number)) for number in range(count)]
