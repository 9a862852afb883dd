"""The population page: risk first, filters, what is stale, pages."""

import json
import re

import pytest
from page_cases import FORECAST, PATIENT, Html
from service_cases import application

from neurotwin.service.pages import population


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Six patients of two sites; growing tumours, the last never asked about, the fifth told of more since."""
    folder = tmp_path_factory.mktemp("people")
    with application(folder, store=str(folder / "twins.db")) as client:
        fill(client)
        yield client


def fill(client):
    """Tell of the patients, and ask about them."""
    for number in range(6):
        document = json.loads(json.dumps(PATIENT)) | {"id": f"{'ab'[number % 2]}-{number}"}
        for place, row in enumerate(document["observations"]):
            row["value"] = (10 + 8 * number) * (1 + place / 10)
        path = f"/v1/twins/{document['id']}"
        assert client.post(f"{path}/observe", json=document).status_code == 200
        if number < 5:
            assert client.post(f"{path}/forecast", json=FORECAST).status_code == 200
        if number == 4:
            later = document | {"observations": [{**document["observations"][0], "t": 21.0}]}
            assert client.post(f"{path}/observe", json=later).status_code == 200


def rows(answer):
    """(patient, state) of each row."""
    assert answer.status_code == 200
    return re.findall(r'<tr data-state="(\w+)"><th scope="row"><a href="/twins/([^"]+)">', answer.text)


def test_the_riskiest_come_first_and_the_stale_are_marked(people):
    found = rows(people.get("/population"))
    ids = [name for _, name in found]
    risks = {one["id"]: one["risk"] for one in people.get("/v1/twins?order=risk").json()["patients"]}
    told = [risks[name] for name in ids if risks[name] is not None]
    assert told == sorted(told, reverse=True) and len(set(told)) > 2
    assert {name: state for state, name in found} == {
        "a-0": "current", "b-1": "current", "a-2": "current", "b-3": "current", "a-4": "stale", "b-5": "never",
    }  # fmt: skip
    page = people.get("/population").text
    assert page.count('class="spark') == 5 and "before the last change" in page and "never asked" in page


def test_each_risk_tells_what_it_is_of(people):
    page = people.get("/population").text
    assert "tumour volume above" in page and "different events" not in page


def test_risks_of_different_events_are_pointed_out(tmp_path):
    with application(tmp_path, store=str(tmp_path / "twins.db")) as client:
        for number, above in enumerate((20.0, 40.0)):
            path, document = f"/v1/twins/p-{number}", PATIENT | {"id": f"p-{number}"}
            assert client.post(f"{path}/observe", json=document).status_code == 200
            event = {**FORECAST["risk"]["event"], "above": above}
            asked = FORECAST | {"risk": {**FORECAST["risk"], "event": event}}
            assert client.post(f"{path}/forecast", json=asked).status_code == 200
        page = " ".join(client.get("/population").text.split())
    assert "above 20 cm3" in page and "above 40 cm3" in page and "different events" in page


def test_filters(people):
    names = lambda **query: {name for _, name in rows(people.get("/population", params=query))}  # noqa: E731
    everyone = {"a-0", "b-1", "a-2", "b-3", "a-4", "b-5"}
    assert names() == names(since="2020-01-01") == everyone
    assert names(prefix="a-") == {"a-0", "a-2", "a-4"}
    assert names(status="ok") <= everyone - {"b-5"} and names(status="abstain") == set()
    assert names(model="lung_tumour", order="id") == everyone and names(since="2999-01-01") == set()
    least = names(min_risk="50")
    assert least and least < everyone
    assert names(min_risk="50", prefix="b") == {name for name in least if name.startswith("b")}


@pytest.mark.parametrize(
    "query", [{"min_risk": "lots"}, {"min_risk": "nan"}, {"min_risk": "101"}, {"since": "yesterday"}, {"status": "x"}]
)
def test_a_filter_that_cannot_be_read_is_told(people, query):
    answer = people.get("/population", params=query)
    assert 'role="alert"' in answer.text and len(rows(answer)) == 6


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30, "²"])
def test_a_page_that_is_none_is_the_first_or_empty(people, number):
    assert people.get("/population", params={"page": number}).status_code == 200


def test_pages_go_through_all(people, monkeypatch):
    monkeypatch.setattr(population, "ON_PAGE", 4)
    first = people.get("/population?order=id&prefix=")
    link = next(told["href"] for told in Html(first.text).all("a") if "page=2" in told["href"])
    second = people.get(link)
    assert [name for _, name in rows(first) + rows(second)] == ["a-0", "a-2", "a-4", "b-1", "b-3", "b-5"]
    assert "page=3" not in second.text and "page=1" in second.text


def test_the_audit_log_tells_who_looked(people):
    people.get("/population?prefix=zz-nobody")
    assert '"/population"' in people.audit.read_text() and "nobody" not in people.audit.read_text()
