"""What holds for every page: landmarks, labels, the content policy, the warning; and the files that pages load."""

import json
import re
from importlib import resources

import pytest
from page_cases import PATIENT, Html
from service_cases import application

from neurotwin.runtime import Reason
from neurotwin.service.pages.words import SENTENCES

STATIC = resources.files("neurotwin.service.pages").joinpath("static")
PAGES = ["/", "/twins/p-17", "/population", "/teach", "/login"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A service with a store, one patient, and lessons."""
    folder = tmp_path_factory.mktemp("pages")
    with application(folder, store=str(folder / "twins.db"), teach=True) as client:
        assert client.post("/v1/twins/p-17/observe", json=PATIENT).status_code == 200
        yield client


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole(opened, path):
    answer = opened.get(path)
    page = Html(answer.text)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1 and len(page.all("main")) == 1 and len(page.all("header")) == 1
    assert page.all("title") and any(told.get("name") == "viewport" for told in page.all("meta"))
    assert "Research software, not a medical device" in page.text
    assert page.nameless == []
    identities = [told["id"] for _, told in page.elements if "id" in told]
    assert len(identities) == len(set(identities))
    labelled = [told["aria-labelledby"] for _, told in page.elements if "aria-labelledby" in told]
    assert set(labelled) <= set(identities)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(opened, path):
    answer = opened.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
    page = Html(answer.text)
    for _, told in page.elements:
        assert "style" not in told and not any(name.startswith("on") for name in told)
        assert not any(str(told.get(name, "")).startswith(("http", "//")) for name in ("src", "href", "action"))
    assert all(told.get("src") or told["type"] == "application/json" for told in page.all("script"))


def test_files_are_cached_by_their_content(opened):
    first = opened.get("/assets/patient.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert opened.get("/assets/patient.js", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert opened.get("/assets/page.css").text.startswith(":root")
    for name in ("nothing.js", "__init__.py", "..%2fframe.py"):
        assert opened.get(f"/assets/{name}").status_code == 404


def test_scripts_import_only_each_other():
    names = {item.name for item in STATIC.iterdir()}
    for item in STATIC.iterdir():
        content = item.read_text()
        assert set(re.findall(r'from "\./([^"]+)"', content)) <= names
        imports = re.findall(r"^import .*$", content, re.MULTILINE)
        assert all(' from "./' in line for line in imports)
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http:", "https:", "document.write"):
            assert word not in content.replace("http://www.w3.org/2000/svg", ""), (item.name, word)


def test_each_reason_has_a_sentence(opened):
    told = re.search(r'id="told">(.*?)</script>', opened.get("/").text)
    words = json.loads(told[1])["reasons"]
    assert set(words) == {str(reason) for reason in Reason} == {str(reason) for reason in SENTENCES}
    assert all(what.endswith(".") and remedy.endswith(".") for what, remedy in words.values())


def test_the_form_follows_the_signature(opened):
    page = Html(opened.get("/").text)
    statics = {told["data-static"] for told in page.all("select") if "data-static" in told}
    assert statics == {"patient_type", "stage"}
    levels = {told["value"] for told in page.all("option")}
    assert {"I", "II", "IIIA", "IIIB", "IV"} <= levels


def test_the_model_card(opened):
    text = Html(opened.get("/").text).text
    for part in ("Intended use", "Not for", "0.1.0", "89.2%", "sha256", "0 to 5", "simulated-only", "true differences"):
        assert part in text


def test_an_unknown_model_is_no_page(opened):
    assert opened.get("/?model=other").status_code == 404


def test_a_service_without_a_store_has_no_patients(client):
    assert client.get("/twins/p-17").status_code == 409
    page = Html(client.get("/").text)
    assert not any(told.get("href") == "/population" for told in page.all("a"))
    assert "--store" in client.get("/population").text
