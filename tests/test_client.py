"""The client against a real server of the fake bundle."""

import os
import re
import subprocess
import sys
import time

import pytest

from neurotwin.client import Client, ServiceError
from neurotwin.fake import fake_bundle, fake_patient, fake_plan, fake_predictor
from neurotwin.runtime import Twin

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    token = folder / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    words = [
        "--port",
        "0",
        "--store",
        str(folder / "t.db"),
        "--audit",
        str(folder / "a.jsonl"),
        "--token-file",
        str(token),
    ]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "neurotwin", "serve", str(fake_bundle()), *words],
            stderr=file,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    for _ in range(600):
        if found := re.search(r"on (http://\S+)", log.read_text()):
            break
        time.sleep(0.05)
    assert found, log.read_text()
    yield found[1]
    process.terminate()
    process.wait(20)


@pytest.fixture
def client(url):
    with Client(url, token=TOKEN) as opened:
        yield opened


def test_answers_are_those_of_the_bundle(client):
    own = Twin.of(fake_predictor(), fake_patient()).forecast(fake_plan())
    assert client.predict("fake", fake_patient(), fake_plan())["prediction"] == own["prediction"]
    assert own["status"] == "ok"


def test_every_question(client):
    plans = [fake_plan(), fake_plan("half", 2.5)]
    assert len(client.compare("fake", fake_patient(), plans)["plans"]) == 2
    event, horizon = {"channel": "volume", "above": 30, "unit": "cm3"}, {"time_unit": "d", "every": 10, "until": 60}
    assert 0 <= client.risk("fake", fake_patient(), event, horizon)["risk"]["probability"] <= 1
    assert client.explain("fake", fake_patient(), plans[0], {"channel": "volume"})["sensitivity"]
    assert client.alerts_of("fake", fake_patient(), {})["alerts"] in ([], None)
    limits = {"doses": [{"treatment": "chemo", "unit": "mg", "lowest": 1, "highest": 9}]}
    goal, budget = {"channel": "volume", "against": "chemo"}, {"evaluations": 20, "seconds": 2, "points": 2}
    assert client.optimise("fake", fake_patient(), plans[0], goal, limits, budget)["status"] == "ok"
    assert [one["id"] for one in client.models()] == ["fake"]
    assert client.signature("fake")["time_unit"] == "d"


def test_a_stored_twin(client):
    patient = fake_patient("p-1")
    assert client.observe(patient, key="first")["version"] == 1
    assert client.observe(patient, key="first")["repeated"]
    assert client.forecast("p-1", fake_plan())["status"] == "ok"
    assert client.predict("fake", "p-1", fake_plan())["status"] == "ok"
    assert [one["id"] for one in client.patients(order="id")] == ["p-1"]
    assert next(client.live_alerts("p-1"))["version"] == 1
    client.close()
    assert len(client.record("p-1")["history"]) == 1
    assert client.retract("p-1", "first")["version"] == 2
    client.forget("p-1")
    with pytest.raises(ServiceError) as caught:
        client.alerts("p-1")
    assert (caught.value.status, caught.value.error) == (404, "NT-2960")


def test_a_refusal_tells_the_place(client):
    plan = {**fake_plan(), "colour": "red"}
    with pytest.raises(ServiceError, match="unknown field; at body: plan") as caught:
        client.predict("fake", fake_patient(), plan)
    assert (caught.value.status, caught.value.error) == (422, "NT-2700")


def test_without_the_token(url):
    with Client(url) as stranger, pytest.raises(ServiceError) as caught:
        stranger.models()
    assert caught.value.status == 401


def test_nobody_there():
    with Client("http://127.0.0.1:9", timeout=2) as client, pytest.raises(ServiceError, match="does not answer"):
        client.models()


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "127.0.0.1:8000", "http://", "http://h/path", "http://h:0x", "http://[::1", "http://h:99999"]
)
def test_what_is_no_address(url):
    with pytest.raises(ServiceError, match="not the address"):
        Client(url)


def test_what_json_cannot_say(client):
    with pytest.raises(ServiceError, match="not plain finite data"):
        client.predict("fake", {**fake_patient(), "now": float("nan")}, fake_plan())
