"""Lessons: a simulated patient is the same at every step, and only bundles of simulators of the library have any."""

import json
from dataclasses import replace

import numpy as np
import pytest
from page_cases import Html
from service_cases import BUNDLE, application

from neurotwin.runtime import Predictor
from neurotwin.runtime.documents import TreatmentRecord
from neurotwin.service.faults import NotOffered
from neurotwin.service.pages.lesson import CARD, Lesson

DOSE = {"t": 6.0, "treatment": "radiotherapy", "amount": 2.0, "unit": "Gy"}


@pytest.fixture(scope="module")
def lesson():
    """Of the released bundle."""
    return Lesson.of(Predictor.load(BUNDLE))


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A service with lessons."""
    with application(tmp_path_factory.mktemp("school"), teach=True) as client:
        yield client


def values(document):
    return [row["value"] for row in document["observations"]]


def test_a_patient_goes_on_as_it_began(lesson):
    early = lesson.patient(7, (0.0, 3.0, 6.0), ())
    late = lesson.patient(7, (0.0, 3.0, 6.0, 9.0), (TreatmentRecord(**DOSE),))
    assert values(late)[:3] == values(early)
    assert values(late)[3] < values(lesson.patient(7, (0.0, 3.0, 6.0, 9.0), ()))[3]
    assert early["static"] == late["static"] and set(early["static"]) == {"patient_type", "stage"}
    assert values(lesson.patient(8, (0.0, 3.0, 6.0), ())) != values(early)


def test_the_truth_is_what_measurements_scatter_about(lesson):
    visits = tuple(float(t) for t in range(0, 60, 2))
    seen = np.array(values(lesson.patient(3, visits, (TreatmentRecord(**DOSE),))))
    truth = dict(map(tuple, lesson.truth(3, visits, (TreatmentRecord(**DOSE),))["tumour_volume"]))
    apart = seen / np.array([truth[t] for t in visits]) - 1
    assert 0.02 < apart.std() < 0.1 and abs(apart.mean()) < 0.04  # the assay's error is 5 %
    after = [value for t, value in truth.items() if t > 6.5][0]
    assert after < 0.9 * truth[6.0]  # seen before the dose of the same instant


def test_the_twin_can_be_asked_about_it(school):
    found = school.post("/teach/lung_tumour", json={"number": 1, "visits": [0, 3, 6], "treatments": [DOSE]}).json()
    plan = {"name": "go on", "time_unit": "d", "treatments": [], "query": {"every": 3, "until": 9}}
    answer = school.post("/v1/twins/lung_tumour/predict", json={"patient": found["patient"], "plan": plan}).json()
    assert answer["status"] == "ok" and "truth" not in found


def test_the_truth_is_told_when_it_is_asked_for(school):
    body = {"number": 1, "visits": [0, 3, 6, 9], "treatments": [DOSE], "reveal": True}
    found = school.post("/teach/lung_tumour", json=body).json()
    treated, untreated = (dict(map(tuple, found[name]["tumour_volume"])) for name in ("truth", "untreated"))
    assert treated[3.0] == untreated[3.0] and treated[9.0] < untreated[9.0]


@pytest.mark.parametrize(
    "change",
    [
        {"number": -1}, {"number": 1.5}, {"number": 10**9}, {"visits": []}, {"visits": [3, 3]}, {"visits": [-1, 2]},
        {"visits": [0, 1e9]}, {"treatments": [{**DOSE, "treatment": "magic"}]}, {"treatments": [{**DOSE, "t": -1}]},
        {"treatments": [{**DOSE, "amount": 1e9}]}, {"more": 1}, {"visits": list(range(500))}, {"number": True},
    ],
)  # fmt: skip
def test_bad_questions_are_refused(school, change):
    body = {"number": 1, "visits": [0, 3, 6], "treatments": [DOSE]} | change
    answer = school.post("/teach/lung_tumour", json=body)
    assert answer.status_code == 422 and "magic" not in answer.text


def test_lessons_are_only_where_they_are_offered(client):
    page = Html(client.get("/teach").text)
    assert "neurotwin serve --teach" in page.text
    assert client.post("/teach/lung_tumour", json={"number": 1, "visits": [0]}).status_code == 409


def other_bundle(copy_of, rehash, change):
    """The bundle with other words about its data."""
    folder = copy_of(BUNDLE)
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))
    rehash(folder)
    return Predictor.load(folder)


@pytest.mark.parametrize(
    "target",
    ["os.system", "subprocess.Popen", "neurotwin.simulators.trial.act_out", "neurotwin.simulators.geng_nsclc.math",
     "neurotwin.store.Store", "neurotwin.simulators.nothing.Nothing", "neurotwin.simulators.geng_nsclc.Simulator", ""],
)  # fmt: skip
def test_a_bundle_names_no_other_code(copy_of, rehash, monkeypatch, target):
    def change(card):
        card["provenance"]["simulator"] = {"_target_": target, "args": "touch /nowhere"}

    monkeypatch.setattr("os.system", lambda *_: pytest.fail("it ran"))
    with pytest.raises(NotOffered, match="no simulated patients"):
        Lesson.of(other_bundle(copy_of, rehash, change))


@pytest.mark.parametrize("part", ["recorded", "population", "variables"])
def test_bundles_of_other_data_have_no_lessons(copy_of, rehash, part):
    def change(card):
        if part == "recorded":
            card["provenance"] = {"source": "ehr"}
        elif part == "population":
            card["provenance"]["population"] = {"_target_": "neurotwin.simulators.protocols.Assay", "variable": "x"}
        else:
            card["provenance"]["simulator"] = {"_target_": "neurotwin.simulators.warfarin.Warfarin"}

    with pytest.raises(NotOffered):
        Lesson.of(other_bundle(copy_of, rehash, change))


def test_a_card_that_is_not_the_released_one_is_not_believed(lesson, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / CARD).write_text((BUNDLE / CARD).read_text() + " ")
    predictor = Predictor(replace(lesson.predictor.bundle, path=tmp_path))
    with pytest.raises(NotOffered):
        Lesson.of(predictor)


def test_the_page_names_the_extra_that_is_missing(school, monkeypatch):
    from neurotwin.errors import ExtraMissingError
    from neurotwin.service.pages import teach

    def missing(*_):
        raise ExtraMissingError("scipy is not installed", remedy="install it with: pip install 'neurotwin[simulate]'")

    monkeypatch.setattr(teach, "_lesson", missing)
    assert "neurotwin[simulate]" in Html(school.get("/teach").text).text
