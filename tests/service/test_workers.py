"""Several workers: one is killed again and again under load, and nothing told or answered is wrong."""

import contextlib
import json
import os
import random
import signal
import threading
import time

import httpx2
import psutil
import pytest
from service_cases import body

from neurotwin.service.audit import verify_audit

KILLS = 20


def workers_of(server):
    """Process ids of the workers that live: children that Python spawned, its resource tracker apart."""
    found = []
    for child in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.Error):  # it may end meanwhile
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


class Load(threading.Thread):
    """Asks for forecasts of doses of its own, whose answers are known, and tells visits to a twin."""

    def __init__(self, url, number, expected):
        super().__init__()
        self.url, self.number, self.expected = url, number, expected
        self.told, self.right, self.wrong, self.failed = [], 0, 0, 0
        self.ended = threading.Event()

    def run(self):
        rng = random.Random(self.number)
        step = 0
        while not self.ended.is_set():
            try:
                with httpx2.Client(base_url=self.url, timeout=10) as http:
                    for _ in range(20):
                        step += 1
                        dose = rng.choice(list(self.expected))
                        answer = http.post("/v1/twins/lung_tumour/predict", json=asked(dose)).json()
                        found = [row["median"] for row in answer["prediction"]]
                        self.right += found == self.expected[dose]
                        self.wrong += found != self.expected[dose]
                        key = f"{self.number}-{step}"
                        told = http.post(
                            f"/v1/twins/p-{self.number}/observe",
                            json=visit(self.number, step),
                            headers={"idempotency-key": key},
                        )
                        if told.status_code == 200:
                            self.told.append(key)
                        if self.ended.is_set():
                            return
            except (httpx2.HTTPError, json.JSONDecodeError):
                self.failed += 1


def asked(dose):
    content = body("PredictQuestion")
    content["plan"]["treatments"][0]["amount"] = dose
    return content


def visit(number, step):
    seen = {"t": step / 10, "variable": "tumour_volume", "value": 20 + step % 7, "unit": "cm3"}
    return {"id": f"p-{number}", "time_unit": "d", "static": {"stage": "II"}, "observations": [seen]}


def wait_for(http, seconds):
    """Seconds until the service answers again."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        try:
            with httpx2.Client(base_url=http, timeout=2) as fresh:
                if fresh.get("/readyz").status_code == 200:
                    return time.monotonic() - begin
        except httpx2.HTTPError:
            time.sleep(0.02)
    return float("inf")


@pytest.mark.full
@pytest.mark.fault
def test_a_worker_is_killed_twenty_times_under_load(serve, tmp_path, tally):
    one = serve("--workers", "2", "--store", str(tmp_path / "twins.db"))
    wait_for(one.url, 30)
    with httpx2.Client(base_url=one.url, timeout=20) as http:
        expected = {}
        for dose in (0.5, 1.0, 1.5, 2.0):
            answer = http.post("/v1/twins/lung_tumour/predict", json=asked(dose)).json()
            expected[dose] = [row["median"] for row in answer["prediction"]]
    load = [Load(one.url, number, expected) for number in range(3)]
    for thread in load:
        thread.start()
    rng, back = random.Random(1), []
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.2, 0.8))
        alive = workers_of(one)
        assert alive
        os.kill(rng.choice(alive), signal.SIGKILL)
        back.append(wait_for(one.url, 10))
        begin = time.monotonic()
        while len(workers_of(one)) < 2 and time.monotonic() - begin < 10:
            time.sleep(0.05)
    for thread in load:
        thread.ended.set()
    for thread in load:
        thread.join()
    assert sum(thread.right for thread in load) > 50
    assert sum(thread.wrong for thread in load) == 0
    assert max(back) < 3
    with httpx2.Client(base_url=one.url, timeout=20) as http:
        for thread in load:
            kept = {entry["request"] for entry in http.get(f"/v1/twins/p-{thread.number}").json()["history"]}
            assert set(thread.told) <= kept
        # Requests that died with their worker are not open any more; the one that asks is.
        assert "neurotwin_requests_open 1.0" in http.get("/metrics").text.splitlines()
    one.stop()
    assert verify_audit(one.audit) > 100
    tally("kill -9 of a service's worker under load", tried=KILLS)


def test_workers_share_what_they_count_and_tell(serve, tmp_path):
    one = serve("--workers", "2", "--store", str(tmp_path / "twins.db"))
    wait_for(one.url, 30)
    for _ in range(6):  # a new connection each: any worker may take it
        httpx2.post(f"{one.url}/v1/twins/lung_tumour/predict", json=body("PredictQuestion"), timeout=20)
    text = httpx2.get(f"{one.url}/metrics").text
    line = next(line for line in text.splitlines() if line.startswith("neurotwin_answers_total"))
    assert line.endswith(" 6.0")
    one.stop()
    assert verify_audit(one.audit) == 7


def test_workers_end_with_their_parent(serve):
    one = serve("--workers", "2")
    wait_for(one.url, 30)
    alive = workers_of(one)
    one.stop(signal.SIGKILL)
    begin = time.monotonic()
    while any(psutil.pid_exists(pid) for pid in alive):
        assert time.monotonic() - begin < 10
        time.sleep(0.05)
