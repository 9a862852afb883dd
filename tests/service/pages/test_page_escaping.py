"""Hostile names are text wherever they come from: a patient's id, a bundle, an answer that was kept."""

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from page_cases import Html
from service_cases import BUNDLE, application

from neurotwin.runtime import Predictor
from neurotwin.service.pages.card import card
from neurotwin.service.pages.frame import as_data
from neurotwin.service.pages.spark import spark
from neurotwin.store import PatientSummary, Store

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='x", "</script><b>", "{0} %s &amp;"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A service with an empty store."""
    folder = tmp_path_factory.mktemp("hostile")
    with application(folder, store=str(folder / "twins.db")) as client:
        yield client


@pytest.fixture(scope="module")
def released():
    """The tumour bundle."""
    return Predictor.load(BUNDLE)


def is_tame(content, known):
    """Only elements of a page's own, no attribute that acts."""
    page = Html(content)
    assert {name for name, _ in page.elements} <= known
    assert not any(key.startswith("on") for _, told in page.elements for key in told)
    return page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_patient_s_id(stored, name):
    known = {element for element, _ in Html(stored.get("/twins/p-17").text).elements}
    answer = stored.get("/twins/" + "".join(f"%{byte:02x}" for byte in name.encode()))
    if "/" in name:  # no path of the service
        assert answer.status_code == 404 and name not in answer.text
        return
    assert name in is_tame(answer.text, known).text
    assert json.loads(re.search(r'id="told">(.*?)</script>', answer.text)[1])["patient"] == name


@pytest.mark.parametrize("name", HOSTILE)
def test_the_population(stored, monkeypatch, name):
    known = {element for element, _ in Html(stored.get("/population").text).elements}
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    row = {"t": 1.0, "after": 1.0, "channel": name, "unit": name, "median": 2.0, "interval": {"lo": 1.0, "hi": 3.0}}
    answer = {"status": name, "prediction": [row, {**row, "after": 2.0}]}
    event = {"channel": name, "above": 1.0, "unit": name, "within": 1.0, "time_unit": name}
    told = {"forecast": 7, "model": name, "status": name, "risk": 0.4, "event": event, "made": moment, "current": False}
    summary = PatientSummary(name, 1, moment, moment, **told)
    monkeypatch.setattr(Store, "patients", lambda *_: [summary])
    monkeypatch.setattr(Store, "answers", lambda *_: {7: answer})
    own = {"table", "caption", "thead", "tbody", "tr", "th", "td", "a", "svg", "rect", "path", "small", "time", "nav"}
    query = dict.fromkeys(("prefix", "model", "status", "since", "min_risk", "order", "page"), name)
    page = is_tame(stored.get("/population", params=query).text, known | own)
    assert name in page.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bundle_s_words(released, name):
    true = released.bundle
    signature = json.loads(json.dumps(dict(true.signature)))
    for group in signature["channels"].values():
        for channel in group:
            channel.update(name=name, unit=name, code=name)
            if channel.get("levels"):
                channel["levels"] = [name]
    manifest = dict(true.manifest) | dict.fromkeys(("intended_use", "not_for", "license", "contact", "created"), name)
    calibration = {
        **true.calibration,
        "description": name,
        "channels": {name: true.calibration["channels"]["tumour_volume"]},
    }
    bundle = SimpleNamespace(
        manifest=manifest, signature=signature, calibration=calibration, version=name, sha256=name, name=name
    )
    known = {element for element, _ in Html(card(released)).elements}
    is_tame(card(SimpleNamespace(bundle=bundle)), known | {"wbr"})


@pytest.mark.parametrize("name", HOSTILE)
def test_data_in_a_page_end_no_element(name):
    told = as_data({name: [name]})
    assert not set("<>&\u2028") & set(told)
    assert json.loads(told) == {name: [name]}


def test_a_silent_answer_has_no_drawing():
    assert spark({"prediction": None}) == ("", "")
